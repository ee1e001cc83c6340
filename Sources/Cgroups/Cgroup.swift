public import Kernel
public import Model

/// The cgroup of one VPS: a directory in each hierarchy that is needed for it.
///
/// In the unified hierarchy it is two levels deep. `ctr/NAME` belongs to the host and carries limits, freezing,
/// killing and the device program; `ctr/NAME/payload` below holds the processes, is the root of the guest's cgroup
/// namespace and is delegated to the guest's root. One level would do for a guest in a user namespace, which can't
/// write the host's files; but a guest with the host's root could lift its own limits wherever cgroup2 is mounted
/// without `nsdelegate`, and could find them in its own root directory in any case.
public struct Cgroup: Sendable {
    let place: CgroupPath
    var directories: [CgroupDirectory]
    let owner: UInt32?

    /// The directory in the unified hierarchy that is the guest's root cgroup.
    static let payload = "payload"
    /// Where processes join when the guest has made its root an inner node, see ``join()``.
    static let joinLeaf = "payload/.ctr"

    var unified: CgroupDirectory? { directories.first { $0.isUnified } }

    func directory(of controller: CgroupController) -> CgroupDirectory? {
        directories.first { $0.controllers.contains(controller) }
    }

    /// What to keep in the VPS's state for ``open(_:)``.
    public var record: CgroupRecord {
        CgroupRecord(
            path: place.components.joined(separator: "/"),
            directories: directories.map {
                CgroupRecord.Directory(
                    path: $0.path, unified: $0.isUnified,
                    controllers: $0.controllers.sorted { $0.rawValue < $1.rawValue })
            }, owner: owner)
    }

    /// Takes hold of a cgroup made earlier. Throws `notFound` if a directory of it has gone.
    public static func open(_ record: CgroupRecord) throws(CtrError) -> Cgroup {
        let cgroup = try openWhatIsThere(record)
        if cgroup.directories.count < record.directories.count {
            let there = Set(cgroup.directories.map(\.path))
            let gone = record.directories.first { !there.contains($0.path) }
            throw CtrError(.notFound, "cgroup \(gone?.path.escaped ?? ""): it has gone", errno: Errno.noEntry)
        }
        return cgroup
    }

    /// As ``open(_:)``, with what is left of it: for clearing up.
    public static func openWhatIsThere(_ record: CgroupRecord) throws(CtrError) -> Cgroup {
        let place = try CgroupPath(parent: "", path: record.path)
        var directories: [CgroupDirectory] = []
        for known in record.directories {
            do throws(SysError) {
                let directory = try CgroupDirectory.open(
                    path: known.path, controllers: Set(known.controllers), isUnified: known.unified)
                if let directory { directories.append(directory) }
            } catch { throw CtrError(cgroup: known.path, cause: error) }
        }
        return Cgroup(place: place, directories: directories, owner: record.owner)
    }

    /// What a process needs to become part of this cgroup.
    ///
    /// - `cloneInto`: a directory for CLONE_INTO_CGROUP of clone3(2); nil on a host without v2.
    /// - `joinFiles`: into each of them the new process, while it has one thread, writes "0". That moves the calling
    ///   thread alone, for which the kernel need not stop all forks of the machine (cgroup_threadgroup_rwsem) and
    ///   wait for an RCU grace period; writing its pid to cgroup.procs costs 5 ms on an idle host. The right to do so
    ///   is that of whoever opened the files, so the process may be in a user namespace already.
    ///
    /// The cgroup namespace is unshared after that: its root is where the process then is.
    ///
    /// A guest that runs systemd turns its root cgroup into an inner node, in which no process may live; then
    /// `cloneInto` is a leaf beside systemd's own, `.ctr`, that the guest's root owns too.
    public func join() throws(CtrError) -> (cloneInto: SharedFD?, joinFiles: [SharedFD]) {
        var cloneInto: SharedFD?
        var joinFiles: [SharedFD] = []
        for directory in directories {
            do throws(SysError) {
                if directory.isUnified {
                    cloneInto = SharedFD(try openPayload(of: directory))
                } else {
                    joinFiles.append(SharedFD(try directory.open("tasks", .writeOnly)))
                }
            } catch { throw CtrError(cgroup: directory.path, cause: error) }
        }
        return (cloneInto, joinFiles)
    }

    private func openPayload(of directory: CgroupDirectory) throws(SysError) -> FD {
        let root = directory.child(Cgroup.payload)
        let shares = try root.open("cgroup.subtree_control", .readOnly).read(upTo: 256)
        if shares.isEmpty { return try root.open("", [.path, .directory]) }
        var leaf = directory.child(Cgroup.joinLeaf)
        leaf.controllers = directory.controllers
        do throws(SysError) {
            try leaf.parent.fd.makeDirectory(leaf.name, mode: 0o755)
            try leaf.giveAway(to: owner)
        } catch  where error.errno == Errno.exists {}
        return try leaf.open("", [.path, .directory])
    }
}
