internal import Cgroups
internal import Checkpoint
internal import Kernel
public import Model

/// `ctr suspend`: the memory of a running VPS goes to files in its directory, and all that it held is given back.
///
/// Any failure leaves it running as before. Killed at any moment, it runs, or it is suspended with a whole checkpoint:
/// criu, which is not killed with us, calls ``SuspendStep`` when all is written and every process stands still, and ends
/// them only if that succeeds.
public struct Suspend: Sendable {
    public var name: String
    /// Writes the checkpoint, as `checkpoint.kept`, and lets the VPS go on.
    public var keepRunning: Bool
    /// The checkpoint goes to the VPS's own disk, within its size: `ctr hibernate`.
    public var onDisk = false
    /// The run that is meant, and no later one.
    var only: GuestRun?
    /// The id of the snapshot of its disk that is taken at the same instant.
    var snapshot: String?

    /// Of one that is asked for from inside few: each may write all memory.
    private var attempts: Int { only == nil ? 10 : 2 }
    private var verb: String { SuspendRecord.verb(snapshot: snapshot, onDisk: onDisk) }

    /// Its memory is packed when it has ended.
    public var packed = false

    public init(name: String, keepRunning: Bool = false) {
        self.name = name
        self.keepRunning = keepRunning
    }

    /// - Returns: false if it is suspended already.
    /// - Throws: `notFound`, `busy`; `unavailable` without criu; `failed`, the reason being a process or a file of the VPS.
    public func run(on host: Host, progress: @escaping (WorkEvent) -> Void = { _ in }) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        guard try files.config() != nil else { throw VPSFiles.unknown(name) }
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        if !keepRunning, try files.hasCheckpoint(), try RunningInit.find(files) == nil { return false }
        if packed { try PackedCheckpoint.requireProgram("suspend \(name)") }
        // By a verb that was killed: a suspended VPS's disk stays as it is, and with work on it half done none is resumed.
        if try files.keptConfig(in: lock.directory)?.hasUnfinishedDiskWork == true { try DiskHold.mend(files, lock) }
        progress(.step(verb))
        let record = try checkpoint(files, lock, on: host, progress: progress)
        if keepRunning {
            do throws(CtrError) {
                _ = try SuspendStep(files: files, directory: lock.directory).seal(as: CheckpointFiles.kept)
            } catch {
                sweep(files, lock)
                throw error
            }
            return true
        }
        // Its supervisor, if it has one, sees the end and the checkpoint, marks the disk and gives back the rest.
        try Ending(files: files).settle()
        EventLog(host).append(.suspended, vps: name, detail: only == nil ? [:] : ["askedInside": true])
        do throws(CtrError) {
            if !DiskMark.isThere(in: lock.directory) {
                try DiskMark.write(files, record.config, in: lock.directory, isHurried: true)
            }
        } catch {
            progress(
                .note(
                    "\(verb) \(name): what its disk is like can't be written down, no change of it will be noticed: \(error.message)"
                ))
        }
        if packed {
            progress(.step("pack"))
            do throws(CtrError) {
                try PackedCheckpoint(files: files, directory: lock.directory).pack {
                    progress(.progress(done: $0, total: $1))
                }
            } catch { progress(.note("suspend \(name): its memory is not packed: \(error.message)")) }
        }
        return true
    }

    /// Writes it. Of one that is kept running it is `checkpoint.new`, to be sealed, when this returns.
    func checkpoint(
        _ files: VPSFiles, _ lock: VerbLock, on host: Host, progress: @escaping (WorkEvent) -> Void = { _ in }
    ) throws(CtrError) -> SuspendRecord {
        // It answers beside what follows.
        let search = Result { () throws(CtrError) in try CRIU.search(Settings.load().criu) }
        let target = try RunningTarget.find(name, on: host)
        if let only, only != GuestRun(target.process.state) {
            throw CtrError(.failed, "\(verb) \(name): the run that asked for it has ended")
        }
        guard let state = try files.stateDirectory() else { throw VPSFiles.unknown(name) }
        try Recovery(host: host).takeBackHalfDone(files, state)
        try refuse(target)
        try target.adoptIfOrphaned()
        DiskMark.remove(in: lock.directory)
        let asked = try search.get()
        let inside = try InsideLock.keepOut(files, state)
        defer { withExtendedLifetime(inside) {} }
        guard let running = try files.state() else { throw CtrError(.failed, "VPS \(name): has just ended") }
        // First, since it names the process inside that is in the way.
        var plan = try SuspendPlan(running, verb)
        guard let inside else {
            let holder = InsideLock.holder(files, state)
            throw CtrError(
                .busy, "\(verb) \(name): \(holder) is at work in it (end it first, or try again when it has ended)")
        }
        plan.record.keepsRunning = keepRunning
        plan.record.snapshot = snapshot
        // Of these the record is in the VPS's directory before there is a place for the checkpoint.
        if onDisk { plan.record.criu = try asked.result().version }
        Ending(files: files).countTraffic(target.config)
        let memory = plan.room.memory ?? 0
        try dump(plan, files, lock, state, inside, asked) { progress(.progress(done: $0, total: max($0, memory))) }
        return plan.record
    }

    private func refuse(_ target: borrowing RunningTarget) throws(CtrError) {
        try target.refusePaused(verb)
        let (config, state) = (target.config, target.process.state)
        let why: String? =
            if config.ephemeral {
                "ephemeral, it ends with its supervisor (run --keep keeps it)"
            } else if state.rescue {
                "in rescue mode (ctr stop \(name) first)"
            } else if state.status == .starting {
                "being started (try again)"
            } else if onDisk, config.disk == nil {
                "it has no disk of its own (--disk none; ctr suspend \(name) puts its memory beside it)"
            } else if config.network == .host {
                "it has the host's own network (--net host), whose connections can't be made again"
            } else {
                nil
            }
        if let why { throw CtrError(.failed, "\(verb) \(name): \(why)") }
    }

    /// The directory of the checkpoint, without anything.
    private func makePlace(_ plan: SuspendPlan, _ files: VPSFiles, _ lock: VerbLock) throws(CtrError) -> SharedFD {
        var parent = lock.directory
        // A thin disk takes of the host's what is written to it.
        try plan.room.checkHost(verb, files.host)
        if onDisk {
            parent = try files.diskTop(in: lock.directory)
            CheckpointFiles.sweep(disk: parent)
            try plan.room.checkDisk(parent)
            try VPSFiles.write(
                plan.record, CheckpointFiles.hibernating, in: lock.directory, of: name, durable: false)
        }
        return try describing("checkpoint of VPS \(name)", code: .cannotCreate) { () throws(SysError) in
            try parent.fd.makeDirectory(CheckpointFiles.unfinished, mode: 0o700)
            let place = SharedFD(try parent.fd.open(CheckpointFiles.unfinished, [.directory, .noFollow]))
            // At a resume the guest's root reads them; nobody else comes by the directories above.
            try place.fd.makeDirectory(CheckpointFiles.images, mode: 0o755)
            return place
        }
    }

    /// All that is written before the VPS stands still.
    private func prepare(
        _ plan: SuspendPlan, _ files: VPSFiles, _ lock: VerbLock, _ state: SharedFD, _ asked: CRIU.Search
    ) throws(CtrError) -> (DumpOptions, CRIU) {
        let unfinished = try makePlace(plan, files, lock)
        let images = try describing("checkpoint of VPS \(name)") { () throws(SysError) in
            SharedFD(try unfinished.fd.open(CheckpointFiles.images, [.directory, .noFollow]))
        }
        var options = DumpOptions(pid: plan.record.pid, images: images, work: try files.ensureLog(lock.directory))
        options.externals = plan.externals
        options.hierarchies = plan.hierarchies
        options.keepRunning = keepRunning
        options.watched = plan.watched
        options.withoutNetwork = plan.record.config.hasInterface
        try GuestRules.save(plan.record, in: unfinished, of: name)
        options.script = try CheckpointScript.write(files, in: state)
        options.cgroups = try CgroupYard.make(files, in: state)
        let criu = try asked.result()
        var record = plan.record
        record.criu = criu.version
        try VPSFiles.write(record, CheckpointFiles.record, in: unfinished, of: name, durable: false)
        return (options, criu)
    }

    /// Of a VPS that runs on nothing is left.
    private func sweep(_ files: VPSFiles, _ lock: VerbLock) {
        if onDisk, let top = try? files.diskTop(in: lock.directory) { CheckpointFiles.sweep(disk: top) }
        files.sweepCheckpoints(in: lock.directory)
    }

    /// Again where criu failed for what passes: see ``CRIULog/isPassing(_:)``.
    private func dump(
        _ plan: SuspendPlan, _ files: VPSFiles, _ lock: VerbLock, _ state: SharedFD, _ inside: SharedFD,
        _ asked: CRIU.Search, progress: @escaping (Int64) -> Void
    ) throws(CtrError) {
        var plan = plan
        for attempt in 1... {
            do throws(CtrError) { return try dumpOnce(plan, files, lock, state, inside, asked, progress) } catch {
                if attempt == attempts || !CRIULog.isPassing(error) { throw error }
            }
            // Not evenly: connections that come evenly would meet each attempt.
            CurrentProcess.sleep(microseconds: 30_000 + Int(Timestamp.monotonic() / 1000 % 50_000))
            if let room = try? CheckpointRoom(plan.room.running) { plan.room = room }
        }
    }

    private func dumpOnce(
        _ plan: SuspendPlan, _ files: VPSFiles, _ lock: VerbLock, _ state: SharedFD, _ inside: SharedFD,
        _ asked: CRIU.Search, _ progress: @escaping (Int64) -> Void
    ) throws(CtrError) {
        // By now its process may be another's.
        guard let running = try RunningInit.find(files), running.state.pid == plan.record.pid,
            running.state.startTime == plan.record.startTime
        else { throw CtrError(.failed, "VPS \(name): has just ended") }
        files.undoDump(running.state, in: lock.directory)
        files.sweepCheckpoints(in: lock.directory)
        var options: DumpOptions
        let criu: CRIU
        do throws(CtrError) { (options, criu) = try prepare(plan, files, lock, state, asked) } catch {
            CheckpointScript.cancel(in: state)
            sweep(files, lock)
            throw error
        }
        options.held = [lock.directory, inside]
        // Where the guard of the host's space has made it stand still until here: now it does so no more, and criu would wait.
        try Recovery(host: files.host).takeBackHalfDone(files, state)
        _ = CheckpointStep.takeFailure(state)
        do throws(CtrError) {
            try criu.dump(
                options, environment: Settings.variables, progress: progress,
                check: { () throws(CtrError) in
                    // The guard can't make criu stand still, and the disk's file system would fail on a full host.
                    if onDisk { try SpaceReserve.keep("\(verb) \(name)", half: true, files.host) }
                })
        } catch {
            KilledDump.endForks(of: files)
            CheckpointScript.cancel(in: state)
            let reason = CheckpointStep.takeFailure(state)
            // criu may have been killed between the rename and the end of the processes: those that run count.
            var fate = "it has ended meanwhile"
            if let running = try RunningInit.find(files) {
                fate = "it runs on"
                KilledDump.undo(running.state)
                files.dropStale(in: lock.directory)
            }
            sweep(files, lock)
            let prefix = "\(verb) \(name): "
            // What criu says of processes that go while it reads them is of no use. Killed, it may have been what ended them.
            if fate != "it runs on", !error.message.contains("signal") {
                throw CtrError(.failed, "\(prefix)\(fate)")
            }
            let why = reason?.message ?? error.message
            throw CtrError(
                .failed, "\(prefix)\(why.hasPrefix(prefix) ? String(why.dropFirst(prefix.count)) : why); \(fate)")
        }
        CheckpointScript.cancel(in: state)
    }
}

