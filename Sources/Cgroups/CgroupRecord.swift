/// What must be remembered of a cgroup to find it again: a part of a VPS's state, valid until the host reboots.
public struct CgroupRecord: Codable, Equatable, Sendable {
    /// A cgroup's directory in one hierarchy.
    public struct Directory: Codable, Equatable, Sendable {
        /// Absolute.
        public var path: String
        /// In the unified hierarchy.
        public var unified: Bool
        /// What is limited or counted there.
        public var controllers: [CgroupController]
    }
    /// Below the root of each hierarchy: `ctr/NAME`.
    public var path: String
    public var directories: [Directory]
    /// The kernel's id of the guest's root, where a user namespace maps it; nil: the host's own root.
    public var owner: UInt32?
}

extension CgroupRecord {
    /// Every place where a cgroup of this path can be on this host: for clearing up what a crash left before it was
    /// recorded.
    public static func everywhere(host: CgroupHost, path: String) -> CgroupRecord {
        var directories = host.v1.map { controller, mount in
            Directory(path: "\(mount)/\(path)", unified: false, controllers: [controller])
        }
        if let mount = host.v2 {
            directories.append(
                Directory(path: "\(mount)/\(path)", unified: true, controllers: Array(host.v2Controllers)))
        }
        return CgroupRecord(path: path, directories: directories.sorted { $0.path < $1.path }, owner: nil)
    }
}
