internal import Checkpoint
internal import Kernel
internal import Model

/// Files below `/run/host` of a running VPS, which its root can replace by whatever it likes.
///
/// No link is followed and no file system asked: RESOLVE_CACHED finds only names that the kernel has in memory, where
/// a file of the /run that ctr has mounted always is, and does not wait for a file system that a guest has mounted.
enum HostPath {
    static let asks = "hibernate"
    /// An empty file, made by whoever has asked.
    static let answer = "hibernate.answer"
    /// A file, for its status alone; nil where there is none.
    /// - Parameter pid: of a process that the caller knows to be a VPS's first (by a pidfd that it looks at afterwards).
    /// - Throws: ENOENT or ESRCH when the process has ended.
    static func find(_ name: String, of pid: Int32, resolve: Resolve = []) throws(SysError) -> SharedFD? {
        let root = try open("/proc/\(pid)/root", [.path, .directory])
        do throws(SysError) {
            // The overlay's root is never all in memory (its access lists are not kept); what lies mounted on /run is not
            // asked by an O_PATH open.
            let run = try root.open(
                "run", [.path, .directory, .noFollow], resolve: [.inRoot, .noSymlinks, .noMagicLinks])
            let within: Resolve = [.beneath, .noSymlinks, .noMagicLinks, .cached]
            return SharedFD(try run.open("host/\(name)", [.path, .noFollow], resolve: within.union(resolve)))
        } catch
            where [
                Errno.noEntry, Errno.notDirectory, Errno.loop, Errno.again, Errno.access, Errno.crossDevice,
            ].contains(error.errno)
        { return nil }
    }

    /// By what the kernel knows of its mount: another file system might be one of the guest's own programs, and answer nothing
    /// that it is asked.
    private static func isOnTmpfs(_ file: SharedFD, of pid: Int32) -> Bool {
        guard let mount = ProcFiles.mountID(of: CurrentProcess.pid, descriptor: file.fd.rawValue),
            let known = try? MountInfo.of(pid)
        else { return false }
        return known.contains { $0.id == mount && $0.type == "tmpfs" }
    }

    /// The fifo of a VPS that runs already; nil where it has none, or one of another kind.
    static func asks(of state: VPSState) -> SharedFD? {
        guard state.config.disk != nil, state.ready != .started,
            let found = try? find(asks, of: state.pid, resolve: [.noCrossDevice]), isOnTmpfs(found, of: state.pid),
            (try? found.fd.status().type) == .fifo,
            let fifo = try? SharedFD(open(found.fd.procPath, [.readWrite, .nonBlocking]))
        else { return nil }
        return fifo
    }

    /// Tells whoever has asked how it went; nobody where no empty file waits for it.
    static func answer(_ text: String, to state: VPSState) { answer(text, to: GuestRun(state)) }

    /// Mounted on that name may be a file that the host's root alone can write to, /proc/sys included: it is none but a
    /// plain one on the tmpfs itself that is written to.
    static func answer(_ text: String, to run: GuestRun) {
        do throws(SysError) {
            let first = try ProcessHandle(pid: run.pid)
            guard try ProcFiles.startTime(of: run.pid) == run.startTime,
                let found = try find(answer, of: run.pid, resolve: [.noCrossDevice]), !first.hasEnded,
                isOnTmpfs(found, of: run.pid)
            else { return }
            let status = try found.fd.status()
            guard status.type == .regular, status.size == 0 else { return }
            let file = try open(found.fd.procPath, [.writeOnly, .nonBlocking, .noControllingTerminal])
            _ = try file.write(Array("\(text.escaped)\n".utf8))
        } catch {
            // It has ended, or its /run is full: whoever waits gives up in the end.
        }
    }
}

/// One run of a VPS, from a start or resume to its end.
struct GuestRun: Equatable, Sendable {
    var pid: Int32
    var startTime: UInt64

    init(pid: Int32, startTime: UInt64) {
        self.pid = pid
        self.startTime = startTime
    }

    init(_ state: VPSState) { self.init(pid: state.pid, startTime: state.startTime) }
}
