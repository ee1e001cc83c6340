internal import Kernel
public import Model
internal import Storage

/// `ctr snapshot create|delete|revert|list`.
public struct Snapshots: Sendable {
    public var vps: String

    public init(vps: String) { self.vps = vps }

    /// What `create` did.
    public struct Taken: Codable, Sendable {
        public var vps: String
        public var snapshot: String
        /// Snapshots that `--prune` removed.
        public var pruned: [String]
        /// How long the VPS stood still for it, in milliseconds; nil where it did not have to.
        public var frozenMilliseconds: Int?
        /// Where little is left of the disk.
        public var warning: String?
    }

    /// - Parameters:
    ///   - name: nil: one made of the present time.
    ///   - keep: how many of the snapshots without a name of their own to keep, this one included; nil: all.
    /// - Throws: `cannotCreate` where there is one of that name.
    public func create(
        _ name: String?, description: String? = nil, keep: Int? = nil, on host: Host
    ) throws(CtrError) -> Taken {
        if let name { try Name.validate(name, kind: "snapshot") }
        let hold = try DiskHold.take(vps, on: host)
        var tree = try hold.tree()
        let now = Timestamp.now()
        let name = name ?? Snapshots.automaticName(now, tree)
        if tree.named(name) != nil {
            throw CtrError(.cannotCreate, "snapshot \(name) of VPS \(vps): exists already")
        }
        var config = hold.config
        config.diskWork = nil
        var snapshot = Snapshot(
            name: name, id: try DiskHold.randomID(), parent: tree.current, created: now, config: config)
        snapshot.description = description
        try hold.work(DiskWork(.snapshot, snapshot.id))
        var taken = Taken(vps: vps, snapshot: name, pruned: [])
        do throws(CtrError) {
            taken.frozenMilliseconds = try take(snapshot.id, hold)
            tree.add(snapshot)
            try hold.write(tree)
        } catch {
            hold.undoSnapshot(snapshot.id)
            throw error
        }
        try hold.write { $0.diskWork = nil }
        EventLog(host).append(.snapshotCreated, vps: vps, detail: ["snapshot": .text(name)])
        if let keep { taken.pruned = try prune(keep, hold, host) }
        taken.warning = try warning(hold)
        return taken
    }

    /// - Returns: how long it stood still.
    private func take(_ id: String, _ hold: DiskHold) throws(CtrError) -> Int? {
        if hold.data.isImage {
            try hold.data.take(id)
            return nil
        }
        // A copy of files that change would be of no moment.
        return try hold.standingStill { () throws(CtrError) in try hold.data.take(id) }.1
    }

    /// Removes the restore point; no data of the VPS are lost.
    public func delete(_ name: String, on host: Host) throws(CtrError) {
        let hold = try DiskHold.take(vps, on: host)
        try delete(try hold.snapshot(name), hold, host)
    }

    private func delete(_ snapshot: Snapshot, _ hold: DiskHold, _ host: Host) throws(CtrError) {
        try SnapshotMount.refuse(snapshot.id, of: vps, named: snapshot.name, hold)
        try hold.work(DiskWork(.delete, snapshot.id))
        EventLog(host).append(.snapshotDeleted, vps: vps, detail: ["snapshot": .text(snapshot.name)])
    }

    /// - Parameters:
    ///   - withConfig: the configuration goes back too.
    ///   - stop: one that runs is stopped first.
    ///   - start: and it is started afterwards, whether it ran or not.
    public func revert(
        to name: String, withConfig: Bool, stop: Bool, start: Bool, on host: Host
    ) throws(CtrError) {
        // Before anything is stopped.
        try refuseUnknown(name, host)
        if stop || start { _ = try Stop(name: vps).run(on: host) }
        try revert(DiskHold.take(vps, on: host), to: name, withConfig, host)
        if start { _ = try Start(name: vps).run(on: host) }
    }

    private func revert(_ hold: DiskHold, to name: String, _ withConfig: Bool, _ host: Host) throws(CtrError) {
        if hold.running != nil {
            throw CtrError(
                .failed,
                "VPS \(vps): running (snapshot revert --stop stops it first, --start starts it again too)")
        }
        var work = DiskWork(.revert, try hold.snapshot(name).id)
        work.withConfig = withConfig
        try hold.work(work)
        EventLog(host).append(.reverted, vps: vps, detail: ["snapshot": .text(name)])
    }

    private func refuseUnknown(_ name: String, _ host: Host) throws(CtrError) {
        let files = try VPSFiles(vps, host: host)
        guard let directory = try files.directory(), try files.snapshots(in: directory).named(name) == nil else {
            return
        }
        throw CtrError(
            .notFound, "snapshot \(name.escaped) of VPS \(vps): no such snapshot (see ctr snapshot list \(vps))")
    }

    // MARK: automatic ones

    private static let automaticPrefix = "auto-"

    private static func automaticName(_ now: String, _ tree: SnapshotTree) -> String {
        let digits = now.filter { $0.isNumber }
        var name = "\(automaticPrefix)\(digits.prefix(8))-\(digits.dropFirst(8).prefix(6))"
        let first = name
        var count = 2
        while tree.named(name) != nil {
            name = "\(first)-\(count)"
            count += 1
        }
        return name
    }

    /// The oldest of those that were made without a name go.
    private func prune(_ keep: Int, _ hold: DiskHold, _ host: Host) throws(CtrError) -> [String] {
        let old = try hold.tree().snapshots.filter { $0.name.hasPrefix(Snapshots.automaticPrefix) }.dropLast(keep)
        for snapshot in old { try delete(snapshot, hold, host) }
        return old.map(\.name)
    }

    private func warning(_ hold: DiskHold) throws(CtrError) -> String? {
        guard let space = try hold.data.space(), space.size > 0, space.available * 10 < space.size else { return nil }
        return "disk of VPS \(vps): \(Size.format(space.available)) of \(Size.format(space.size)) are left, snapshots "
            + "included (ctr snapshot list \(vps) shows what each holds)"
    }
}

/// `snapshot list` as programs see it.
public struct SnapshotList: Codable, Sendable {
    public struct Item: Codable, Sendable {
        public var name: String
        public var parent: String?
        /// How deep in the tree, from 0.
        public var depth: Int
        public var created: String
        public var description: String?
        /// Bytes that it alone holds: what deleting it gives back.
        public var exclusive: Int64?
    }

    public var vps: String
    public var snapshots: [Item]
    /// The snapshot on which the VPS's disk is based.
    public var current: String?

    public static func read(_ vps: String, on host: Host) throws(CtrError) -> SnapshotList {
        let hold = try DiskHold.take(vps, on: host)
        let tree = try hold.tree()
        let names = Dictionary(tree.snapshots.map { ($0.id, $0.name) }) { first, _ in first }
        let ordered = tree.ordered
        let sizes = try hold.data.exclusive(ordered.map(\.snapshot.id))
        let items = zip(ordered, sizes).map { entry, size in
            Item(
                name: entry.snapshot.name, parent: entry.snapshot.parent.flatMap { names[$0] }, depth: entry.depth,
                created: entry.snapshot.created, description: entry.snapshot.description, exclusive: size)
        }
        return SnapshotList(vps: vps, snapshots: items, current: tree.current.flatMap { names[$0] })
    }
}
