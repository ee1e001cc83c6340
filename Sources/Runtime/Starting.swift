internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces
internal import Network
internal import Storage

/// From a configuration and a place to a first process: the steps that `run`, `start` and `exec --offline` share.
struct Starting {
    let place: VPSPlace
    /// Held while the VPS lives; nil for a root that is none.
    let template: SealedTemplate?
    private let layers: [String]
    var config: VPSConfig
    /// The VPS is being made: if it is to be kept, config.json is still to be written.
    var isNew = false
    /// See ``VPSState/rescue`` and ``VPSState/restarts``.
    var rescue = false
    var restarts = 0
    /// Those of this host, where the caller knows them already.
    var cgroups: CgroupHost?
    /// How its first process says that the system is up, where somebody listens.
    var ready = ReadySignal.started
    /// Whether somebody listens who can hibernate it.
    var asks = false
    /// What is recorded when the first process executes.
    var status = VPSStatus.running
    /// The last look before that; throws where the VPS is not wanted any more.
    var check: () throws(CtrError) -> Void = { () throws(CtrError) in }
    /// Nobody needs it without this process.
    var endsWithUs = false

    init(place: VPSPlace, template: SealedTemplate, config: VPSConfig) {
        self.place = place
        self.template = template
        layers = template.layers
        self.config = config
    }

    /// A root that is written to itself, without a disk above: a template in the making.
    init(place: VPSPlace, writable root: String, config: VPSConfig) {
        self.place = place
        template = nil
        layers = [root]
        self.config = config
    }

    /// Whoever calls it clears up after a failure: cgroup and state may be there.
    consuming func started(streams: Streams) throws(CtrError) -> RunningVPS {
        let isolation = try Isolation(&config, place: place, cgroups: cgroups)
        let ports = try place.files.host.claimPorts(config)
        // Before anything is on its disk: data without it would be nobody's.
        if isNew, !config.ephemeral { try place.settle(config) }
        let disk = template == nil ? nil : place.files.diskPath(config)
        var spec = try config.spec(layers: layers, disk: disk, mountPoint: place.files.statePath)
        spec.ready = ready
        spec.asksToHibernate = asks
        let hasOwn = config.domain != nil || config.identity.map { !$0.dns.isEmpty } ?? false
        if !hasOwn, config.network == .nat || config.network == .routed {
            spec.resolver = try place.files.host.resolver(for: ports)
            spec.resolverReplaces = isNew
        }
        if config.network == .nat {
            spec.hosts = try place.files.host.network(settings: .load()).namesOfOthers(than: config.name)
        }
        var entry = try Isolation.entry(config, process: spec.process, host: place.files.host)
        if config.ephemeral || endsWithUs { entry.parentDeathSignal = Signal.kill }
        var launch = Launch(
            spec: spec, entry: entry, cgroup: try isolation.cgroup.joinForEngine(), streams: streams)
        launch.userName = config.user
        launch.views = isolation.views
        let attached = try attachDisk()
        launch.disk = try attached?.mountRoot()
        let process = try launch.start()
        // While the child builds its side: its network namespace is there since it was cloned.
        try place.files.host.attach(ports, pid: process.handle.pid)
        // Before that the process's root is still the host's: nobody may find it and enter.
        try process.waitUntilReady()
        var state = try state(process, cgroup: isolation.cgroup)
        state.loop = attached?.number
        try place.write(state)
        try check()
        try process.execute()
        return RunningVPS(
            place: place, config: config, template: template, cgroup: isolation.cgroup, process: process, state: state)
    }

    /// The image goes with the VPS's last mount of it: nothing here needs to hold it.
    private func attachDisk() throws(CtrError) -> AttachedDisk? {
        guard template != nil, let disk = config.disk else { return nil }
        try SpaceReserve.keep("disk of VPS \(config.name)", half: true, place.files.host)
        return try place.files.image(config, in: place.directory)?.open(disk)
    }

    /// What other verbs need to find it.
    private func state(_ process: StartedProcess, cgroup: Cgroup) throws(CtrError) -> VPSState {
        let pid = process.handle.pid
        var state = try VPSState.now(status, config)
        state.pid = pid
        state.startTime = try describing("state of VPS \(config.name)") { () throws(SysError) in
            try ProcFiles.startTime(of: pid)
        }
        state.cgroup = cgroup.record
        state.rescue = rescue
        state.ready = ready
        state.restarts = restarts
        return state
    }
}

extension VPSState {
    /// With this process as its supervisor.
    static func now(_ status: VPSStatus, _ config: VPSConfig) throws(CtrError) -> VPSState {
        let bootID = try describing("state of VPS \(config.name)") { () throws(SysError) in try ProcFiles.bootID() }
        return VPSState(
            status: status, bootID: bootID, supervisor: CurrentProcess.pid, started: Timestamp.now(), config: config)
    }
}
