internal import Kernel
public import Model

/// Where ctr keeps things on this host: the two directories of `docs/files.md`.
public struct Host: Sendable {
    /// `$CTR_ROOT`: templates and VPSs.
    public let root: String
    /// `$CTR_STATE`: what is true only until reboot.
    public let state: String

    public static let standardRoot = "/var/lib/ctr"
    public static let standardState = "/run/ctr"

    /// - Throws: `usage` for a path that is not absolute.
    public init(root: String, state: String) throws(CtrError) {
        for (option, path) in [("--root", root), ("--state", state)] where !path.hasPrefix("/") {
            throw CtrError(.usage, "\(option) '\(path.escaped)': not an absolute path")
        }
        self.root = root
        self.state = state
    }

    /// The directory of all VPSs, made if needed. Everything above a guest's files is for root alone: programs with
    /// set-user-id bits lie below.
    func vpsDirectory() throws(CtrError) -> FD { try Host.ensure("\(root)/vps") }

    func stateDirectory() throws(CtrError) -> FD { try Host.ensure(state) }

    /// Where a VPS's cgroup is, below the hierarchies' roots.
    func cgroupPath(of name: String) -> String { "\(cgroupParent)/\(name)" }

    /// Another state directory than the usual one is another host's worth of names, so it has a parent of its own.
    var cgroupParent: String {
        if state == Host.standardState { return "ctr" }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in state.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return "ctr-\(String(hash, radix: 36))"
    }

    /// Opens a directory of ctr's own, made with its parents if needed.
    static func ensure(_ path: String) throws(CtrError) -> FD {
        do throws(SysError) {
            do throws(SysError) { return try open(path, [.directory, .noFollow]) } catch
                where error.errno == Errno.noEntry
            { return try makeParents(path) }
        } catch {
            if error.errno == Errno.access {
                throw CtrError(.failed, "\(path): permission denied (ctr must be run by root)", errno: error.errno)
            }
            throw CtrError(.io, "directory \(path)", cause: error)
        }
    }

    private static func makeParents(_ path: String) throws(SysError) -> FD {
        var directory = try open("/", [.directory])
        for component in path.split(separator: "/") {
            do throws(SysError) { try directory.makeDirectory(String(component), mode: 0o700) } catch
                where error.errno == Errno.exists
            {}
            directory = try directory.open(String(component), [.directory])
        }
        return directory
    }
}
