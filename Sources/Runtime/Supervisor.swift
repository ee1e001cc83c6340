internal import Kernel
internal import Model
internal import Namespaces

/// Something that a supervisor waits for beside the end of a process.
protocol PollSource: AnyObject {
    /// Adds what it waits for now.
    func add(to poll: inout Poll)
    /// - Parameter ready: what all descriptors of the poll are ready for.
    func handle(_ ready: [Poll.Events]) throws(SysError)
}

/// Waits for the end of one process of a VPS in the foreground: passes signals on and moves the bytes of a terminal.
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
    /// - Returns: its status, and whether a signal to ctr ended it that the kernel keeps from a first process.
    consuming func run() throws(CtrError) -> (status: ExitStatus, wasAsked: Bool) {
        do throws(SysError) {
            try relay?.begin()
            defer { relay?.end() }
            while try !step() {}
            try relay?.drain()
            let status = try process.handle.wait()
            if let emulated, status == .signaled(Signal.kill) { return (.signaled(emulated), true) }
            return (status, false)
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
        try relay?.handle(ready)
        return ready[0].contains(.readable)
    }

    private mutating func pass(_ signal: Int32) throws(SysError) {
        if signal == Signal.windowChange, let relay { return relay.resize() }
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
