internal import Kernel
public import Model

/// The cgroups that a guest has made below its own, with their owners, modes and settings: to be made again, also those
/// without a process, since an init watches and writes files in them.
public struct CgroupTree: Codable, Sendable, Equatable {
    /// One cgroup.
    public struct Node: Codable, Sendable, Equatable {
        /// In the unified hierarchy; else in that of these v1 controllers.
        public var unified: Bool
        public var controllers: [CgroupController]
        /// Below the guest's root cgroup; empty: that itself.
        public var path: String
        public var uid: UInt32
        public var gid: UInt32
        public var mode: UInt32
        /// Files with another owner or mode than such a directory's files have when it is made.
        public var files: [File] = []
        /// What was written to files that can be: `cgroup.subtree_control`, `memory.max`.
        public var values: [String: String] = [:]
    }

    public struct File: Codable, Sendable, Equatable {
        public var name: String
        public var uid: UInt32
        public var gid: UInt32
        public var mode: UInt32
    }

    /// Those above before those below.
    public var nodes: [Node] = []

    /// A guest that made more of them is not one to be suspended.
    static let limit = 20_000

    /// Files whose owner or mode an init changes.
    static let handed = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks", "memory.oom.group"]

    /// Settings of the guest's own; what the kernel has another default for is not there on every kernel.
    static let settings = [
        "cgroup.type", "cgroup.max.depth", "cgroup.max.descendants", "memory.min", "memory.low", "memory.high",
        "memory.max",
        "memory.swap.max", "memory.oom.group", "pids.max", "cpu.weight", "cpu.max", "cpu.idle", "cpuset.cpus",
        "cpuset.mems",
        "io.weight", "memory.limit_in_bytes", "cpu.shares", "cgroup.subtree_control",
    ]

    /// Those that who makes processes anew could hit, who needs more than they have.
    static let bounds: Set = [
        "memory.high", "memory.max", "memory.swap.max", "memory.limit_in_bytes", "pids.max",
    ]
}

extension Cgroup {
    /// What the guest has made in it by now. The caller sees to it that nothing of the guest runs meanwhile.
    public func tree() throws(CtrError) -> CgroupTree {
        var tree = CgroupTree()
        for directory in directories {
            let top = directory.isUnified ? directory.child(Cgroup.payload) : directory
            let known = directory.controllers.sorted { $0.rawValue < $1.rawValue }
            do throws(SysError) {
                var pending = [""]
                while let path = pending.popLast() {
                    guard tree.nodes.count < CgroupTree.limit else {
                        throw SysError("read", Errno.tooBig, "\(top.path): \(CgroupTree.limit) cgroups")
                    }
                    let here = try top.open(path, [.readOnly, .directory, .noFollow])
                    tree.nodes.append(
                        try CgroupTree.node(here, path, unified: directory.isUnified, controllers: known))
                    for entry in try here.entries() where entry.type == .directory {
                        pending.append(path.isEmpty ? "\(entry.name)" : "\(path)/\(entry.name)")
                    }
                }
            } catch { throw CtrError(cgroup: top.path, cause: error) }
        }
        return tree
    }

    /// Makes the cgroups of a tree again, where they are not there. What this host can't set (it has other controllers)
    /// is left out, and so are its bounds of memory and processes: see ``bound(_:)``.
    public func make(_ tree: CgroupTree) throws(CtrError) {
        try each(tree) { (top, node) throws(SysError) in try top.make(node) }
    }

    /// Sets the bounds of a tree that has been made, and that has its processes.
    /// - Throws: `busy` where more memory is in use.
    public func bound(_ tree: CgroupTree) throws(CtrError) {
        try each(tree) { (top, node) throws(SysError) in
            try top.set(CgroupTree.settings.filter(CgroupTree.bounds.contains), of: node)
        }
    }

