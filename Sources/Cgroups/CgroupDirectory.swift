internal import Kernel
internal import Model

/// One directory of a cgroup in one hierarchy, held by the directory above it and its name.
struct CgroupDirectory: Sendable {
    /// Those of ``CgroupController`` that live in this hierarchy and that we use.
    var controllers: Set<CgroupController>
    let isUnified: Bool
    let parent: SharedFD
    let name: String
    /// For messages and for the record.
    let path: String

    // MARK: files

    /// A file's whole text, nil where the kernel has no such file, or no longer.
    func read(_ file: String) throws(SysError) -> [UInt8]? {
        do throws(SysError) {
            return try parent.fd.open("\(name)/\(file)", .readOnly).readAll()
        } catch  where [Errno.noEntry, Errno.notSupported, Errno.noDevice].contains(error.errno) {
            return nil
        }
    }

    func readText(_ file: String) throws(SysError) -> String? {
        try read(file).map { String(decoding: $0, as: UTF8.self) }
    }

    func write(_ file: String, _ value: String) throws(SysError) {
        do throws(SysError) {
            try parent.fd.open("\(name)/\(file)", .writeOnly).writeAll(Array(value.utf8))
        } catch { throw SysError(error.call, error.errno, "\(path)/\(file)") }
    }

    func open(_ file: String, _ flags: OpenFlags) throws(SysError) -> FD {
        try parent.fd.open("\(name)/\(file)", flags)
    }

    // MARK: opening

    /// Takes hold of an existing directory; nil where there is none.
    static func open(path: String, controllers: Set<CgroupController>, isUnified: Bool) throws(SysError) -> Self? {
        let (above, name) = split(path)
        do throws(SysError) {
            let parent = try Kernel.open(above, [.path, .directory])
            _ = try parent.open(name, [.path, .directory, .noFollow])
            return Self(
                controllers: controllers, isUnified: isUnified, parent: SharedFD(parent), name: name, path: path)
        } catch  where error.errno == Errno.noEntry {
            return nil
        }
    }

    static func split(_ path: String) -> (above: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    /// A directory inside this one, which need not exist.
    func child(_ child: String) -> Self {
        Self(
            controllers: [], isUnified: isUnified, parent: parent, name: "\(name)/\(child)", path: "\(path)/\(child)")
    }

    // MARK: making

    /// Makes the directory, and those above it where they are missing. A stale one of this name that holds no process
    /// is removed first; one that holds some is `cannotCreate`.
    static func make(
        mount: String, _ place: CgroupPath, controllers: Set<CgroupController>, isUnified: Bool
    ) throws(CtrError) -> Self {
        let above = place.above(mount)
        // More than once: another verb may remove an empty directory above between two of our calls.
        for _ in 0..<5 {
            do throws(SysError) {
                let parent = try Kernel.open(above, [.path, .directory])
                let directory = Self(
                    controllers: controllers, isUnified: isUnified, parent: SharedFD(parent), name: place.name,
                    path: "\(above)/\(place.name)")
                try directory.makeFresh()
                return directory
            } catch {
                switch error.errno {
                case Errno.noEntry: try makeParents(mount: mount, place)
                case Errno.busy: throw try occupied("\(above)/\(place.name)")
                default: throw CtrError(cgroup: "\(above)/\(place.name)", cause: error)
                }
            }
        }
        throw CtrError(.busy, "cgroup \(above)/\(place.name): the directory above is removed again and again")
    }

    /// EBUSY where the name is taken by a cgroup with processes.
    private func makeFresh() throws(SysError) {
        do throws(SysError) {
            try parent.fd.makeDirectory(name, mode: 0o755)
        } catch  where error.errno == Errno.exists {
            try removeEmpty()
            try parent.fd.makeDirectory(name, mode: 0o755)
        }
    }

    private static func makeParents(mount: String, _ place: CgroupPath) throws(CtrError) {
        do throws(SysError) {
            var directory = try Kernel.open(mount, [.readOnly, .directory])
            for name in place.components.dropLast() { directory = try directory.ensureDirectory(name, mode: 0o755) }
        } catch { throw CtrError(cgroup: place.above(mount), cause: error) }
    }

    private static func occupied(_ path: String) throws(CtrError) -> CtrError {
        let directory = try describing("cgroup \(path)") { () throws(SysError) in
            try open(path: path, controllers: [], isUnified: false)
        }
        let pids = (try? directory?.processes()) ?? []
        return CtrError(
            .cannotCreate,
            "cgroup \(path): exists and holds \(describe(pids)) (stop what runs there, or choose another name)",
            errno: Errno.exists)
    }
}

/// For messages: `process 12`, `processes 12, 13 and 5 more`.
func describe(_ pids: [Int32]) -> String {
    switch pids.count {
    case 0: "processes"
    case 1: "process \(pids[0])"
    case 2...5: "processes \(pids.map { "\($0)" }.joined(separator: ", "))"
    default: "processes \(pids.prefix(5).map { "\($0)" }.joined(separator: ", ")) and \(pids.count - 5) more"
    }
}

extension CtrError {
    /// A cgroup file or directory that could not be worked on, with what to do about it where that is known.
    init(cgroup path: String, cause: SysError) {
        let advice: String
        let code: CtrError.Code
        switch cause.errno {
        case Errno.access, Errno.perm:
            (code, advice) = (.unavailable, " (ctr needs root and a cgroup that it may change)")
        case Errno.readOnly:
            (code, advice) = (.unavailable, " (cgroups are mounted read only here, as in most containers)")
        case Errno.again:
            (code, advice) = (.cannotCreate, " (cgroup.max.descendants or cgroup.max.depth above is reached)")
        case Errno.busy: (code, advice) = (.busy, "")
        default: (code, advice) = (.io, "")
        }
        self.init(code, "cgroup \(path.escaped): \(cause)\(advice)", errno: cause.errno)
    }
}
