internal import Cgroups
internal import Checkpoint
internal import Kernel
public import Model
internal import Namespaces
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
        try describing("checkpoint of VPS \(name)") { () throws(SysError) in
            try files.useCheckpoint(in: directory)
        }
        files.sweepCheckpoints(in: directory)
        if isOnDisk, let config = try files.keptConfig(in: directory) { try files.clearDisk(config, in: directory) }
        DiskMark.remove(in: directory)
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

/// The steps of a resume, in the VPS's new supervisor; whoever calls it clears up after a failure.
struct Resuming {
    let place: VPSPlace
    private let checkpoint: SharedFD
    private let record: SuspendRecord
    private let criu: CRIU
    /// Where the checkpoint is on it.
    private let disk: AttachedDisk?

    private var files: VPSFiles { place.files }

    /// - Parameter isTouched: whether the disk has been attached. All that held it is gone when this throws.
    static func attempt(
        _ place: VPSPlace, _ lock: HandedVerbLock, _ isTouched: inout Bool
    ) throws(CtrError) -> WatchedVPS {
        let resuming = try Resuming(place: place, &isTouched)
        isTouched = true
        return try resuming.resumed(holding: lock)
    }

    /// Nothing is touched, unless the checkpoint is on the disk: it is held against its manifest, and this host against
    /// what it needs.
    private init(place: VPSPlace, _ isTouched: inout Bool) throws(CtrError) {
        self.place = place
        let (directory, name) = (place.directory, place.files.name)
        var opened = CheckpointPlace(parent: directory, isOnDisk: false)
        var attached: AttachedDisk?
        if place.files.isHibernated(in: directory), let config = try place.files.keptConfig(in: directory) {
            try DiskMark.check(place.files, config, in: directory)
            isTouched = true
            DiskMark.remove(in: directory)
            attached = try config.disk.flatMap { (disk) throws(CtrError) in
                try place.files.image(config, in: directory)?.open(disk)
            }
            if let attached { opened = CheckpointPlace(parent: try attached.openTop(), isOnDisk: true) }
        }
        disk = attached
        do throws(CtrError) {
            let stored = try opened.open(place.files)
            if try Manifest.read(stored)?.version == PackedCheckpoint.format {
                checkpoint = try PackedCheckpoint(files: place.files, directory: directory).unpack()
            } else {
                checkpoint = stored
            }
            guard let manifest = try Manifest.read(checkpoint) else {
                throw CtrError(.config, "checkpoint: damaged: no \(Manifest.name)")
            }
            try manifest.check(checkpoint, contentsOf: { !$0.isMemory })
            try manifest.checkProcessor()
        } catch { throw CtrError(error.code, "resume \(name): \(error.message)") }
        guard var record: SuspendRecord = try VPSFiles.read(CheckpointFiles.record, in: checkpoint, of: name) else {
            throw CtrError(.config, "checkpoint of VPS \(name): damaged: no \(CheckpointFiles.record)")
        }
        guard let stored = try place.files.keptConfig(in: directory), stored.idRange == record.config.idRange,
            stored.template == record.config.template, stored.name == record.config.name
        else {
            throw CtrError(
                .config,
                "checkpoint of VPS \(name): it is of another VPS (its config.json has another name, template or ids)")
        }
        // One of a snapshot may have been another size then.
        record.config.disk = stored.disk
        self.record = record
        criu = try CRIU.find(Settings.load().criu)
        if attached == nil { try DiskMark.check(place.files, stored, in: directory) }
    }

    /// After a failure, with all given back: what of the disk has changed was ctr's doing.
    static func markDisk(_ files: VPSFiles, in directory: SharedFD) {
        guard let config = try? files.keptConfig(in: directory), (try? files.hasCheckpoint()) == true else { return }
        try? DiskMark.write(files, config, in: directory)
    }

