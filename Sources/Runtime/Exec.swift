internal import Cgroups
internal import Kernel
public import Model
internal import Namespaces

/// `ctr exec` and `ctr enter`: a command inside a running VPS, with its namespaces, cgroup, capabilities and filter.
public struct Exec: Sendable, Equatable {
    public var name: String
    public var command: [String]
    /// nil: the VPS's root, or who its own command runs as.
    public var user: String?
    public var workdir: String?
    public var env: [String] = []
    public var terminal = false

    public init(name: String, command: [String]) {
        self.name = name
        self.command = command
    }

    /// Runs until the command ends.
    /// - Returns: its status as a shell reports it.
    public func run(on host: Host) throws(CtrError) -> Int32 {
        guard let first = command.first, !first.isEmpty else {
            throw CtrError(.usage, "exec \(name): no command given")
        }
        // Whoever gives up while it waits ends it.
        let inside = try InsideLock.enter(VPSFiles(name, host: host))
        defer { withExtendedLifetime(inside) {} }
        let signals = try Supervisor.queue()
        let target = try RunningTarget.find(name, on: host)
        try target.refusePaused("exec")
        try Isolation.guardProgram(target.config.userns)
        try target.adoptIfOrphaned()
        let process: StartedProcess
        do throws(CtrError) {
            process = try execute(target, host: host)
        } catch {
            // Whatever step it was that found no namespace, cgroup or process any more. The kernel kills all others of
            // a pid namespace, ours too, before its first process has ended: then there is something to wait for.
            let vanished = [nil, Errno.noProcess, Errno.connectionReset, Errno.noMemory, Errno.noDevice].contains(
                error.errno)
            if (try? target.process.handle.waitForEnd(milliseconds: vanished ? 1000 : 0)) == true {
                throw CtrError(.failed, "exec \(name): the VPS has just ended", step: error.step, errno: error.errno)
            }
            throw error
        }
        let relay = try process.terminal.map { (terminal) throws(CtrError) in try Relay.user(of: terminal) }
        return try Supervisor(process, signals: signals, relay: relay, isInit: false).run().status.code
    }

    /// Has no child any more where it throws.
    private func execute(_ target: borrowing RunningTarget, host: Host) throws(CtrError) -> StartedProcess {
        let process = try start(target, host: host)
        try process.execute()
        return process
    }

    private func start(_ target: borrowing RunningTarget, host: Host) throws(CtrError) -> StartedProcess {
        let config = target.config
        var spec = ProcessSpec(args: command)
        spec.env = environment(config)
        spec.cwd = workdir ?? config.workdir
        guard let record = target.process.state.cgroup else {
            throw CtrError(.config, "state.json of VPS \(name): no cgroup")
        }
        let cgroup = try Cgroup.open(record)
        // Its clock is that of its init, or it could not be suspended again.
        let clock: NamespaceFlags = target.process.state.ownClock == true ? [.time] : []
        var join = Join(
            namespaces: config.namespaces.union(clock), entry: try Isolation.entry(config, process: spec, host: host),
            cgroup: try cgroup.joinForEngine(), terminal: terminal,
            rlimits: config.ulimits.map { RLimit(resource: $0.resource, soft: $0.soft, hard: $0.hard) })
        join.userName = user ?? config.user
        for _ in 1..<Exec.attempts {
            do throws(CtrError) { return try join.start(target.process.handle) } catch
                where error.errno == Errno.busy || error.errno == Errno.noDevice
            {
                CurrentProcess.sleep(milliseconds: 2)
                join.cgroup = try cgroup.joinForEngine()
            }
        }
        return try join.start(target.process.handle)
    }

    /// On cgroup v2 the guest may turn its root cgroup into an inner node, as systemd does when it begins, or remove the leaf
    /// for guests of ctr's own, just when a process is about to be born there.
    private static let attempts = 10

    func environment(_ config: VPSConfig) -> [String] {
        var all = config.env.filter { !$0.hasPrefix("HOME=") || user == nil }
        if terminal, !all.contains(where: { $0.hasPrefix("TERM=") }) { all.append("TERM=xterm-256color") }
        for entry in env {
            let key = entry.prefix { $0 != "=" } + "="
            all.removeAll { $0.hasPrefix(key) }
            all.append(entry)
        }
        if user == nil, config.user == nil, !all.contains(where: { $0.hasPrefix("HOME=") }) { all.append("HOME=/root") }
        return all
    }
}
