internal import Cgroups
internal import Kernel
public import Model
internal import Network

/// `ctr set`: changes the options of a VPS, and its limits at once where it runs.
public struct Change: Sendable {
    public var name: String
    public var options: VPSOptions
    /// `OPTION` or `OPTION=KEY`, without dashes: what goes back to its default.
    public var unset: [String]

    public init(name: String, options: VPSOptions, unset: [String]) {
        self.name = name
        self.options = options
        self.unset = unset
    }

    /// All or nothing: what a running VPS refuses is not kept either.
    /// - Returns: the options that a running VPS does not see before it is started again: `--hostname`.
    /// - Throws: `busy` for memory that is in use, `failed` for an ephemeral VPS, and for one that is suspended where this would change
    ///   more than what the host does for it.
    public func run(on host: Host) throws(CtrError) -> [String] {
        let files = try VPSFiles(name, host: host)
        guard let known = try files.config() else { throw VPSFiles.unknown(name) }
        if known.ephemeral {
            throw CtrError(.failed, "set \(name): the VPS is ephemeral, its options are those of run")
        }
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        guard let old = try files.keptConfig(in: lock.directory) else { throw VPSFiles.unknown(name) }
        let new = try wanted(old, host)
        if try files.isSuspended() {
            try Change.refuseInside(old, new, files)
            return try changeSuspended(old, to: new, files, lock)
        }
        try Recovery(host: host).sweep(name)
        let giveBack = try claim(new, old, files, lock)
        do throws(CtrError) { try write(new, lock) } catch {
            giveBack()
            throw error
        }
        defer { EventLog(host).append(.changed, vps: name) }
        guard let running = try RunningInit.find(files) else { return [] }
        do throws(CtrError) { try apply(new, running, files, lock) } catch {
            giveBack()
            try write(old, lock)
            throw error
        }
        return VPSConfig.needsRestart(from: running.state.config, to: new)
    }

    private func wanted(_ old: VPSConfig, _ host: Host) throws(CtrError) -> VPSConfig {
        let sealed = try SealedTemplate(old.template, on: host)
        let defaults = try ConfigBuilder.defaults(sealed.manifest, like: old)
        var new = try old.changed(by: options, unset: unset, defaults: defaults)
        new.addDue(new.otherIdentity(than: old))
        // What one that runs has until its next start is given back then.
        if old.network.hasInterface, !new.network.hasInterface { new.interfaces = new.interfaces ?? [] }
        try new.check(sealed, host)
        try new.checkIdentity(sealed)
        return new
    }

    func write(_ config: VPSConfig, _ lock: VerbLock) throws(CtrError) {
        try VPSFiles.write(config, "config.json", in: lock.directory, of: name, durable: true)
    }

    /// Before it is written down: what is refused is not kept. One that runs keeps its network and MAC until its next start.
    /// - Returns: what takes all of it back, as well as may be.
    private func claim(
        _ new: VPSConfig, _ old: VPSConfig, _ files: VPSFiles, _ lock: VerbLock
    ) throws(CtrError) -> () -> Void {
        // Of one whose last interface went, or whose first came by a `set` that was killed, there may be something left.
        let isMarked = old.interfaces?.isEmpty == true
        guard
            isMarked || new.network != old.network || new.interface != old.interface || new.interfaces != old.interfaces
        else { return {} }
        guard let running = try RunningInit.find(files) else { return try claimStopped(new, old, files, lock) }
        let (live, ports) = (running.state.config.livePorts(new, old), running.state.config.ports)
        let network = try files.host.network(settings: .load())
        for port in new.ports where !ports.contains(where: { $0.name == port.name && HostNetwork.isLive($0, port) }) {
            try network.refuseOthers(port)
        }
        let handle = running.handle
        let pid = running.state.pid
        func change(_ old: VPSConfig, to new: VPSConfig) throws(CtrError) {
            try network.change(old, to: new, pid: pid, isAlive: { !handle.hasEnded })
        }
        var done: [(VPSConfig, VPSConfig)] = []
        func giveBack() { for (before, after) in done.reversed() { try? change(after, to: before) } }
        do throws(CtrError) {
            for (before, after) in live {
                try change(before, to: after)
                done.append((before, after))
            }
        } catch {
            giveBack()
            throw error
        }
        return giveBack
    }

