internal import Cgroups
internal import Kernel
internal import Model
internal import Network

/// The end of a VPS as another process than its supervisor sees it.
struct Ending {
    let files: VPSFiles

    /// Writes down that an operator wants the end: its supervisor will not start it again.
    func record() throws(CtrError) {
        guard let state = try files.stateDirectory() else { return }
        try StopIntent.record(state, of: files.name)
    }

    /// What goes with the interface is written down. Where that fails, on a full disk, a VPS ends all the same.
    func countTraffic(_ config: VPSConfig) {
        for port in config.ports where port.onNetwork.rateIn != nil {
            do throws(CtrError) { try files.host.network().countDropped(of: port.name) } catch {
                Message.warn("VPS \(files.name): what its rate has dropped is not in its totals: \(error.message)")
            }
        }
    }

    /// Kills every process and returns when what only a running VPS has is given back.
    func kill(_ running: borrowing RunningInit) throws(CtrError) {
        try record()
        try thaw(running)
        let ended: Bool
        do throws(SysError) {
            try running.handle.signal(Signal.kill)
            // Without a supervisor nobody else waits for it.
            ended = try running.handle.waitForEnd(milliseconds: 30_000)
        } catch {
            if error.errno != Errno.noProcess { throw CtrError(.failed, "kill VPS \(files.name)", cause: error) }
            ended = true
        }
        if !ended {
            throw CtrError(
                .busy,
                "VPS \(files.name): killed, but its first process has not ended after 30 seconds: it waits in the kernel, "
                    + "most likely for a disk or a network file system (see the host's kernel log, try again)")
        }
        try settle()
    }

    /// A frozen process of cgroup v1 does not even take SIGKILL. The guard of the host's space may have frozen it without
    /// a word in its state.
    func thaw(_ running: borrowing RunningInit) throws(CtrError) {
        guard let record = running.state.cgroup else { return }
        do throws(CtrError) {
            let cgroup = try Cgroup.openWhatIsThere(record)
            if running.state.status == .paused || (try? cgroup.isFrozen()) == true { try cgroup.thaw() }
        } catch {
            // With its end the cgroup goes.
            if running.state.status == .paused, !running.handle.hasEnded { throw error }
        }
    }

    /// Ends the wait of a supervisor that is to start its VPS again, or is just starting it, and clears up.
    func stopWaiting() throws(CtrError) {
        guard let state = try files.stateDirectory(), try Locks.hasSupervisor(state, of: files.name) else {
            return try settle()
        }
        // One that puts away what was suspended, slowly, has nothing to give up.
        if try files.isSuspended(), try files.state()?.status != .resuming { return try settle() }
        try StopIntent.record(state, of: files.name)
        ConsoleHub.poke(state)
        try settle()
    }

    /// Waits for the supervisor to clean up, or does so in its place.
    func settle() throws(CtrError) {
        guard let state = try files.stateDirectory() else { return }
        // Post-stop scripts have their own time.
        let end = Timestamp.monotonic() + 330_000_000_000
        var pause = 300
        while try Locks.hasSupervisor(state, of: files.name) {
            if Timestamp.monotonic() > end {
                throw CtrError(.busy, "VPS \(files.name): its supervisor has not cleaned up, try again")
            }
            // Most have done so in a few milliseconds.
            CurrentProcess.sleep(microseconds: pause)
            pause = min(5000, pause * 3 / 2)
        }
        try Recovery(host: files.host).sweep(files.name)
    }
}