extension VPSFiles {
    /// Where criu's own logs of the last suspend and resume are kept.
    func ensureLog(_ directory: SharedFD) throws(CtrError) -> String {
        try describing("log of VPS \(name)") { () throws(SysError) in
            _ = try directory.fd.ensureDirectory("log", mode: 0o700)
        }
        return "\(path)/log"
    }

    /// A VPS that runs has no checkpoint: one that is there was committed, and then its processes were not ended.
    func dropStale(in directory: SharedFD) {
        if (try? hasCheckpoint()) == true { try? useCheckpoint(in: directory) }
        // Before these names, by which it is known that there is something.
        let marks = [CheckpointFiles.hibernating, CheckpointFiles.awoken]
        if marks.contains(where: { isHibernated(in: directory, marker: $0) }), let top = try? diskTop(in: directory) {
            CheckpointFiles.sweep(disk: top)
        }
        KeptRemaps.sweep(self, in: directory)
        for name in CheckpointFiles.leftovers { SlowRemoval.remove(checkpoint: name, in: directory) }
    }
}

/// The step that makes a checkpoint: all images are written, and every process of the VPS stands still.
struct SuspendStep {
    let files: VPSFiles
    let directory: SharedFD

    func commit() throws(CtrError) {
        let (place, unfinished, record) = try open()
        let verb = SuspendRecord.verb(snapshot: record.snapshot, onDisk: place.isOnDisk)
        // One that came in after the verb had looked: it does not stand still with the others.
        guard let cgroup = try files.state()?.cgroup else {
            throw CtrError(.config, "state.json of VPS \(files.name): no cgroup")
        }
        try record.refuseStrangers(verb, in: cgroup)
        // Its supervisor may have been killed since.
        if record.terminal != nil { try record.requireTerminal(verb) }
        try saveDev(record, in: unfinished)
        try save(cgroup, in: unfinished)
        try describing("checkpoint of VPS \(files.name)") { () throws(SysError) in
            let images = try unfinished.fd.open(CheckpointFiles.images, [.directory, .noFollow])
            for image in try images.entries() where image.type == .regular {
                try images.changeMode(of: image.name, 0o644)
            }
        }
        if let id = record.snapshot { try takeDisk(id, record.config) }
        // What goes on has no need to wait for the rest.
        if !record.keepsRunning { _ = try seal(as: CheckpointFiles.name) }
    }

