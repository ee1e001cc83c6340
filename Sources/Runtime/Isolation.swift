internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces

/// What walls one VPS off, made before its first process: ids, cgroup, capabilities, seccomp filter.
struct Isolation {
    let cgroup: Cgroup

    /// Makes the id range and the cgroup; the range goes into `config`.
    init(_ config: inout VPSConfig, place: VPSPlace) throws(CtrError) {
        if config.userns == .auto {
            config.idRange = try Settings.idPool().allocate(vpsDirectory: place.files.path)
        }
        let root = config.idRange?.base ?? 0
        cgroup = try Cgroup.create(
            host: CgroupHost.detect(), path: place.files.host.cgroupPath(of: place.files.name),
            resources: config.resources, devices: config.deviceRules(), owner: config.idRange == nil ? nil : root)
    }

    func entry(_ config: VPSConfig, spec: Spec) throws(CtrError) -> Entry {
        var entry = try Isolation.entry(config, process: spec.process, host: place.host)
        if config.ephemeral { entry.parentDeathSignal = Signal.kill }
        return entry
    }
}
