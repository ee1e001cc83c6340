internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces

/// A VPS whose first process is a child of this one.
struct RunningVPS {
    let place: VPSPlace
    let config: VPSConfig
    /// Held so that the template can't be removed.
    let template: SealedTemplate
    let cgroup: Cgroup
    let process: StartedProcess

    /// Cleans up after the end and says why it ended where the status does not.
    /// - Returns: the status as a shell reports it.
    func finish(_ status: ExitStatus) throws(CtrError) -> Int32 {
        var outOfMemory = false
        if status == .signaled(Signal.kill) { outOfMemory = (try cgroup.usage().memory?.oomKills ?? 0) > 0 }
        let name = config.name
        if outOfMemory, let limit = config.resources.memory {
            Message.warn("VPS \(name): ended by the kernel: out of memory (its limit is \(Size.format(limit)))")
        }
        if config.ephemeral {
            try Recovery(host: place.files.host).removeAll(place.files, range: config.idRange, cgroup: cgroup)
        } else {
            let last = LastRun(exitStatus: status.code, finished: Timestamp.now(), outOfMemory: outOfMemory)
            try VPSFiles.write(last, "last.json", in: place.directory, of: name, durable: false)
            try Recovery(host: place.files.host).settleStopped(place.files, cgroup: cgroup)
        }
        return status.code
    }
}

/// Waits for the end of one process of a VPS: passes signals on and moves the bytes of a terminal or log.
struct Supervisor: ~Copyable {
    private let process: StartedProcess
    private let signals: SignalQueue
    private var relay: Relay?
    /// The process is the first of its pid namespace, which the kernel shields from signals that it does not handle.
    private let isInit: Bool
    private var emulated: Int32?

    /// The signals that reach the VPS when ctr gets them.
    static func queue() throws(CtrError) -> SignalQueue {
        try describing("signals") { () throws(SysError) in
            try SignalQueue([
                Signal.interrupt, Signal.terminate, Signal.hangup, Signal.quit, Signal.windowChange, Signal.user1,
                Signal.user2,
            ])
        }
    }

    init(_ process: StartedProcess, signals: consuming SignalQueue, relay: Relay?, isInit: Bool) {
        self.process = process
        self.signals = signals
        self.relay = relay
        self.isInit = isInit
    }

    /// Returns when the process has ended and its last output is written.
    consuming func run() throws(CtrError) -> ExitStatus {
        do throws(SysError) {
            try relay?.begin()
            defer { relay?.end() }
            while try !step() {}
            try relay?.drain()
            let status = try process.handle.wait()
            if let emulated, status == .signaled(Signal.kill) { return .signaled(emulated) }
            return status
        } catch {
            throw CtrError(.io, "supervise the VPS", cause: error)
        }
    }

    /// One turn of the loop; true when the process has ended.
    private mutating func step() throws(SysError) -> Bool {
        var poll = Poll()
        poll.add(process.handle.pidfd, .readable)
        poll.add(signals.fd, .readable)
        relay?.add(to: &poll)
        let ready = try poll.wait()
        while let signal = try signals.next() { try pass(signal) }
        try relay?.move(Array(ready.dropFirst(2)))
        return ready[0].contains(.readable)
    }

    private mutating func pass(_ signal: Int32) throws(SysError) {
        if signal == Signal.windowChange, let relay, relay.isTerminal { return relay.resize() }
        do throws(SysError) {
            switch isInit ? try ProcFiles.disposition(of: process.handle.pid, signal) : .handled {
            case .handled: try process.handle.signal(signal)
            case .ignored: break
            case .standard:
                // The kernel would drop it for process 1; users expect what it does to any other process.
                if signal == Signal.windowChange { break }
                emulated = signal
                try process.handle.signal(Signal.kill)
            }
        } catch  where error.errno == Errno.noProcess || error.errno == Errno.noEntry {}
    }
}

extension RunningVPS {
    func supervise(signals: consuming SignalQueue, relay: Relay?) throws(CtrError) -> Int32 {
        let status: ExitStatus
        do throws(CtrError) {
            status = try Supervisor(process, signals: signals, relay: relay, isInit: true).run()
        } catch {
            // Whoever it printed for is gone: an ephemeral VPS without its user ends.
            try? process.handle.signal(Signal.kill)
            _ = try finish((try? process.handle.wait()) ?? .signaled(Signal.kill))
            throw error
        }
        return try finish(status)
    }
}
