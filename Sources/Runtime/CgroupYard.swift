internal import Cgroups
internal import Kernel
internal import Model

/// Where a criu that dumps finds the cgroup hierarchies: see `--cgroup-yard` in criu(8). Mounting them, as it does otherwise,
/// waits for all processors of the host, 10 ms and more.
enum CgroupYard {
    private static let name = "criu-cgroups"

    /// Links, which criu follows before it goes to any place of the guest's. nil where one is not where it is looked for.
    static func make(_ files: VPSFiles, in state: SharedFD) throws(CtrError) -> String? {
        remove(in: state)
        guard let places = try CgroupHost.usualPlaces() else { return nil }
        try describing("cgroups of VPS \(files.name)") { () throws(SysError) in
            try state.fd.makeDirectory(name, mode: 0o700)
            let yard = try state.fd.open(name, [.path, .directory, .noFollow])
            for (hierarchy, place) in places { try yard.symlink(hierarchy, to: place) }
        }
        return "\(files.statePath)/\(name)"
    }

    /// Never what they lead to.
    static func remove(in state: SharedFD) {
        guard let yard = try? state.fd.open(name, [.readOnly, .directory, .noFollow]) else { return }
        for entry in (try? yard.entries()) ?? [] { try? yard.unlink(entry.name) }
        try? state.fd.unlink(name, directory: true)
    }
}
