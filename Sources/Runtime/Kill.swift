internal import Kernel
public import Model

/// `ctr kill`: sends a signal to the VPS's first process; SIGKILL ends all of the VPS at once, and for good.
public struct Kill: Sendable {
    public var name: String
    public var signal: Int32

    public init(name: String, signal: Int32) {
        self.name = name
        self.signal = signal
    }

    /// Waits for no other verb: what hangs can be killed.
    public func run(on host: Host) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        if signal == Signal.kill, try endWithoutProcess(files) { return }
        let target = try RunningTarget.find(name, on: host)
        if signal == Signal.kill { return try Ending(files: target.files).kill(target.process) }
        do throws(SysError) { try target.process.handle.signal(signal) } catch {
            if error.errno == Errno.noProcess {
                throw CtrError(.failed, "VPS \(name): has just ended", errno: error.errno)
            }
            throw CtrError(.failed, "signal \(signal) to VPS \(name)", cause: error)
        }
    }

    /// Ends the start, or the wait for another start, of one that may have no first process.
    /// - Returns: false if there is none, or a first process to be killed all the same.
    private func endWithoutProcess(_ files: VPSFiles) throws(CtrError) -> Bool {
        if try StartAtWork(files: files).end(force: true) { return try RunningInit.find(files) == nil }
        guard try RunningInit.find(files) == nil else { return false }
        if let lost = try LostVPS.find(files) {
            try lost.end()
            return true
        }
        guard try files.state()?.status == .restarting else { return false }
        try Ending(files: files).stopWaiting()
        return true
    }
}
