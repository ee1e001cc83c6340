internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces

/// What walls one VPS off, made before its first process: ids, cgroup, capabilities, seccomp filter.
struct Isolation {
    let cgroup: Cgroup
    /// What it sees of /proc by way of lxcfs; nil where that is the kernel's own.
    let views: SystemViews?

    /// Makes the id range and the cgroup; the range goes into `config`.
    init(_ config: inout VPSConfig, place: VPSPlace, cgroups: CgroupHost? = nil) throws(CtrError) {
        let settings = try Settings.load()
        if config.userns == .auto {
            config.idRange = try settings.makeIDPool().allocate(
                place.files.path, durable: !config.ephemeral && config.idRange == nil)
        }
        let host: CgroupHost
        if let cgroups { host = cgroups } else { host = try CgroupHost.detect() }
        cgroup = try Cgroup.create(
            host: host, path: place.files.host.cgroupPath(of: place.files.name),
            resources: config.resources.onDisk(of: place.directory), devices: config.deviceRules(),
            owner: config.idRange?.base)
        views = LXCFS(settings).views()
    }

    /// How a process of this VPS enters it.
    static func entry(_ config: VPSConfig, process: ProcessSpec, host: Host) throws(CtrError) -> Entry {
        let own = config.userns == .auto
        let standard: CapabilitySet = own ? .system : .hostUser
        let names = try standard.changed(adding: config.capAdd, dropping: config.capDrop)
        let plan = try CapabilityPlan(names, userns: own ? .own : .host, required: config.capAdd)
        return Entry(
            process: process, capabilities: plan, seccomp: try filter(config, capabilities: names.bounding, host: host))
    }

    private static func filter(
        _ config: VPSConfig, capabilities: [String], host: Host
    ) throws(CtrError) -> SeccompFilter? {
        let cache = SeccompCache(directory: "\(host.root)/cache")
        switch config.seccomp {
        case .unconfined: return nil
        case .standard:
            return try cache.default(
                capabilities: capabilities, nesting: config.nesting, userns: config.userns == .auto ? .own : .host)
        case .file(let path):
            let json = try describing("--seccomp \(path.escaped)", code: .badInput) { () throws(SysError) in
                try open(path, [.readOnly, .nonBlocking]).readAll(limit: 4 << 20)
            }
            let kernel = try describing("kernel release") { () throws(SysError) in try ProcFiles.kernelRelease() }
            let filter = try cache.file(
                path, json: json, host: SeccompProfile.Host(capabilities: Set(capabilities), kernel: kernel))
            if !filter.unknownNames.isEmpty {
                Message.warn(
                    "--seccomp \(path.escaped): unknown system calls: \(filter.unknownNames.joined(separator: ", ").escaped)"
                )
            }
            return filter
        }
    }

    /// Before ctr enters a VPS whose root is the host's, it goes on from a copy of its program that can't be written to.
    static func guardProgram(_ userns: UserNamespaceChoice) throws(CtrError) {
        guard userns == .host else { return }
        try describing("copy of ctr's program", code: .failed, step: "seal program") { () throws(SysError) in
            try SealedProgram.ensure()
        }
    }
}

extension Cgroup {
    /// What the engine needs to start a process in it.
    func joinForEngine() throws(CtrError) -> CgroupJoin {
        let (cloneInto, joinFiles) = try join()
        return CgroupJoin(cloneInto: cloneInto, joinFiles: joinFiles)
    }
}
