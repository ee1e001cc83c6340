internal import Cgroups
internal import Checkpoint
internal import Kernel
public import Model
internal import Network
internal import Storage

/// `ctr resume`: a suspended VPS goes on from the instruction at which it was stopped, under a supervisor of its own.
public struct Resume: Codable, Sendable {
    public var name: String

    public init(name: String) { self.name = name }

    /// Returns when its processes go on. A failure leaves the checkpoint whole.
    /// - Parameter progress: bytes of memory made so far, ten times a second.
    /// - Returns: false if it runs.
    /// - Throws: `notFound`, `busy`; `config` for a checkpoint that is damaged; `failed` for a VPS that is not suspended.
    public func run(on host: Host, progress: ((WorkEvent) -> Void)? = nil) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        if try files.state()?.status == .resuming { try Recovery(host: host).sweep(name) }
        if try RunningInit.find(files) != nil {
            try Recovery(host: host).sweep(name)
            try Recovery(host: host).dropStaleCheckpoint(files, lock)
            return false
        }
        if try files.keptConfig(in: lock.directory)?.hasUnfinishedDiskWork == true { try DiskHold.mend(files, lock) }
        guard try files.hasCheckpoint() else {
            guard try files.config() != nil else { throw VPSFiles.unknown(name) }
            throw CtrError(.failed, "VPS \(name): not suspended (ctr start \(name))")
        }
        return try run(files, lock, progress: progress)
    }

    /// With the VPS's lock held.
    func run(
        _ files: VPSFiles, _ lock: VerbLock, progress: ((WorkEvent) -> Void)? = nil
    ) throws(CtrError) -> Bool {
        if try files.stateDirectory() != nil { try LostVPS.refuse(files) }
        try Ending(files: files).stopWaiting()
        // Here too: its words reach the caller before anything is begun.
        guard let record = try files.suspendRecord(in: lock.directory) else {
            throw CtrError(.config, "checkpoint of VPS \(name): damaged: no \(CheckpointFiles.record)")
        }
        try Isolation.guardProgram(record.config.userns)
        progress?(.step("resume"))
        do throws(CtrError) {
            _ = try SupervisorRequest.resume(self).spawn(
                on: files.host, lock: lock,
                meanwhile: progress.map { (progress) in
                    let total = Resume.memory(files, lock.directory)
                    return {
                        if let done = Resume.memory(files) { progress(.progress(done: done, total: max(done, total))) }
                    }
                })
        } catch { guard try goesOn(files, lock) else { throw error } }
        EventLog(files.host).append(.resumed, vps: name)
        return true
    }

    /// Whether its supervisor was killed when its processes went on: then another one takes its place.
    private func goesOn(_ files: VPSFiles, _ lock: VerbLock) throws(CtrError) -> Bool {
        let recovery = Recovery(host: files.host)
        // Of a process that ends its pipes are closed first.
        if let state = try files.state(), let supervisor = try? ProcessHandle(pid: state.supervisor) {
            _ = try? supervisor.waitForEnd(milliseconds: 5000)
        }
        _ = try? recovery.sweep(name)
        guard try !files.hasCheckpoint(), try RunningInit.find(files) != nil else { return false }
        try recovery.dropStaleCheckpoint(files, lock)
        Message.warn("VPS \(name): its supervisor was killed; it goes on under another one")
        return true
    }

    /// Bytes of memory in its checkpoint; 0 where nobody knows yet.
    private static func memory(_ files: VPSFiles, _ directory: SharedFD) -> Int64 {
        guard !files.isHibernated(in: directory),
            let checkpoint = try? SharedFD(directory.fd.open(CheckpointFiles.name, [.directory, .noFollow])),
            let memory = try? PackedCheckpoint.memory(in: checkpoint)
        else { return 0 }
        return memory
    }

    /// Bytes that its processes have by now.
    private static func memory(_ files: VPSFiles) -> Int64? {
        guard let state = try? files.state(), state.status == .resuming, let record = state.cgroup,
            let memory = try? Cgroup.open(record).usage().memory
        else { return nil }
        return [memory.anonymous, memory.shared].compactMap { $0 }.reduce(0, +)
    }

    /// Gives the memory up: the VPS is stopped then, and starts from its disk.
    /// - Throws: `failed` for one that is not suspended.
    public func discard(on host: Host) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        guard try files.config() != nil else { throw VPSFiles.unknown(name) }
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        guard try files.hasCheckpoint(), try RunningInit.find(files) == nil else {
            throw CtrError(.failed, "VPS \(name): not suspended")
        }
        try Ending(files: files).stopWaiting()
        let directory = lock.directory
        let isOnDisk = files.isHibernated(in: directory)
        let remaps: KeptRemaps?
        do throws(CtrError) { remaps = try self.remaps(files, in: directory) } catch {
            // It is given up all the same.
            Message.warn("VPS \(name): what its checkpoint has left on its disk stays there: \(error.message)")
            remaps = nil
        }
        try describing("checkpoint of VPS \(name)") { () throws(SysError) in
            try files.useCheckpoint(in: directory)
        }
        remaps?.discard()
        files.sweepCheckpoints(in: directory)
        if isOnDisk, let config = try files.keptConfig(in: directory) { try files.clearDisk(config, in: directory) }
        DiskMark.remove(in: directory)
    }

    /// What criu has left on the disk for a restore.
    private func remaps(_ files: VPSFiles, in directory: SharedFD) throws(CtrError) -> KeptRemaps? {
        guard let config = try files.keptConfig(in: directory) else { return nil }
        var attached: AttachedDisk?
        var parent = directory
        if files.isHibernated(in: directory) {
            attached = try files.attachDisk(config, in: directory)
            if let attached { parent = try attached.openTop() }
        }
        let place = parent
        let remaps = try describing("checkpoint of VPS \(name)") { () throws(SysError) in
            try Remaps.read(
                SharedFD(
                    try place.fd.open("\(CheckpointFiles.name)/\(CheckpointFiles.images)", [.directory, .noFollow])))
        }
        if remaps.isEmpty { return nil }
        if attached == nil { attached = try files.attachDisk(config, in: directory) }
        let root = try attached?.mountRoot()
        return try describing("disk of VPS \(name)") { () throws(SysError) in
            try KeptRemaps(remaps, root: root, in: directory)
        }
    }

    // MARK: in the supervisor

    func begin(on host: Host) throws(CtrError) -> WatchedVPS {
        let files = try VPSFiles(name, host: host)
        let lock = try HandedVerbLock(files)
        defer { lock.release() }
        try LostVPS.refuse(files)
        let place = try VPSPlace.reopen(files)
        var isTouched = false
        do throws(CtrError) { return try Resuming.attempt(place, lock, &isTouched) } catch {
            try? Recovery(host: host).settleStopped(files)
            if isTouched { Resuming.markDisk(files, in: place.directory) }
            SlowRemoval.remove(checkpoint: PackedCheckpoint.unpacked, in: place.directory)
            throw error
        }
    }
}
