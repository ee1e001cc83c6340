internal import Cgroups
internal import Kernel
public import Model
internal import Namespaces

/// `ctr start`: boots a kept VPS under a supervisor of its own. Starting what runs succeeds.
public struct Start: Codable, Sendable {
    public var name: String
    /// A shell on its disk instead of its init.
    public var rescue = false

    public init(name: String, rescue: Bool = false) {
        self.name = name
        self.rescue = rescue
    }

    /// Returns when its first process executes.
    /// - Parameter progress: of one that is suspended, as for ``Resume``.
    /// - Returns: false if it runs already.
    /// - Throws: `notFound`, `busy`; `failed` for an ephemeral VPS, or a rescue of one that runs.
    public func run(on host: Host, progress: ((WorkEvent) -> Void)? = nil) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        return try run(files, lock, progress: progress)
    }

    /// With the VPS's lock held.
    func run(
        _ files: VPSFiles, _ lock: VerbLock, progress: ((WorkEvent) -> Void)? = nil
    ) throws(CtrError) -> Bool {
        guard let config = try files.config() else { throw VPSFiles.unknown(name) }
        if let running = try RunningInit.find(files) {
            if rescue || running.state.rescue {
                throw CtrError(
                    .failed,
                    "VPS \(name): runs\(running.state.rescue ? " in rescue mode" : "") (ctr stop \(name) first)")
            }
            // What a verb was killed over; this one says that it is to run.
            if let state = try files.stateDirectory() { try Recovery(host: files.host).takeBackHalfDone(files, state) }
            try Recovery(host: files.host).sweep(name)
            return false
        }
        if config.ephemeral { throw CtrError(.failed, "VPS \(name): ephemeral, it can't be started again") }
        // What a verb was killed over may be a revert to a snapshot with memory.
        if config.hasUnfinishedDiskWork { try DiskHold.mend(files, lock) }
        if try files.hasCheckpoint() {
            if rescue { try files.refuseSuspended() }
            return try Resume(name: name).run(files, lock, progress: progress)
        }
        try config.refuseSealed()
        // Without a state directory its supervisor finds out.
        if try files.stateDirectory() != nil { try LostVPS.refuse(files) }
        // Its supervisor may be clearing up, or waiting to start it again: the operator's word comes first.
        try Ending(files: files).stopWaiting()
        // A shell is what mends a root that takes none.
        if !rescue { try IdentityWork.finish(files, config, lock) }
        try Isolation.guardProgram(config.userns)
        _ = try SupervisorRequest.start(self).spawn(on: files.host, lock: lock)
        if config.disk != nil { SpaceGuard.ensure(on: files.host) }
        EventLog(files.host).append(.started, vps: name, detail: rescue ? ["rescue": true] : [:])
        return true
    }

    // MARK: in the supervisor

    func begin(on host: Host) throws(CtrError) -> WatchedVPS {
        let files = try VPSFiles(name, host: host)
        // Another verb may come when all is done, or undone.
        let lock = try HandedVerbLock(files)
        defer { lock.release() }
        let cgroups = try CgroupHost.detect()
        try LostVPS.refuse(files, cgroups: cgroups)
        let place = try VPSPlace.reopen(files)
        do throws(CtrError) {
            return try begin(in: place, restarts: 0, hub: nil, cgroups: cgroups)
        } catch {
            try? Recovery(host: host).settleStopped(place.files)
            throw error
        }
    }

    /// Every step is recorded before it is made; whoever calls it clears up after a failure.
    func begin(
        in place: VPSPlace, restarts: Int, hub: ConsoleHub?, cgroups: CgroupHost? = nil
    ) throws(CtrError) -> WatchedVPS {
        let files = place.files
        guard let stored = try files.keptConfig(in: place.directory) else { throw VPSFiles.unknown(name) }
        try stored.checkUlimits(code: .config)
        var state = try VPSState.now(.starting, stored)
        state.restarts = restarts
        state.rescue = rescue
        try place.write(state)
        let sealed = try SealedTemplate(stored.template, on: files.host)
        var starting = Starting(place: place, template: sealed, config: stored)
        starting.ready = rescue ? .started : sealed.manifest.readySignal(of: stored.args)
        starting.asks = stored.disk != nil
        try describing("state of VPS \(name)") { () throws(SysError) in try ReadyMark.clear(place.state) }
        starting.rescue = rescue
        starting.cgroups = cgroups
        starting.restarts = restarts
        if rescue {
            starting.config.args = Start.rescueCommand
            starting.config.user = nil
            starting.config.terminal = true
        }
        let check = { () throws(CtrError) in try Start.refuseUnwanted(place) }
        let scripts = try ActionScripts(place: place, check: check)
        try scripts.runOnHost(.preStart)
        starting.check = check
        // For others it is not up before that.
        let hasMore = try scripts.has(.start)
        let isLast = rescue || !hasMore
        starting.status = isLast ? .running : .starting
        let output = try VPSOutput()
        var vps = try starting.started(streams: streams(starting.config, output))
        try vps.process.requireExecuted()
        if vps.config.idRange != stored.idRange {
            var changed = stored
            changed.idRange = vps.config.idRange
            try place.write(changed)
        }
        if !isLast {
            try scripts.runInside(.start, unless: rescue)
            try check()
            vps.state.status = .running
            try place.write(vps.state)
        }
        return try WatchedVPS(vps, output: output, hub: hub)
    }

    /// The operator's word, or SIGTERM as the host's shutdown sends it, may come while a start is at work.
    private static func refuseUnwanted(_ place: VPSPlace) throws(CtrError) {
        if StopIntent.isRecorded(place.state) || CurrentProcess.hasPending(Signal.terminate) {
            throw CtrError(.failed, "VPS \(place.files.name): stopped by an operator while it was being started")
        }
    }

    private func streams(_ config: VPSConfig, _ output: VPSOutput) throws(CtrError) -> Streams {
        config.terminal ? Streams() : try output.streams()
    }

    static let rescueCommand = ["/bin/sh", "-l"]
}