    private func claimStopped(
        _ new: VPSConfig, _ old: VPSConfig, _ files: VPSFiles, _ lock: VerbLock
    ) throws(CtrError) -> () -> Void {
        var before = old
        if old.interfaces == nil, new.interfaces != nil || new.network.hasInterface && !old.network.hasInterface {
            // Should this be killed, the next start gives back what its first interfaces had.
            before.interfaces = []
            try write(before, lock)
        }
        let network = files.host.network()
        let former = before
        func giveBack() {
            _ = try? files.host.claimPorts(former)
            _ = try? network.releaseOthers(than: former)
            if former != old { try? write(old, lock) }
        }
        do throws(CtrError) {
            _ = try files.host.claimPorts(new)
            try network.releaseOthers(than: new)
        } catch {
            // Of several interfaces some may have come by what others were refused.
            giveBack()
            throw error
        }
        return giveBack
    }

    private func apply(
        _ new: VPSConfig, _ running: borrowing RunningInit, _ files: VPSFiles, _ lock: VerbLock
    ) throws(CtrError) {
        var state = running.state
        guard let record = state.cgroup, let place = try files.stateDirectory() else {
            throw CtrError(.failed, "VPS \(name): has just ended")
        }
        var cgroup = try Cgroup.open(record)
        if new.resources != state.config.resources {
            try cgroup.apply(new.resources.onDisk(of: lock.directory), host: .detect())
        }
        do throws(CtrError) { try limit(cgroup, new.ulimits, before: state.config.ulimits) } catch {
            try? cgroup.apply(state.config.resources.onDisk(of: lock.directory), host: .detect())
            throw error
        }
        state.cgroup = cgroup.record
        state.config.takeLive(new)
        try VPSFiles.write(state, "state.json", in: place, of: name, durable: false)
    }

    /// Limits of setrlimit(2) are each process's own: all that are there get them, and with them their children.
    private func limit(_ cgroup: Cgroup, _ limits: [Ulimit], before: [Ulimit]) throws(CtrError) {
        let changed = limits.filter { !before.contains($0) }
        if changed.isEmpty { return }
        for pid in try cgroup.processes() {
            for limit in changed {
                do throws(SysError) {
                    try setResourceLimit(of: pid, limit.resource, soft: limit.soft, hard: limit.hard)
                } catch {
                    if error.errno == Errno.noProcess { continue }
                    throw CtrError(
                        error.errno == Errno.perm ? .unavailable : .failed,
                        "--ulimit \(limit.name): process \(pid) of VPS \(name)"
                            + (error.errno == Errno.perm ? " (above ctr's own hard limit)" : ""), cause: error)
                }
            }
        }
    }
}

extension VPSConfig {
    /// What acts on a running VPS without a start.
    fileprivate mutating func takeLive(_ new: VPSConfig) {
        resources = new.resources
        ulimits = new.ulimits
        labels = new.labels
        description = new.description
        restart = new.restart
        onboot = new.onboot
        bootPriority = new.bootPriority
        protected = new.protected
        stopSignal = new.stopSignal
        if HostNetwork.isLive(self, new) { interface = new.interface }
        takeLiveInterfaces(new)
    }

    /// The interfaces that it runs with and that take on at once what another configuration says of them.
    /// - Parameter written: its configuration until now; other than what it runs with where a change was killed, which may have
    ///   come as far as the interface.
    fileprivate func livePorts(_ new: VPSConfig, _ written: VPSConfig) -> [(VPSConfig, VPSConfig)] {
        let (others, known) = (new.ports, written.ports)
        return ports.compactMap { port in
            guard let other = others.first(where: { $0.name == port.name }), HostNetwork.isLive(port, other) else {
                return nil
            }
            let former = known.first { $0.name == port.name }
            return port.interface == other.interface && former?.interface == other.interface ? nil : (port, other)
        }
    }
}
