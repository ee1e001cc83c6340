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

    public func run(on host: Host) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        guard let config = try files.config() else {
            // Gone between two verbs is stopped too, but a name that never was is a mistake.
            throw VPSFiles.unknown(name)
        }
        guard let running = try RunningInit.find(files) else {
            try Ending(files: files).settle()
            return
        }
        if try ask(running, signal: SignalName.parse(config.stopSignal, option: "stop signal")) {
            try waitForEnd(running.handle, seconds: timeout)
        }
        try Ending(files: files).kill(running.handle)
    }

    /// Sends the signal; false if waiting is pointless because init does nothing on it.
    private func ask(_ running: borrowing RunningInit, signal: Int32) throws(CtrError) -> Bool {
        do throws(SysError) {
            if try ProcFiles.disposition(of: running.handle.pid, signal) != .handled { return false }
            try running.handle.signal(signal)
            return true
        } catch {
            if error.errno == Errno.noProcess || error.errno == Errno.noEntry { return false }
            throw CtrError(.failed, "stop VPS \(name)", cause: error)
        }
    }

    private func waitForEnd(_ process: borrowing ProcessHandle, seconds: Int) throws(CtrError) {
        do throws(SysError) { _ = try process.waitForEnd(milliseconds: Int32(clamping: seconds * 1000)) } catch {
            throw CtrError(.failed, "wait for VPS \(name)", cause: error)
        }
    }
}

/// `ctr kill`: sends a signal to the VPS's first process; SIGKILL ends all of the VPS at once.
public struct Kill: Sendable {
    public var name: String
    public var signal: Int32

    public init(name: String, signal: Int32) {
        self.name = name
        self.signal = signal
    }

    public func run(on host: Host) throws(CtrError) {
        let target = try RunningTarget.find(name, on: host)
        if signal == Signal.kill { return try Ending(files: target.files).kill(target.process.handle) }
        do throws(SysError) { try target.process.handle.signal(signal) } catch {
            if error.errno == Errno.noProcess {
                throw CtrError(.failed, "VPS \(name): has just ended", errno: error.errno)
            }
            throw CtrError(.failed, "signal \(signal) to VPS \(name)", cause: error)
        }
    }
}

/// `ctr destroy`: removes a VPS and all its data.
public struct Destroy: Sendable {
    public var name: String
    /// Also a running one.
    public var force: Bool

    public init(name: String, force: Bool) {
        self.name = name
        self.force = force
    }

    public func run(on host: Host) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        if try files.directory() == nil, try files.stateDirectory() == nil { throw VPSFiles.unknown(name) }
        if let running = try RunningInit.find(files) {
            guard force else {
                throw CtrError(.failed, "VPS \(name): running (ctr stop \(name) first, or ctr destroy --force \(name))")
            }
            try Ending(files: files).kill(running.handle)
        } else {
            try Ending(files: files).settle()
        }
        let state = try files.ensureStateDirectory()
        try Locks.becomeSupervisor(state, of: name)
        try Recovery(host: host).removeAll(files)
        withExtendedLifetime(state) {}
    }
}

/// The end of a VPS as another process than its supervisor sees it.
struct Ending {
    let files: VPSFiles

    /// Kills every process and returns when what only a running VPS has is given back.
    func kill(_ process: borrowing ProcessHandle) throws(CtrError) {
        do throws(SysError) {
            try process.signal(Signal.kill)
            // Without a supervisor nobody else waits for it.
            _ = try process.waitForEnd(milliseconds: 30_000)
        } catch {
            if error.errno != Errno.noProcess { throw CtrError(.failed, "kill VPS \(files.name)", cause: error) }
        }
        try settle()
    }

    /// Waits for the supervisor to clean up, or does so in its place.
    func settle() throws(CtrError) {
        guard let state = try files.stateDirectory() else { return }
        let end = Timestamp.monotonic() + 30_000_000_000
        while try Locks.hasSupervisor(state, of: files.name) {
            if Timestamp.monotonic() > end {
                throw CtrError(
                    .busy, "VPS \(files.name): its supervisor has not cleaned up after 30 seconds, try again")
            }
            CurrentProcess.sleep(milliseconds: 5)
        }
        try Recovery(host: files.host).sweep(files.name)
    }
}
