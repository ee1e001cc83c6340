internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces

/// A VPS whose first process is a child of this one.
struct RunningVPS {
    let place: VPSPlace
    let config: VPSConfig
    /// Held so that the template can't be removed.
    let template: SealedTemplate?
    let cgroup: Cgroup
    let process: StartedProcess
    var state: VPSState

    /// Waits for its end in the foreground, with signals and the bytes of a terminal passed on, and cleans up.
    /// - Returns: the status as a shell reports it.
    func supervise(signals: consuming SignalQueue, relay: Relay?) throws(CtrError) -> Int32 {
        let status: ExitStatus
        let asked: Bool
        do throws(CtrError) {
            (status, asked) = try Supervisor(process, signals: signals, relay: relay, isInit: true).run()
        } catch {
            // Whoever it printed for is gone: an ephemeral VPS without its user ends.
            _ = try finish(process.handle.killChild() ?? .signaled(Signal.kill), asked: true)
            throw error
        }
        let last = try finish(status, asked: asked)
        if last.outOfMemory, let limit = config.resources.memory {
            Message.warn(
                "VPS \(config.name): ended by the kernel: out of memory (its limit is \(Size.format(limit)))")
        }
        return status.code
    }

    /// Records how it ended and gives back all that only a running VPS has; of an ephemeral one, everything.
    private func finish(_ status: ExitStatus, asked: Bool) throws(CtrError) -> LastRun {
        let ended = EndedVPS(place: place, state: state, cgroup: cgroup)
        let last = ended.record(status, asked: asked)
        try ended.clearAway()
        return last
    }
}

/// A VPS whose first process has ended, as its supervisor sees it.
struct EndedVPS {
    let place: VPSPlace
    let state: VPSState
    let cgroup: Cgroup

    var config: VPSConfig { state.config }

    /// It has not ended: all that it was is in its checkpoint.
    func isSuspended() throws(CtrError) -> Bool {
        if StopIntent.isRecorded(place.state) { return false }
        return try place.files.suspendRecord(in: place.directory)?.isOf(state) ?? false
    }

    /// Writes down how it ended, where it is kept. A disk that is full takes no word of it, and hinders nothing.
    func record(_ status: ExitStatus?, asked: Bool = false) -> LastRun {
        var outOfMemory = false
        if status == .signaled(Signal.kill) { outOfMemory = ((try? cgroup.usage())?.memory?.oomKills ?? 0) > 0 }
        let last = LastRun(status, asked: asked || StopIntent.isRecorded(place.state), outOfMemory: outOfMemory)
        write(last)
        return last
    }

    func write(_ last: LastRun) {
        if config.ephemeral || state.rescue { return }
        try? VPSFiles.write(last, "last.json", in: place.directory, of: config.name, durable: false)
    }

    /// Of one that is suspended: what its disk is like is known also where the verb has been killed.
    func putAway() throws(CtrError) {
        try cgroup.remove()
        Resuming.markDisk(place.files, in: place.directory)
        try clearAway()
    }

    func clearAway() throws(CtrError) {
        let recovery = Recovery(host: place.files.host)
        if config.ephemeral {
            try recovery.removeAll(place.files, range: config.idRange, cgroup: cgroup)
        } else {
            try recovery.settleStopped(place.files, cgroup: cgroup)
        }
    }
}
