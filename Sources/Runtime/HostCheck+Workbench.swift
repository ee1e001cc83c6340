internal import Kernel
internal import Model
internal import Namespaces

/// What the tries share: a directory of their own on each of ctr's two file systems, and ids to map.
struct Workbench {
    let host: Host
    let root: Scratch
    let state: Scratch
    /// The pool that VPSs take their ids from, or why there is none.
    let pool: Result<IDPool.Summary, CtrError>

    init(_ host: Host) {
        self.host = host
        root = Scratch(near: host.root)
        state = Scratch(near: host.state)
        do throws(CtrError) { pool = .success(try Settings.load().makeIDPool().summary()) } catch {
            pool = .failure(error)
        }
    }

    /// 65,536 ids of the host as a VPS has them.
    var maps: [IDMap] {
        let example = try? pool.get().example
        let range = example ?? IDRange(base: 1_000_000, count: 65_536)
        return [IDMap(container: 0, host: range.base, size: range.count)]
    }

    /// The host's id of a guest's root.
    var owner: UInt32 { maps[0].host }

    /// The namespaces of a VPS as `ctr run` makes them in one call; that of cgroups comes later.
    static let guest: NamespaceFlags = [.mount, .pid, .uts, .ipc, .network, .user]
}

/// An empty directory for tries where a directory of ctr's lies, or will lie once a verb makes it. A ``Keeper`` removes
/// it and all that is in it.
final class Scratch {
    /// Where it is: the directory itself, or the nearest one above it that exists.
    let place: Result<String, SysError>
    private let keeper: Keeper?

    /// The directory.
    var path: String? { keeper?.product }

    init(near wanted: String) {
        if CurrentProcess.effectiveUser != 0 {
            keeper = nil
            place = .failure(SysError("mkdir", Errno.perm, wanted))
            return
        }
        do throws(SysError) {
            let name = ".ctr-check-\(try randomBytes(8).map { String($0, radix: 16) }.joined())"
            let keeper = try Keeper { () throws(SysError) in
                let base = try Scratch.nearest(wanted)
                do throws(SysError) { try open(base, [.directory]).makeDirectory(name, mode: 0o700) } catch {
                    throw SysError(error.call, error.errno, "in \(base)")
                }
                return base == "/" ? "/\(name)" : "\(base)/\(name)"
            } remove: { path in
                let end = path.lastIndex(of: "/")!
                let parent = path[..<end]
                try? open(parent.isEmpty ? "/" : String(parent), [.directory]).removeTree(name)
            }
            self.keeper = keeper
            let parent = keeper.product[..<keeper.product.lastIndex(of: "/")!]
            place = .success(parent.isEmpty ? "/" : String(parent))
        } catch {
            keeper = nil
            place = .failure(error)
        }
    }

    private static func nearest(_ wanted: String) throws(SysError) -> String {
        var path = wanted
        while true {
            do throws(SysError) {
                _ = try open(path, [.path, .directory])
                return path
            } catch  where error.errno == Errno.noEntry && path != "/" {
                let parent = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
                path = parent.isEmpty ? "/" : String(parent)
            }
        }
    }

    /// Runs a try in the directory, in a process of its own.
    /// - Parameter isAboutIt: what keeps the directory from being made is the finding itself, not what hinders the try.
    func probe(
        _ namespaces: NamespaceFlags = [], isAboutIt: Bool = false,
        _ body: (String) throws(SysError) -> Finding
    ) -> Finding {
        if CurrentProcess.effectiveUser != 0 { return .no(Probe.needsRoot) }
        if case .failure(let error) = place { return .no(isAboutIt ? "\(error)" : "not tried: \(error)") }
        let path = path ?? ""
        return Probe(namespaces: namespaces).run { () throws(SysError) in
            if namespaces.contains(.mount) { try makeMountsPrivate() }
            return try body(path)
        }
    }
}

/// Small files of /proc and /sys.
enum HostFile {
    static func text(_ path: String) throws(SysError) -> String {
        let bytes = try open(path, [.readOnly, .nonBlocking]).readAll(limit: 1 << 20)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The number that a file holds, nil if there is no such file or it holds something else.
    static func number(_ path: String) -> Int64? {
        guard let text = try? text(path) else { return nil }
        return Int64(text.prefix { !$0.isWhitespace })
    }
}
