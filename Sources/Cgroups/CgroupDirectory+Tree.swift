internal import Kernel

// What a guest makes below its own cgroup may be deep or broad without measure. So nothing here recurses, holds more
// than one descriptor at a time, or names a path from the top.

extension CgroupDirectory {
    /// Calls `enter` for this directory and each below it, and `leave` (the directory above, the name) for each below
    /// when all within it is done. What vanishes meanwhile is passed over.
    func walk(
        enter: (borrowing FD) throws(SysError) -> Void = { (_: borrowing FD) throws(SysError) in },
        leave: (borrowing FD, Path) throws(SysError) -> Void = { (_: borrowing FD, _: Path) throws(SysError) in }
    ) throws(SysError) {
        var current = try open("", [.readOnly, .directory])
        try enter(current)
        var names: [Path] = []
        var pending = [try CgroupDirectory.directories(in: current)]
        while true {
            if let name = pending[pending.count - 1].popLast() {
                guard let child = try CgroupDirectory.openIfThere(current, name) else { continue }
                try enter(child)
                pending.append(try CgroupDirectory.directories(in: child))
                names.append(name)
                current = child
            } else {
                pending.removeLast()
                guard let name = names.popLast() else { return }
                current = try current.open("..", [.readOnly, .directory])
                try leave(current, name)
            }
        }
    }

    private static func openIfThere(_ directory: borrowing FD, _ name: Path) throws(SysError) -> FD? {
        do throws(SysError) { return try directory.open(name, [.readOnly, .directory, .noFollow]) } catch {
            if error.errno == Errno.noEntry || error.errno == Errno.noDevice { return nil }
            throw error
        }
    }

    private static func directories(in directory: borrowing FD) throws(SysError) -> [Path] {
        do throws(SysError) { return try directory.entries().filter { $0.type == .directory }.map(\.name) } catch {
            if error.errno == Errno.noEntry || error.errno == Errno.noDevice { return [] }
            throw error
        }
    }

    /// The processes here and below, without those that this pid namespace can't see.
    func processes() throws(SysError) -> [Int32] {
        var all: [Int32] = []
        do throws(SysError) {
            try walk { (directory: borrowing FD) throws(SysError) in
                do throws(SysError) {
                    all += CgroupDirectory.parsePIDs(try directory.open("cgroup.procs", .readOnly).readAll())
                } catch {
                    // A threaded cgroup (EOPNOTSUPP): its processes are those of the domain above.
                    let gone = [Errno.noEntry, Errno.noDevice, Errno.notSupported].contains(error.errno)
                    if !gone { throw error }
                }
            }
        } catch  where error.errno == Errno.noEntry { return [] }
        return all
    }

    static func parsePIDs(_ text: [UInt8]) -> [Int32] {
        text.split(separator: UInt8(ascii: "\n")).compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
            .filter { $0 > 0 }
    }

    /// Removes this cgroup and those below; nothing there is fine, EBUSY where a process lives in one of them.
    func removeEmpty() throws(SysError) {
        do throws(SysError) {
            return try parent.fd.unlink(name, directory: true)
        } catch  where error.errno == Errno.noEntry {
            return
        } catch  where error.errno == Errno.busy {}
        // Either processes or other cgroups are in it.
        do throws(SysError) {
            try walk(leave: { (above: borrowing FD, name: Path) throws(SysError) in
                do throws(SysError) { try above.unlink(name, directory: true) } catch
                    where error.errno == Errno.noEntry
                {}
            })
            try parent.fd.unlink(name, directory: true)
        } catch  where error.errno == Errno.noEntry {}
    }
}
