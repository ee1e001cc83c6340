internal import Cgroups
internal import Kernel
internal import Model
internal import Storage

/// The disk of a kept VPS in the hands of a verb, whether it runs or not: nobody starts, changes or destroys the VPS while
/// this lives. What a crash left half done on the disk is finished or undone first.
final class DiskHold {
    let files: VPSFiles
    let lock: VerbLock
    private(set) var config: VPSConfig
    let data: SnapshotData
    /// The state of a VPS that runs.
    let running: VPSState?
    /// Keeps the image of one that does not run attached.
    private let attached: AttachedDisk?

    /// - Throws: `notFound`, `busy`; `failed` for an ephemeral VPS.
    static func take(_ name: String, on host: Host) throws(CtrError) -> DiskHold {
        let files = try VPSFiles(name, host: host)
        guard let known = try files.config() else { throw VPSFiles.unknown(name) }
        if known.ephemeral {
            throw CtrError(.failed, "VPS \(name): ephemeral, its disk goes with it (run --keep keeps it)")
        }
        return try DiskHold(files, VerbLock.take(files))
    }

    /// With the VPS's lock held.
    convenience init(_ files: VPSFiles, _ lock: VerbLock) throws(CtrError) {
        try self.init(working: files, lock)
        // What was half done may have made it so.
        if running == nil { try files.refuseSuspended() }
    }

    /// Finishes what was half done, with the VPS's lock held.
    static func mend(_ files: VPSFiles, _ lock: VerbLock) throws(CtrError) { _ = try DiskHold(working: files, lock) }

    private init(working files: VPSFiles, _ lock: VerbLock) throws(CtrError) {
        self.files = files
        self.lock = lock
        guard let config = try files.keptConfig(in: lock.directory) else { throw VPSFiles.unknown(files.name) }
        self.config = config
        let running = try RunningInit.find(files)?.state
        self.running = running
        if running == nil {
            try LostVPS.refuse(files)
            // A revert to a snapshot with memory is finished all the same.
            if config.diskWork?.verb != .revert { try files.refuseSuspended() }
        }
        if running == nil, let state = try files.stateDirectory(), try Locks.hasSupervisor(state, of: files.name) {
            throw CtrError(.busy, "VPS \(files.name): its supervisor is at work on it, try again")
        }
        guard let disk = config.disk, let image = files.image(config, in: lock.directory) else {
            attached = nil
            data = SnapshotData(
                top: lock.directory, isImage: false, of: files.name, room: SpaceReserve.room(files))
            try finishWork()
            return
        }
        let found: AttachedDisk
        if let running {
            guard let loop = running.loop, let used = try image.inUse(loop: loop) else {
                throw CtrError(
                    .busy, "disk of VPS \(files.name): its loop device has gone (the VPS has just ended, try again)")
            }
            found = used
        } else {
            found = try image.open(disk)
        }
        attached = found
        data = SnapshotData(top: try found.openTop(), isImage: true, of: files.name)
        // Of a hibernation that was killed, or whose VPS goes on.
        if !files.isHibernated(in: lock.directory) { CheckpointFiles.sweep(disk: data.top) }
        try finishWork()
    }

    /// A detached mount that holds a snapshot's `upper`.
    /// - Parameter id: nil: the disk as it is.
    func mount(_ id: String?) throws(CtrError) -> SharedFD {
        if let attached {
            guard let id else { return try attached.mountRoot() }
            return try attached.mountSnapshot(id)
        }
        let directory = try data.open(id)
        return try describing("disk of VPS \(files.name)") { () throws(SysError) in
            SharedFD(try directory.fd.cloneMount())
        }
    }

    /// config.json, replaced whole.
    func write(_ change: (inout VPSConfig) -> Void) throws(CtrError) {
        change(&config)
        try VPSFiles.write(config, "config.json", in: lock.directory, of: files.name, durable: true)
    }

    // MARK: snapshots

    func tree() throws(CtrError) -> SnapshotTree { try files.snapshots(in: lock.directory) }