    /// - Parameter lock: criu holds it too, for as long as it works: nobody takes what it makes for a leftover.
    func resumed(holding lock: HandedVerbLock) throws(CtrError) -> WatchedVPS {
        var config = record.config
        var state = try VPSState.now(.resuming, config)
        state.started = record.started
        state.restarts = record.restarts
        state.ready = record.ready
        state.ownClock = true
        try place.write(state)
        let template = try SealedTemplate(config.template, on: files.host)
        let isolation = try Isolation(&config, place: place)
        var cgroup = isolation.cgroup
        guard config == record.config else {
            throw CtrError(
                .failed,
                "VPS \(files.name): its host ids \(record.config.idRange.map { "from \($0.base)" } ?? "") are in use")
        }
        try RestoredBounds.widen(&cgroup, config, in: place.directory)
        state.cgroup = cgroup.record
        if let tree: CgroupTree = try VPSFiles.read(CheckpointFiles.cgroups, in: checkpoint, of: files.name) {
            try cgroup.make(tree)
        }
        DiskMark.remove(in: place.directory)
        var disk = disk
        if disk == nil { disk = try attachDisk(config) }
        state.loop = disk?.number
        try place.write(state)
        let output = config.terminal ? nil : try VPSOutput()
        let locks = [try lock.shared(), place.state]
        let terminal = try restore(config, template, try disk?.mountRoot(), output, locks)
        guard let running = try RunningInit.find(files) else {
            throw CtrError(.failed, "resume \(files.name): its first process has ended at once")
        }
        let watched = try WatchedVPS(
            resumed: ProcessHandle.of(running.state.pid), running.state, in: place, cgroup: cgroup,
            template: template, terminal: terminal, output: output)
        // To whoever asked for it inside.
        HostPath.answer("resumed", to: running.state)
        files.dropStale(in: place.directory)
        return watched
    }

    private func attachDisk(_ config: VPSConfig) throws(CtrError) -> AttachedDisk? {
        guard let disk = config.disk else { return nil }
        return try files.image(config, in: place.directory)?.open(disk)
    }

    /// Makes the processes anew.
    /// - Returns: the master of its console's terminal.
    private func restore(
        _ config: VPSConfig, _ template: SealedTemplate, _ disk: SharedFD?, _ output: VPSOutput?,
        _ locks: [SharedFD]
    ) throws(CtrError) -> SharedFD? {
        let name = files.name
        try describing("state of VPS \(name)") { () throws(SysError) in
            // Nothing of ours, or of the operator, for processes that are not ours.
            try CurrentProcess.joinNewSessionKeyring()
        }
        let spec = try config.spec(layers: template.layers, disk: files.diskPath(config), mountPoint: files.statePath)
        let script = try CheckpointScript.write(files, in: place.state)
        let log = try files.ensureLog(place.directory)
        var console: SharedFD?
        let needed = [
            files.host.root, files.host.state, criu.path, LXCFS(try Settings.load()).directory,
            CheckpointScript.program,
        ]
        try RestoreRoot(spec: spec, disk: disk, needed: needed).with { (yard) throws(CtrError) in
            try fillDev(yard)
            let images = try describing("checkpoint of VPS \(name)") { () throws(SysError) in
                SharedFD(try checkpoint.fd.open(CheckpointFiles.images, [.directory, .noFollow]))
            }
            var options = RestoreOptions(images: images, work: log, root: yard.root)
            options.script = script
            options.mounts = try mounts(yard)
            options.files = try openFiles(yard, output)
            options.held = locks
            options.withoutNetwork = config.hasInterface
            _ = CheckpointStep.takeFailure(place.state)
            let check = try MemoryCheck(of: checkpoint, in: place.state)
            do throws(CtrError) { try criu.restore(options, environment: Settings.variables) } catch {
                CheckpointScript.cancel(in: place.state)
                console = yard.terminal?.master
                // Killed in its last moments: the processes go on without it.
                if try !files.hasCheckpoint() { return }
                let reason = CheckpointStep.takeFailure(place.state)
                let damage = check.end(in: place.state)
                endChildren()
                HalfResumed(files: files).end()
                throw CtrError(
                    damage?.code ?? .failed,
                    "resume \(name): \(damage?.message ?? reason ?? error.message); its checkpoint stays as it is")
            }
            _ = check.end(in: place.state)
            console = yard.terminal?.master
        }
        CheckpointScript.cancel(in: place.state)
        try files.setStatus(.running)
        return console
    }

    /// What criu has begun to make before it joined its cgroup.
    private func endChildren() {
        for child in (try? ProcFiles.children(of: CurrentProcess.pid)) ?? [] {
            if let handle = try? ProcessHandle(pid: child) { handle.killChild() }
        }
    }

    private func mounts(_ yard: RestoreYard) throws(CtrError) -> [(key: String, path: String)] {
        var all = [("mnt[dev]", yard.dev), ("mnt[pts]", yard.pts)]
        if let console = yard.console { all.append(("mnt[console]", console)) }
        for (index, path) in yard.mounts.enumerated() { all.append(("mnt[mount\(index)]", path)) }
        if !record.views.isEmpty {
            let lxcfs = LXCFS(try Settings.load())
            guard lxcfs.views() != nil else {
                throw CtrError(
                    .unavailable,
                    "resume \(files.name): lxcfs is not running, and the VPS was started with it (start lxcfs)")
            }
            for (name, place) in record.views.sorted(by: { $0.key < $1.key }) {
                all.append(("mnt[\(name)]", lxcfs.directory + place))
            }
        }
        return all
    }

