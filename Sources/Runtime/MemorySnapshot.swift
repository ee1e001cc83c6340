internal import Checkpoint
internal import Kernel
internal import Model
internal import Storage

/// The memory that a snapshot was taken with, of the same instant as its disk: a checkpoint at `memory/ID` in the VPS's
/// directory. It is never used itself: going back to it makes a `checkpoint` of the same files (hard links).
struct MemorySnapshot {
    static let all = "memory"

    let files: VPSFiles
    /// The VPS's.
    let directory: SharedFD
    let id: String

    private var path: String { "\(MemorySnapshot.all)/\(id)" }
    private var what: String { "memory of a snapshot of VPS \(files.name)" }

    /// Takes disk and memory of a VPS that runs, while it stands still once; it runs on.
    /// - Returns: bytes of the checkpoint, and milliseconds for which it stood still.
    func take(_ lock: VerbLock, _ host: Host) throws(CtrError) -> (bytes: Int64, milliseconds: Int?) {
        var verb = Suspend(name: files.name, keepRunning: true)
        verb.snapshot = id
        _ = try verb.checkpoint(files, lock, on: host)
        let manifest: Manifest
        do throws(CtrError) { manifest = try seal() } catch {
            // As large as its memory, and nobody's.
            files.sweepCheckpoints(in: directory)
            throw error
        }
        return (manifest.size, DumpStatistics.read("\(files.path)/log")?.frozenMilliseconds)
    }

    private func seal() throws(CtrError) -> Manifest {
        let directory = directory
        try describing(what) { () throws(SysError) in
            _ = try directory.fd.ensureDirectory(MemorySnapshot.all, mode: 0o700)
        }
        let manifest = try SuspendStep(files: files, directory: directory).seal(as: path)
        try describing(what) { () throws(SysError) in try directory.fd.open(MemorySnapshot.all, .directory).sync() }
        return manifest
    }

    /// Nothing there is no error.
    func remove() throws(CtrError) {
        let (directory, path) = (directory, path)
        try describing(what) { () throws(SysError) in
            do throws(SysError) { try directory.fd.removeTree(path) } catch  where error.errno == Errno.noEntry {}
        }
    }

    func exists() throws(CtrError) -> Bool {
        let (directory, path) = (directory, path)
        return try describing(what) { () throws(SysError) in
            do throws(SysError) { return try directory.fd.status(of: path).type == .directory } catch
                where error.errno == Errno.noEntry
            { return false }
        }
    }

    /// - Throws: `failed` where what the VPS is by now is no place for it; `config` where it is damaged.
    func refuseForeign(_ config: VPSConfig, named name: String) throws(CtrError) {
        let (directory, path) = (directory, path)
        let place = try describing(what) { () throws(SysError) in
            SharedFD(try directory.fd.open(path, [.directory, .noFollow]))
        }
        guard let record: SuspendRecord = try VPSFiles.read(CheckpointFiles.record, in: place, of: files.name) else {
            throw CtrError(.config, "\(what): damaged: no \(CheckpointFiles.record)")
        }
        let changed: String? =
            if record.config.name != config.name {
                "name"
            } else if record.config.idRange != config.idRange {
                "range of host ids"
            } else if record.config.network != config.network {
                "network"
            } else if !record.config.hasSamePorts(as: config) {
                "set of interfaces"
            } else if record.config.template != config.template {
                "template"
            } else {
                nil
            }
        guard let changed else { return }
        throw CtrError(
            .failed,
            "snapshot \(name.escaped) of VPS \(files.name): its memory is of a time when the VPS had another \(changed) "
                + "(--without-memory goes back to its disk alone)")
    }

    /// Prepares a checkpoint of the same files. It is none yet.
    func link() throws(CtrError) {
        files.sweepCheckpoints(in: directory)
        let (directory, path) = (directory, path)
        try describing(what) { () throws(SysError) in
            let source = SharedFD(try directory.fd.open(path, [.directory, .noFollow]))
            try directory.fd.makeDirectory(CheckpointFiles.unfinished, mode: 0o700)
            let target = SharedFD(try directory.fd.open(CheckpointFiles.unfinished, [.directory, .noFollow]))
            for entry in try source.fd.entries() {
                if entry.type != .directory {
                    try MemorySnapshot.link(entry.name, source, target)
                    continue
                }
                let below = SharedFD(try source.fd.open(entry.name, [.directory, .noFollow]))
                try target.fd.makeDirectory(entry.name, mode: 0o755)
                let place = SharedFD(try target.fd.open(entry.name, [.directory, .noFollow]))
                for file in try below.fd.entries() { try MemorySnapshot.link(file.name, below, place) }
                try place.fd.sync()
            }
            try target.fd.sync()
        }
    }

    private static func link(_ name: some PathConvertible, _ from: SharedFD, _ to: SharedFD) throws(SysError) {
        try from.fd.link(name, to: to.fd, name)
    }

    /// What ``link()`` has prepared is the VPS's checkpoint from now on.
    func commit() throws(CtrError) {
        let directory = directory
        try describing("checkpoint of VPS \(files.name)") { () throws(SysError) in
            try? directory.fd.removeTree(CheckpointFiles.name)
            try directory.fd.rename(CheckpointFiles.unfinished, to: CheckpointFiles.name)
            try directory.fd.openHere().sync()
        }
    }
}

extension DiskHold {
    func memory(of id: String) -> MemorySnapshot { MemorySnapshot(files: files, directory: lock.directory, id: id) }
}

extension SuspendStep {
    /// The disk of the instant of the memory.
    func takeDisk(_ id: String, _ config: VPSConfig) throws(CtrError) {
        guard let image = files.image(config, in: directory) else {
            let room = SpaceReserve.room(files)
            return try SnapshotData(top: directory, isImage: false, of: files.name, room: room).take(id)
        }
        guard let loop = try files.state()?.loop, let disk = try image.inUse(loop: loop) else {
            throw CtrError(.busy, "disk of VPS \(files.name): its loop device has gone")
        }
        try SnapshotData(top: disk.openTop(), isImage: true, of: files.name).take(id)
    }
}
