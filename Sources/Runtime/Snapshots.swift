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
        /// Why it did not remove others: they are mounted.
        public var unpruned: [String] = []
        /// How long the VPS stood still for it, in milliseconds; nil where it did not have to.
        public var frozenMilliseconds: Int?
        /// Bytes of memory that were taken with it.
        public var memory: Int64?
        /// Where little is left of the disk.
        public var warning: String?
    }

    /// - Parameters:
    ///   - name: nil: one made of the present time.
    ///   - memory: of a VPS that runs, with that of its processes, of the same instant.
    ///   - keep: how many of the snapshots without a name of their own to keep, this one included; nil: all.
    /// - Throws: `cannotCreate` where there is one of that name; `failed` where there is no memory to take.
    public func create(
        _ name: String?, description: String? = nil, memory: Bool = false, keep: Int? = nil, on host: Host
    ) throws(CtrError) -> Taken {
        if let name { try Name.validate(name, kind: "snapshot") }
        try SpaceReserve.keep("snapshot of VPS \(vps)", half: true, host)
        let hold = try DiskHold.take(vps, on: host)
        var tree = try hold.tree()
        let now = Timestamp.now()
        let isAutomatic = name == nil
        let name = name ?? Snapshots.automaticName(now, tree)
        if tree.named(name) != nil {
            throw CtrError(
                .cannotCreate,
                "snapshot \(name) of VPS \(vps): exists already (choose another name, or ctr snapshot delete \(vps) \(name))"
            )
        }
        if memory, hold.running == nil {
            throw CtrError(
                .failed, "VPS \(vps): not running, there is no memory to take (leave --memory out, or ctr start \(vps))"
            )
        }
        var config = hold.config
        config.diskWork = nil
        var snapshot = Snapshot(
            name: name, id: try DiskHold.randomID(), parent: tree.current, created: now, config: config)
        snapshot.description = description
        snapshot.automatic = isAutomatic ? true : nil
        try hold.work(DiskWork(.snapshot, snapshot.id))
        var taken = Taken(vps: vps, snapshot: name, pruned: [])
        do throws(CtrError) {
            if memory {
                let all = try hold.memory(of: snapshot.id).take(hold.lock, host)
                (snapshot.memory, taken.memory, taken.frozenMilliseconds) = (all.bytes, all.bytes, all.milliseconds)
            } else {
                taken.frozenMilliseconds = try take(snapshot.id, hold)
            }
            tree.add(snapshot)
            try hold.write(tree)
        } catch {
            hold.undoSnapshot(snapshot.id)
            throw error
        }
        try hold.write { $0.diskWork = nil }
        EventLog(host).append(.snapshotCreated, vps: vps, detail: ["snapshot": .text(name)])
        if let keep { try prune(keep, hold, host, &taken) }
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
    ///   - withoutMemory: the disk alone, where memory was taken with it.
    /// - Returns: whether it is suspended, or was before it was started: memory was taken with it.
    @discardableResult
    public func revert(
        to name: String, withConfig: Bool, withoutMemory: Bool = false, stop: Bool, start: Bool, on host: Host
    ) throws(CtrError) -> Bool {
        // Before anything is stopped.
        try refuseUnknown(name, host)
        if stop || start { try end(host) }
        let isSuspended = try revert(to: name, withConfig, withoutMemory, host)
        if start { _ = try Start(name: vps).run(on: host) }
        return isSuspended
    }

    /// One that is suspended is stopped without its memory, which is lost with its disk.
    private func end(_ host: Host) throws(CtrError) {
        let files = try VPSFiles(vps, host: host)
        if try files.hasCheckpoint(), try RunningInit.find(files) == nil {
            try Resume(name: vps).discard(on: host)
        } else {
            _ = try Stop(name: vps).run(on: host)
        }
    }

    private func revert(
        to name: String, _ withConfig: Bool, _ withoutMemory: Bool, _ host: Host
    ) throws(CtrError) -> Bool {
        let (files, lock, config) = try revertDisk(to: name, withConfig, withoutMemory, host)
        defer { withExtendedLifetime(lock) {} }
        guard try files.hasCheckpoint() else { return false }
        // Which has been let go of by now.
        try DiskMark.write(files, config, in: lock.directory)
        return true
    }

    private func revertDisk(
        to name: String, _ withConfig: Bool, _ withoutMemory: Bool, _ host: Host
    ) throws(CtrError) -> (VPSFiles, VerbLock, VPSConfig) {
        let hold = try DiskHold.take(vps, on: host)
        if hold.running != nil {
            throw CtrError(
                .failed,
                "VPS \(vps): running (snapshot revert --stop stops it first, --start starts it again too)")
        }
        try hold.config.refuseSealed()
        let snapshot = try hold.snapshot(name)
        var work = DiskWork(.revert, snapshot.id)
        work.withConfig = withConfig
        if withoutMemory { work.withoutMemory = true }
        if snapshot.memory != nil, !withoutMemory {
            try hold.memory(of: snapshot.id).refuseForeign(hold.config, named: name)
        }
        DiskMark.remove(in: hold.lock.directory)
        try hold.work(work)
        EventLog(host).append(.reverted, vps: vps, detail: ["snapshot": .text(name)])
        return (hold.files, hold.lock, hold.config)
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
    private func prune(_ keep: Int, _ hold: DiskHold, _ host: Host, _ taken: inout Taken) throws(CtrError) {
        for snapshot in try hold.tree().snapshots.filter({ $0.automatic == true }).dropLast(keep) {
            do throws(CtrError) {
                try delete(snapshot, hold, host)
                taken.pruned.append(snapshot.name)
            } catch  where error.code == .busy {
                taken.unpruned.append(error.message)
            }
        }
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
        /// How far it is from the left edge of a tree: only branches go deeper.
        public var depth: Int
        public var created: String
        public var description: String?
        /// Bytes that it alone holds: what deleting it gives back.
        public var exclusive: Int64?
        /// Bytes of the memory that was taken with it; nil where none was.
        public var memory: Int64?
    }

    public var vps: String
    public var snapshots: [Item]
    /// The snapshot on which the VPS's disk is based.
    public var current: String?

    public static func read(_ vps: String, on host: Host) throws(CtrError) -> SnapshotList {
        let files = try VPSFiles(vps, host: host)
        if try files.hasCheckpoint(), try RunningInit.find(files) == nil {
            // Its image must not be mounted; so no sizes.
            let lock = try VerbLock.take(files)
            return SnapshotList(vps, try files.snapshots(in: lock.directory), nil)
        }
        let hold = try DiskHold.take(vps, on: host)
        let tree = try hold.tree()
        let sizes = try hold.data.exclusive(tree.ordered.map(\.snapshot.id))
        return SnapshotList(vps, tree, sizes)
    }

    private init(_ vps: String, _ tree: SnapshotTree, _ sizes: [Int64?]?) {
        self.vps = vps
        let names = Dictionary(tree.snapshots.map { ($0.id, $0.name) }) { first, _ in first }
        snapshots = tree.ordered.enumerated().map { index, entry in
            Item(
                name: entry.snapshot.name, parent: entry.snapshot.parent.flatMap { names[$0] }, depth: entry.depth,
                created: entry.snapshot.created, description: entry.snapshot.description, exclusive: sizes?[index],
                memory: entry.snapshot.memory)
        }
        current = tree.current.flatMap { names[$0] }
    }
}