    private func each(
        _ tree: CgroupTree, _ body: (CgroupDirectory, CgroupTree.Node) throws(SysError) -> Void
    ) throws(CtrError) {
        for node in tree.nodes {
            guard let directory = directories.first(where: { $0.isUnified == node.unified && $0.fits(node) }) else {
                continue
            }
            let top = directory.isUnified ? directory.child(Cgroup.payload) : directory
            do throws(SysError) { try body(top, node) } catch {
                throw CtrError(cgroup: "\(top.path)/\(node.path)", cause: error)
            }
        }
    }
}

extension CgroupTree {
    fileprivate static func node(
        _ directory: borrowing FD, _ path: String, unified: Bool, controllers: [CgroupController]
    ) throws(SysError) -> Node {
        let status = try directory.status()
        var node = Node(
            unified: unified, controllers: controllers, path: path, uid: status.uid, gid: status.gid,
            mode: status.permissions)
        for name in handed {
            guard let file = try? directory.status(of: name) else { continue }
            node.files.append(File(name: name, uid: file.uid, gid: file.gid, mode: file.permissions))
        }
        // The host's limits of the guest's own root are in its configuration.
        for name in settings where !path.isEmpty || name == "cgroup.subtree_control" {
            guard let bytes = try? directory.open(name, [.readOnly]).read(upTo: 4096) else { continue }
            node.values[name] = String(decoding: bytes, as: UTF8.self).trimmed
        }
        return node
    }
}

extension CgroupDirectory {
    fileprivate func fits(_ node: CgroupTree.Node) -> Bool {
        isUnified || !controllers.isDisjoint(with: node.controllers) || controllers.isEmpty && node.controllers.isEmpty
    }

    /// As the guest would: what it makes belongs to its root.
    fileprivate func make(_ node: CgroupTree.Node) throws(SysError) {
        if !node.path.isEmpty {
            let (parent, name, path) = (parent, name, node.path)
            do throws(SysError) {
                try Identity.acting(asUser: node.uid, group: node.gid) { () throws(SysError) in
                    try parent.fd.makeDirectory("\(name)/\(path)", mode: 0o755)
                }
            } catch  where error.errno == Errno.exists {}
        }
        let here = try open(node.path, [.readOnly, .directory, .noFollow])
        let status = try here.status()
        if status.uid != node.uid || status.gid != node.gid { try here.changeOwner(uid: node.uid, gid: node.gid) }
        if status.permissions != node.mode { try here.changeMode(node.mode) }
        for file in node.files {
            guard let there = try? here.status(of: file.name) else { continue }
            if there.uid != file.uid || there.gid != file.gid {
                try here.changeOwner(of: file.name, uid: file.uid, gid: file.gid)
            }
            if there.permissions != file.mode { try here.changeMode(of: file.name, file.mode) }
        }
        try set(CgroupTree.settings.filter { !CgroupTree.bounds.contains($0) }, of: node)
    }

    fileprivate func set(_ settings: [String], of node: CgroupTree.Node) throws(SysError) {
        let here = try open(node.path, [.readOnly, .directory, .noFollow])
        for name in settings {
            guard let wanted = node.values[name] else { continue }
            guard let bytes = try? here.open(name, [.readOnly]).read(upTo: 4096),
                case let present = String(decoding: bytes, as: UTF8.self).trimmed, present != wanted
            else { continue }
            try set(name, wanted, present, in: here)
        }
    }

    private func set(
        _ name: String, _ wanted: String, _ present: String, in here: borrowing FD
    ) throws(SysError) {
        var value = wanted
        if name == "cgroup.subtree_control" {
            let missing = Set(wanted.split(separator: " ")).subtracting(present.split(separator: " "))
            if missing.isEmpty { return }
            value = missing.sorted().map { "+\($0)" }.joined(separator: " ")
        } else if name == "cgroup.type" {
            guard wanted == "threaded" else { return }
        }
        do throws(SysError) { try here.open(name, [.writeOnly]).writeAll(Array(value.utf8)) } catch {
            // Not offered here, or not to this cgroup.
            let absent = [Errno.noEntry, Errno.notSupported, Errno.invalid, Errno.noDevice].contains(error.errno)
            if !absent { throw SysError(error.call, error.errno, "\(path)/\(name)") }
        }
    }
}
