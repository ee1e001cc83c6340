internal import CLinux
internal import Glibc

/// Signals of signal(7) that this project handles.
public enum Signal {
    public static let hangup = SIGHUP, interrupt = SIGINT, quit = SIGQUIT, kill = SIGKILL, terminate = SIGTERM
    public static let pipe = SIGPIPE, child = SIGCHLD, windowChange = SIGWINCH, stop = SIGSTOP, cont = SIGCONT
    public static let user1 = SIGUSR1, user2 = SIGUSR2, terminalStop = SIGTSTP
    public static let fileTooBig = SIGXFSZ, processorTime = SIGXCPU
}

/// Signals taken as data: blocked for the process and read from a descriptor. See signalfd(2).
public struct SignalQueue: ~Copyable {
    /// Readable when a signal is there.
    public let fd: FD
    private let before: sigset_t

    /// Blocks the signals and opens the queue.
    public init(_ signals: [Int32]) throws(SysError) {
        var set = sigset_t()
        var old = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        sigprocmask(SIG_BLOCK, &set, &old)
        before = old
        fd = FD(owning: Int32(try check(ctr_signalfd(-1, &set), "signalfd")))
    }

    /// The next signal's number, nil if there is none now.
    public borrowing func next() throws(SysError) -> Int32? {
        do throws(SysError) {
            let bytes = try fd.read(upTo: MemoryLayout<signalfd_siginfo>.size)
            return bytes.withUnsafeBytes { Int32($0.loadUnaligned(as: UInt32.self)) }
        } catch  where error.errno == EAGAIN { return nil }
    }
}

extension CurrentProcess {
    /// All signals get their default action and none is blocked: what a program that is executed should find.
    public static func resetSignals() {
        for signal in Int32(1)...64 where signal != SIGKILL && signal != SIGSTOP {
            _ = ctr_set_signal_default(signal)
        }
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
    }

    /// Writes to a closed pipe fail with EPIPE instead of ending this process.
    public static func ignoreBrokenPipes() { _ = ctr_set_signal_ignored(SIGPIPE) }

    /// Whether a signal that is blocked has come. The corresponding call is `sigpending(2)`.
    public static func hasPending(_ signal: Int32) -> Bool {
        var set = sigset_t()
        sigpending(&set)
        return sigismember(&set, signal) == 1
    }

    /// Children that end wait to be reaped. Where the caller ignored SIGCHLD they would vanish, and waiting for them fail
    /// with ECHILD.
    public static func keepEndedChildren() { _ = ctr_set_signal_default(SIGCHLD) }

    /// Ends this process by the signal's default action, so that the parent sees what ended it.
    public static func dieBySignal(_ signal: Int32) -> Never {
        _ = ctr_set_signal_default(signal)
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, signal)
        sigprocmask(SIG_UNBLOCK, &set, nil)
        Glibc.kill(getpid(), signal)
        ctr_exit(128 + signal)
    }
}

/// Waits on several descriptors. See poll(2).
public struct Poll {
    public struct Events: OptionSet, Sendable {
        public let rawValue: Int16
        public init(rawValue: Int16) { self.rawValue = rawValue }
        public static let readable = Events(rawValue: Int16(POLLIN))
        public static let writable = Events(rawValue: Int16(POLLOUT))
        public static let hangup = Events(rawValue: Int16(POLLHUP))
        public static let failed = Events(rawValue: Int16(POLLERR))
    }

    private var entries: [pollfd] = []
    public init() {}

    /// Adds a descriptor; returns its index in the results of ``wait(milliseconds:)``.
    @discardableResult
    public mutating func add(_ fd: borrowing FD, _ events: Events) -> Int {
        entries.append(pollfd(fd: fd.rawValue, events: events.rawValue, revents: 0))
        return entries.count - 1
    }

    /// Waits until one is ready; nil waits without end. Returns what each is ready for.
    public mutating func wait(milliseconds: Int32? = nil) throws(SysError) -> [Events] {
        let count = nfds_t(entries.count)
        let result = entries.withUnsafeMutableBufferPointer { buffer -> Int in
            while true {
                let r = ctr_ret(Int(poll(buffer.baseAddress, count, milliseconds ?? -1)))
                if r != -Int(EINTR) { return r }
            }
        }
        try check(result, "poll")
        return entries.map { Events(rawValue: $0.revents) }
    }
}
