internal import Cgroups
internal import Kernel
public import Model

/// `ctr stop`: asks init to halt, waits, then kills. Stopping what is stopped succeeds.
public struct Stop: Sendable {
    public var name: String
    /// Seconds between asking and killing.
    public var timeout: Int

    public init(name: String, timeout: Int = 10) {
        self.name = name
        self.timeout = timeout
    }

    /// - Returns: false if it was stopped already.
    public func run(on host: Host) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        guard try files.config() != nil else { throw VPSFiles.unknown(name) }
        let (lock, endedStart) = try StartAtWork.lock(files, patience: StartAtWork.patience, force: false)
        defer { withExtendedLifetime(lock) {} }
        return try run(files, lock) || endedStart
    }

    /// With the VPS's lock held.
    func run(_ files: VPSFiles, _ lock: VerbLock) throws(CtrError) -> Bool {
        let ending = Ending(files: files)
        guard let running = try RunningInit.find(files) else {
            let state = try files.state()
            if state == nil, let config = try files.config(), let lost = try LostVPS.find(files) {
                try lost.end(asking: SignalName.parse(config.stopSignal, option: "stop signal"), seconds: timeout)
                return true
            }
            try files.refuseSuspended()
            try ending.stopWaiting()
            // Its supervisor was faster: now it runs.
            if let running = try RunningInit.find(files) { try ending.kill(running) }
            return state?.status == .restarting || state?.status == .starting
        }
        let began = Timestamp.now()
        if running.state.status == .paused { try Pause(name: name).thaw(running, files) }
        // Its supervisor, which a script may need, sees to the rest.
        try Recovery(host: files.host).sweep(name)
        try ActionScripts(files: files, directory: lock.directory).runInside(.stop, unless: running.state.rescue)
        try ending.record()
        ending.countTraffic(running.state.config)
        if try ask(running) { try waitForEnd(running.handle, files) }
        try ending.kill(running)
        try reportScript(lock.directory, since: began)
        return true
    }

    /// Sends the signal; false if waiting is pointless because init does nothing on it.
    private func ask(_ running: borrowing RunningInit) throws(CtrError) -> Bool {
        let signal = try SignalName.parse(running.state.config.stopSignal, option: "stop signal")
        // One that has only just been started may not be so far.
        let patience = Deadline(milliseconds: min(timeout * 1000, running.state.isYoung ? 2000 : 0))
        do throws(SysError) {
            while try ProcFiles.disposition(of: running.handle.pid, signal) != .handled {
                if patience.hasPassed { return false }
                patience.sleep(microseconds: 10_000)
            }
            try running.handle.signal(signal)
            return true
        } catch {
            if error.errno == Errno.noProcess || error.errno == Errno.noEntry { return false }
            throw CtrError(.failed, "stop VPS \(name)", cause: error)
        }
    }

    /// One with a disk image must not fill the host's disk meanwhile: the guard, which would make it stand still, leaves it
    /// to us.
    private func waitForEnd(_ process: borrowing ProcessHandle, _ files: VPSFiles) throws(CtrError) {
        let deadline = Deadline(milliseconds: timeout * 1000)
        let hasImage = VPSFiles.imageStatus(of: name, below: SharedFD(try files.host.vpsDirectory())) != nil
        while !deadline.hasPassed {
            var patience = deadline.remaining
            if hasImage {
                var space = try SpaceReserve.read(files.host)
                if space.isLow { space = space.refined(by: try SpaceGuard.writers(on: files.host)) }
                let pause = space.pause
                if pause <= 0 {
                    Message.warn("VPS \(name): killed before it had halted: the host's disk is full (see ctr storage)")
                    return
                }
                patience = min(patience, pause)
            }
            do throws(SysError) { if try process.waitForEnd(milliseconds: patience) { return } } catch {
                throw CtrError(.failed, "wait for VPS \(name)", cause: error)
            }
        }
    }

    /// Its supervisor ran the post-stop script and has left word.
    private func reportScript(_ directory: SharedFD, since began: String) throws(CtrError) {
        let last: LastRun? = try VPSFiles.read("last.json", in: directory, of: name)
        // RFC 3339 in UTC sorts as text.
        if let last, last.finished >= began, let failure = last.scriptFailure {
            throw CtrError(.failed, "\(failure) (the VPS has stopped)")
        }
    }
}
