/// A resource controller of cgroups(7).
public enum CgroupController: String, Codable, Sendable, CaseIterable, CodingKeyRepresentable {
    case cpu, cpuacct, cpuset, memory, pids, io, devices, freezer, hugetlb

    /// Its name as a v1 controller: that of `io` is `blkio`.
    public var v1Name: String { self == .io ? "blkio" : rawValue }

    init?(v1Name: some StringProtocol) {
        self.init(rawValue: v1Name == "blkio" ? "io" : String(v1Name))
    }

    /// Part of the core of cgroup v2 (cpu.stat, cgroup.freeze) or of BPF: there wherever v2 is mounted, and in no
    /// cgroup.controllers.
    var isBuiltIntoV2: Bool { self == .cpuacct || self == .freezer || self == .devices }
}

/// Where a host has a controller.
public enum CgroupPlace: Equatable, Sendable {
    /// In the unified hierarchy.
    case v2
    /// Bound to a v1 hierarchy, which is mounted here.
    case v1(mount: String)
    case absent
}
