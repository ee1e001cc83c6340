public import Kernel
public import Model

/// A process that has entered a VPS and waits for the word to execute its program. If this value goes before
/// ``execute()`` has returned, the process is killed.
public final class StartedProcess {
    public let handle: ProcessHandle
    /// The master of the pseudoterminal that is the process's terminal, if one was asked for.
    public private(set) var terminal: SharedFD?
    /// What the guest's words come over.
    private var host: HostDirectory
    private var channel: SharedFD?
    private var ready = false
    private var done = false
    private var limits: [RLimit] = []

    init(
        handle: consuming ProcessHandle, channel: SharedFD, terminal: SharedFD?, host: HostDirectory = HostDirectory()
    ) {
        self.handle = handle
        self.channel = channel
        self.terminal = terminal
        self.host = host
    }

    deinit {
        guard !done else { return }
        handle.killChild()
    }

    /// Hands the socket of sd_notify(3) over, non-blocking, where ``Spec/ready`` wants one; whoever has it closes it.
    public func takeNotifySocket() -> SharedFD? {
        defer { host.notify = nil }
        return host.notify
    }

    /// Hands the fifo of ``Spec/asksToHibernate`` over, non-blocking.
    public func takeAsks() -> SharedFD? {
        defer { host.asks = nil }
        return host.asks
    }

    /// Gives the child what only the host can give, then lets it build its side.
    func release(maps: [IDMap], process: ProcessSpec) throws(CtrError) {
        limits = process.rlimits
        let pid = handle.pid
        try describing("id maps", code: .failed, step: "map ids") { () throws(SysError) in
            if !maps.isEmpty { try writeIDMaps(of: pid, maps) }
        }
        if let adjustment = process.oomScoreAdj {
            try describing("out-of-memory score", code: .failed, step: "oom score") { () throws(SysError) in
                try open("/proc/\(pid)/oom_score_adj", .writeOnly).writeAll(Array("\(adjustment)".utf8))
            }
        }
        try send(.go)
    }

    /// Waits until everything is in place but the program's exec.
    public func waitUntilReady() throws(CtrError) {
        if ready { return }
        let message = try describing("start of the VPS", code: .failed) { () throws(SysError) in
            try channel!.fd.receive()
        }
        switch ChildMessage(bytes: message.bytes) {
        case .ready:
            ready = true
            if let master = message.descriptors.first { terminal = master }
        case .failed(let failure): throw failure.ctrError
        case nil: throw CtrError(.failed, "start of the VPS: its first process was killed (out of memory?)")
        }
    }

    /// Lets the program be executed and waits until it is, or has failed to be.
    public func execute() throws(CtrError) {
        try waitUntilReady()
        for limit in limits {
            do throws(SysError) {
                try setResourceLimit(of: handle.pid, limit.resource, soft: limit.soft, hard: limit.hard)
            } catch {
                throw CtrError(
                    error.errno == Errno.perm ? .unavailable : .failed,
                    "--ulimit: can't set limit \(limit.resource) to \(limit.soft):\(limit.hard)"
                        + (error.errno == Errno.perm ? " (above ctr's own hard limit)" : ""), step: "ulimit",
                    errno: error.errno)
            }
        }
        try send(.execute)
        let message = try describing("start of the VPS", code: .failed) { () throws(SysError) in
            try channel!.fd.receive()
        }
        if case .failed(let failure) = ChildMessage(bytes: message.bytes) { throw failure.ctrError }
        channel = nil
        done = true
    }

    /// After ``execute()``: that its program was executed, and it was not killed before. Its end of the socket is closed in
    /// both cases.
    /// - Throws: `failed`.
    public func requireExecuted() throws(CtrError) {
        let pid = handle.pid
        let executed = try describing("start of the VPS", code: .failed) { () throws(SysError) in
            try ProcFiles.hasExecuted(pid)
        }
        if !executed {
            throw CtrError(.failed, "start of the VPS: its first process was killed before it executed its program")
        }
    }

    /// A child that has ended can't be told anything; what it said before is still to be read. One that lives and was
    /// not told would wait for ever, and we for it.
    private func send(_ message: ParentMessage) throws(CtrError) {
        do throws(SysError) { try channel?.fd.send([message.rawValue]) } catch {
            if error.errno == Errno.pipe || error.errno == Errno.connectionReset { return }
            throw CtrError(.failed, "start of the VPS", cause: error)
        }
    }
}