    /// Sums up what has been written, makes it durable, and gives it its name.
    func seal(as name: String) throws(CtrError) -> Manifest {
        let (place, unfinished, record) = try open()
        let manifest = try Manifest.seal(unfinished, criu: record.criu)
        try describing("checkpoint of VPS \(files.name)") { () throws(SysError) in
            try? place.parent.fd.removeTree(name)
            try place.parent.fd.rename(CheckpointFiles.unfinished, to: name)
            try place.parent.fd.openHere().sync()
            guard place.isOnDisk else { return }
            try place.parent.fd.syncFileSystem()
            try directory.fd.rename(CheckpointFiles.hibernating, to: CheckpointFiles.hibernated)
            try directory.fd.openHere().sync()
        }
        return manifest
    }

    private func open() throws(CtrError) -> (CheckpointPlace, SharedFD, SuspendRecord) {
        let place = try CheckpointPlace(files, in: directory, marker: CheckpointFiles.hibernating)
        let unfinished = try describing("checkpoint of VPS \(files.name)") { () throws(SysError) in
            SharedFD(try place.parent.fd.open(CheckpointFiles.unfinished, [.directory, .noFollow]))
        }
        guard let record: SuspendRecord = try VPSFiles.read(CheckpointFiles.record, in: unfinished, of: files.name)
        else {
            throw CtrError(.config, "checkpoint of VPS \(files.name): no \(CheckpointFiles.record)")
        }
        return (place, unfinished, record)
    }