    private func openFiles(
        _ yard: RestoreYard, _ output: VPSOutput?
    ) throws(CtrError) -> [(key: String, file: SharedFD)] {
        var all: [(key: String, file: SharedFD)] = []
        if let key = record.terminal, let terminal = yard.terminal { all.append((key, terminal.peer)) }
        if let output {
            let streams = try output.streams().descriptors
            if let key = record.input { all.append((key, streams[0])) }
            if let key = record.output { all.append((key, streams[1])) }
        }
        return all
    }

    /// /dev as it was, devices included: they are made by the host's root, as at a start, and no others than at a start.
    private func fillDev(_ yard: RestoreYard) throws(CtrError) {
        let (checkpoint, places) = (checkpoint, record.devPlaces)
        try describing("/dev of VPS \(files.name)") { () throws(SysError) in
            let archive = SharedFD(try checkpoint.fd.open(CheckpointFiles.devices, [.readOnly, .noFollow]))
            let tool = try ToolProcess(
                "tar",
                [
                    "--extract", "--numeric-owner", "--same-owner", "--same-permissions", "--xattrs", "--warning=none",
                    "--directory", yard.dev,
                ], stdin: .file(archive), stderr: .null)
            guard try tool.wait().succeeded else { throw SysError("tar", Errno.io, "/dev") }
            let dev = try open(yard.dev, [.directory])
            for (path, isDirectory) in places.sorted(by: { $0.key < $1.key }) {
                do throws(SysError) {
                    _ = try dev.open(path, [.path, .noFollow], resolve: [.beneath, .noSymlinks, .noMagicLinks])
                } catch  where error.errno == Errno.noEntry {
                    // Below a directory of the archive, or of this loop.
                    guard !path.contains("/") else { throw error }
                    if isDirectory {
                        try dev.makeDirectory(path, mode: 0o755)
                    } else {
                        _ = try dev.open(path, [.create, .exclusive, .writeOnly], mode: 0o600)
                    }
                }
            }
        }
        try DeviceNodes(allowed: record.config).check(yard.dev)
    }
}

extension ProcessHandle {
    /// A child of ours that has not been reaped, so the number is its own.
    fileprivate static func of(_ pid: Int32) throws(CtrError) -> ProcessHandle {
        do throws(SysError) { return try ProcessHandle(pid: pid) } catch {
            throw CtrError(.failed, "process \(pid)", cause: error)
        }
    }
}

/// The steps of ctr's own within a restore.
struct ResumeStep {
    let files: VPSFiles
    let directory: SharedFD

    /// Its first process is there, in a network namespace without anything.
    func setUpNetwork() throws(CtrError) {
        guard let config = try files.state()?.config, config.hasInterface,
            let pid = CurrentProcess.environment("CRTOOLS_INIT_PID").flatMap(Int32.init)
        else { return }
        try files.host.attach(files.host.claimPorts(config), pid: pid)
        try GuestRules.load(into: pid, from: checkpoint(), of: files.name)
    }

    private func checkpoint() throws(CtrError) -> SharedFD {
        try CheckpointPlace(files, in: directory, marker: CheckpointFiles.hibernated).open(files)
    }

    /// All processes are there, and none has gone on: from here on the VPS can be found.
    func record() throws(CtrError) {
        if let place = try files.stateDirectory() { try MemoryCheck.require(in: place) }
        guard let place = try files.stateDirectory(), var state = try files.state(), state.status == .resuming,
            let pid = CurrentProcess.environment("CRTOOLS_INIT_PID").flatMap(Int32.init)
        else { throw CtrError(.failed, "resume \(files.name): its state has gone") }
        if StopIntent.isRecorded(place) {
            throw CtrError(.failed, "VPS \(files.name): stopped by an operator while it was being resumed")
        }
        state.pid = pid
        state.startTime = try describing("state of VPS \(files.name)") { () throws(SysError) in
            try ProcFiles.startTime(of: pid)
        }
        try RestoredBounds.close(state, checkpoint(), in: directory)
        try VPSFiles.write(state, "state.json", in: place, of: files.name, durable: false)
        if let cgroup = state.cgroup { RestoredTimers.repair(in: try Cgroup.open(cgroup).processes()) }
    }

    /// They go on when this returns, whatever it returns; so the checkpoint has been one. Where that can't be written down,
    /// they must not.
    func commit() throws(CtrError) {
        do throws(SysError) {
            try files.useCheckpoint(in: directory)
        } catch {
            files.restoreCheckpoint(in: directory)
            if let pid = try files.state()?.pid, pid > 0, let first = try? ProcessHandle(pid: pid) {
                try? first.signal(Signal.kill)
            }
            throw CtrError(.io, "checkpoint of VPS \(files.name)", cause: error)
        }
        try files.setStatus(.running)
    }
}