    func write(_ tree: SnapshotTree) throws(CtrError) {
        try VPSFiles.write(tree, VPSFiles.snapshotsFile, in: lock.directory, of: files.name, durable: true)
    }

    func snapshot(_ name: String) throws(CtrError) -> Snapshot {
        guard let found = try tree().named(name) else {
            throw CtrError(
                .notFound,
                "snapshot \(name.escaped) of VPS \(files.name): no such snapshot (see ctr snapshot list \(files.name))")
        }
        return found
    }

    /// Says what is about to be done, does it, and says that it is done.
    func work(_ work: DiskWork) throws(CtrError) {
        try write { $0.diskWork = work }
        try finish(work)
    }

    /// The file's size is the truth, and the file system in it is made to fill it: so a resize that was cut short is
    /// finished or undone.
    func finishResize() throws(CtrError) {
        guard let attached, let image = files.image(config, in: lock.directory) else { return }
        let size = try image.sizes().size
        try attached.updateSize()
        try data.fillDevice(size)
        try write { config in
            config.disk?.size = size
            config.disk?.resizingTo = nil
        }
    }

    private func finishWork() throws(CtrError) {
        if config.disk?.resizingTo != nil { try finishResize() }
        guard let work = config.diskWork else { return }
        switch work.verb {
        case .delete, .revert: try finish(work)
        case .clone:
            try data.finishClone()
            try write { $0.diskWork = nil }
        case .snapshot:
            try settleSnapshot(work.id)
        case .seal:
            try finishSeal(work.id)
        }
        EventLog(files.host).append(.recovered, vps: files.name)
    }

    /// One that is in the tree has its data. Of another only the id is known: it never was one.
    private func settleSnapshot(_ id: String) throws(CtrError) {
        if try !tree().snapshots.contains(where: { $0.id == id }) {
            try data.remove(id)
            try memory(of: id).remove()
            files.sweepCheckpoints(in: lock.directory)
        }
        try write { $0.diskWork = nil }
    }

    /// After a failure: with whatever of it is there.
    func undoSnapshot(_ id: String) {
        if var tree = try? tree(), tree.snapshots.contains(where: { $0.id == id }) {
            tree.remove(id)
            guard (try? write(tree)) != nil else { return }
        }
        files.sweepCheckpoints(in: lock.directory)
        guard (try? data.remove(id)) != nil, (try? memory(of: id).remove()) != nil else { return }
        try? write { $0.diskWork = nil }
    }

    private func finish(_ work: DiskWork) throws(CtrError) {
        var tree = try tree()
        let memory = memory(of: work.id)
        var resumes = false
        switch work.verb {
        case .snapshot, .clone, .seal: return
        case .delete:
            try data.remove(work.id)
            try memory.remove()
            tree.remove(work.id)
        case .revert:
            if work.withoutMemory != true { resumes = try memory.exists() }
            if resumes { try memory.link() }
            try data.revert(to: work.id)
            tree.current = work.id
        }
        try write(tree)
        if resumes { try memory.commit() }
        let old = tree.snapshots.first { $0.id == work.id }?.config
        try write { config in
            if work.verb == .revert, work.withConfig, let old { config.takeBack(old) }
            // The disk may be that of a time before it was written.
            if work.verb == .revert { config.addDue(old?.identityDue ?? []) }
            config.diskWork = nil
        }
    }
}

extension VPSFiles {
    static let snapshotsFile = "snapshots.json"

    /// All snapshots of a VPS; none where it never had one.
    func snapshots(in directory: SharedFD) throws(CtrError) -> SnapshotTree {
        try VPSFiles.read(VPSFiles.snapshotsFile, in: directory, of: name) ?? SnapshotTree()
    }
}

extension VPSConfig {
    /// The configuration of an earlier moment, but for what the VPS is by now: its name, its ids, its network, the size of its disk.
    fileprivate mutating func takeBack(_ old: VPSConfig) {
        let now = self
        self = old
        name = now.name
        idRange = now.idRange
        network = now.network
        interface = now.interface
        interfaces = now.interfaces
        disk = now.disk
        created = now.created
        protected = now.protected
    }
}