    /// criu leaves those out that have no process.
    private func save(_ cgroup: CgroupRecord, in unfinished: SharedFD) throws(CtrError) {
        let tree = try Cgroup.open(cgroup).tree()
        try VPSFiles.write(tree, CheckpointFiles.cgroups, in: unfinished, of: files.name, durable: false)
    }

    /// criu can't make device nodes in a user namespace, so /dev is ours.
    private func saveDev(_ record: SuspendRecord, in unfinished: SharedFD) throws(CtrError) {
        try describing("/dev of VPS \(files.name)") { () throws(SysError) in
            let dev = try GuestDev(record.pid)
            let archive = SharedFD(
                try unfinished.fd.open(CheckpointFiles.devices, [.writeOnly, .create, .exclusive], mode: 0o600))
            // Of a file that something is mounted on, tar would take what is mounted.
            let covered = record.devPlaces.filter { !$0.value }.map { "--exclude=./\($0.key)" }
            let tool = try ToolProcess(
                "tar",
                [
                    "--create", "--one-file-system", "--numeric-owner", "--xattrs", "--warning=none", "--anchored",
                    "--no-wildcards",
                ] + covered + ["--directory", dev.directory.fd.pathForOthers, "."], stdout: .file(archive),
                stderr: .null)
            guard try tool.wait().succeeded else { throw SysError("tar", Errno.io, "/dev") }
        }
    }
}
