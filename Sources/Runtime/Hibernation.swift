internal import Cgroups
internal import Checkpoint
internal import Kernel
internal import Model
internal import Storage

/// Where a VPS's checkpoint lies: in its directory, or, of one that is hibernated, in the image that is its disk, at the
/// top of the file system there, where the guest does not come.
///
/// Of the latter a copy of its `vps.json` is in the VPS's directory, as `hibernated`: with it, and not by what is in the
/// image, the VPS is hibernated. It gets that name, and loses it, as `checkpoint` does.
struct CheckpointPlace {
    /// Holds `checkpoint`.
    let parent: SharedFD
    let isOnDisk: Bool

    /// While the disk is attached, or has no checkpoint.
    init(_ files: VPSFiles, in directory: SharedFD, marker: String) throws(CtrError) {
        isOnDisk = files.isHibernated(in: directory, marker: marker)
        parent = isOnDisk ? try files.diskTop(in: directory) : directory
    }

    init(parent: SharedFD, isOnDisk: Bool) {
        self.parent = parent
        self.isOnDisk = isOnDisk
    }

    func open(_ files: VPSFiles) throws(CtrError) -> SharedFD {
        let parent = parent
        return try describing("checkpoint of VPS \(files.name)") { () throws(SysError) in
            SharedFD(try parent.fd.open(CheckpointFiles.name, [.directory, .noFollow]))
        }
    }
}

extension VPSFiles {
    func isHibernated(in directory: SharedFD, marker: String = CheckpointFiles.hibernated) -> Bool {
        (try? directory.fd.status(of: marker)) != nil
    }

    /// The top of the file system in its image, which somebody has attached.
    func diskTop(in directory: SharedFD) throws(CtrError) -> SharedFD {
        guard let state = try state(), let image = image(state.config, in: directory), let loop = state.loop,
            let disk = try image.inUse(loop: loop)
        else { throw CtrError(.busy, "disk of VPS \(name): its loop device has gone") }
        return try disk.openTop()
    }

    /// Gives its checkpoint another name, with which it is none: the step from suspended to running, or to stopped.
    func useCheckpoint(in directory: SharedFD) throws(SysError) {
        for (name, used) in CheckpointFiles.forms {
            try? directory.fd.removeTree(used)
            do throws(SysError) { try directory.fd.rename(name, to: used) } catch  where error.errno == Errno.noEntry {}
        }
        try directory.fd.openHere().sync()
    }

    /// Takes ``useCheckpoint(in:)`` back.
    func restoreCheckpoint(in directory: SharedFD) {
        for (name, used) in CheckpointFiles.forms { try? directory.fd.rename(used, to: name) }
    }

    /// Removes what a checkpoint has left in the image of a VPS that does not run.
    func clearDisk(_ config: VPSConfig, in directory: SharedFD) throws(CtrError) {
        if let top = try attachDisk(config, in: directory)?.openTop() { CheckpointFiles.sweep(disk: top) }
    }
}

extension CheckpointFiles {
    /// The whole checkpoint in an image's file system, and all that is left of one.
    static func sweep(disk top: SharedFD) {
        for name in [name, unfinished] { try? top.fd.removeTree(name) }
    }
}

/// Whether there is room for what a VPS's processes have in memory.
struct CheckpointRoom {
    /// For all that is not memory, and the file system's own.
    private static let margin: Int64 = 16 << 20
    let running: VPSState
    /// Bytes, at most; nil where its cgroup does not tell.
    var needed: Int64? { memory.map { $0 + CheckpointRoom.margin } }
    /// Bytes that its processes have in memory, swapped out ones included; nil where its cgroup does not tell.
    let memory: Int64?

    init(_ running: VPSState) throws(CtrError) {
        self.running = running
        guard let record = running.cgroup, let memory = try Cgroup.open(record).usage().memory else {
            self.memory = nil
            return
        }
        // What has been swapped out is written too.
        self.memory = [memory.anonymous, memory.shared, memory.swap].compactMap { $0 }.reduce(0, +)
    }

    /// - Throws: `cannotCreate` where the host's reserve would be touched.
    func checkHost(_ verb: String, _ host: Host) throws(CtrError) {
        if let needed { try SpaceReserve.check("\(verb) \(running.config.name): its memory", takes: needed, host) }
    }

    /// - Throws: `failed` with the numbers.
    func checkDisk(_ top: SharedFD) throws(CtrError) {
        let name = running.config.name
        guard let needed else { return }
        var space = try describing("disk of VPS \(name)") { () throws(SysError) in try top.fd.fileSystemStatus() }
        if space.available < needed {
            // What was removed lately, a checkpoint for one, is room when that is written down.
            space = try describing("disk of VPS \(name)") { () throws(SysError) in
                try top.fd.syncFileSystem()
                return try top.fd.fileSystemStatus()
            }
        }
        if space.available < needed {
            throw CtrError(
                .failed,
                "hibernate \(name): its memory needs up to \(Size.format(needed)) of its disk, and \(Size.format(space.available)) of "
                    + "\(Size.format(space.size)) are left (free space inside, ctr disk resize \(name), or ctr suspend \(name)); "
                    + "it runs on")
        }
    }
}
