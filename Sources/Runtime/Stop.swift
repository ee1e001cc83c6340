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
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        return try run(files, lock)
    }

    /// With the VPS's lock held.
    func run(_ files: VPSFiles, _ lock: VerbLock) throws(CtrError) -> Bool {
        let ending = Ending(files: files)
        guard let running = try RunningInit.find(files) else {
            let state = try files.state()
            try ending.stopWaiting()
            return state?.status == .restarting
        }
        // Its supervisor, which a script may need, sees to the rest.
        try Recovery(host: files.host).sweep(name)
        try ActionScripts(files: files, directory: lock.directory).runInside(.stop, unless: running.state.rescue)
        try ending.record()
        try ending.thaw(running)
        if try ask(running) { try waitForEnd(running.handle) }
        try ending.kill(running)
        try reportScript(lock.directory)
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

    private func waitForEnd(_ process: borrowing ProcessHandle) throws(CtrError) {
        do throws(SysError) { _ = try process.waitForEnd(milliseconds: Int32(clamping: timeout * 1000)) } catch {
            throw CtrError(.failed, "wait for VPS \(name)", cause: error)
        }
    }

    /// Its supervisor ran the post-stop script and has left word.
    private func reportScript(_ directory: SharedFD) throws(CtrError) {
        let last: LastRun? = try VPSFiles.read("last.json", in: directory, of: name)
        if let failure = last?.scriptFailure { throw CtrError(.failed, "\(failure) (the VPS has stopped)") }
    }
}
