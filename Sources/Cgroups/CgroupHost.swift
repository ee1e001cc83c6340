internal import Kernel
public import Model

/// How this host has its cgroups: which hierarchies are mounted where, and which of them holds each controller.
public struct CgroupHost: Equatable, Sendable {
    public enum Layout: String, Codable, Sendable {
        /// cgroup v2 alone.
        case unified
        /// v2 beside v1 hierarchies.
        case hybrid
        /// v1 alone.
        case legacy
        /// No cgroup file system is mounted.
        case none
    }

    /// Where the unified hierarchy is mounted, if it is.
    public let v2: String?
    /// The controllers in the unified hierarchy's own `cgroup.controllers`.
    public let v2Controllers: Set<CgroupController>
    /// Where the v1 hierarchy of each controller is mounted.
    public let v1: [CgroupController: String]

    /// A host as it is described; ``detect(root:)`` finds out.
    public init(v2: String?, v2Controllers: Set<CgroupController>, v1: [CgroupController: String]) {
        self.v2 = v2
        self.v2Controllers = v2Controllers
        self.v1 = v1
    }

    public var layout: Layout {
        if v2 == nil { return v1.isEmpty ? .none : .legacy }
        return v1.isEmpty ? .unified : .hybrid
    }

    /// Where a controller is. Freezing and accounting of processor time are on v2 wherever it is mounted; device rules
    /// are v1's where it has that controller, as the unified hierarchy's BPF program costs more to start.
    public func place(of controller: CgroupController) -> CgroupPlace {
        if v2 != nil, v2Controllers.contains(controller) { return .v2 }
        if v2 != nil, controller == .freezer || controller == .cpuacct { return .v2 }
        if let mount = v1[controller] { return .v1(mount: mount) }
        return v2 != nil && controller.isBuiltIntoV2 ? .v2 : .absent
    }

    /// Finds out. On a unified host this costs one statfs and one file; else /proc/self/mountinfo is read as far as
    /// needed. Throws `io` where /proc can't be read.
    /// - Parameter root: a directory with another host's `proc` and `sys`, for tests.
    public static func detect(root: String = "") throws(CtrError) -> CgroupHost {
        if root.isEmpty, isUnified() {
            return CgroupHost(v2: usualMount, v2Controllers: try controllers(usualMount, root: root), v1: [:])
        }
        var table = CgroupMountTable()
        try describing("cgroup mounts of this host") { () throws(SysError) in
            let file = try open("\(root)/proc/self/mountinfo", .readOnly)
            while !table.isComplete {
                let part = try file.read(upTo: 16384)
                if part.isEmpty { break }
                table.add(part)
            }
        }
        let v2Controllers = try table.v2.map { (mount) throws(CtrError) in try controllers(mount, root: root) } ?? []
        return CgroupHost(v2: table.v2, v2Controllers: v2Controllers, v1: table.v1)
    }

    /// Where this host's hierarchies are mounted, by the names that `--cgroup-yard` of criu(8) has for them: `unified`,
    /// `cpu,cpuacct`, `systemd`. nil where one is not at the place that is usual for it.
    public static func usualPlaces() throws(CtrError) -> [String: String]? {
        if isUnified() { return ["unified": usualMount] }
        let text = try describing("cgroups of this process") { () throws(SysError) in
            String(decoding: try open("/proc/self/cgroup", [.readOnly]).readAll(), as: UTF8.self)
        }
        var places: [String: String] = [:]
        for line in text.split(separator: "\n") {
            // 1:name=systemd:/
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return nil }
            let name = String(parts[1].hasPrefix("name=") ? parts[1].dropFirst(5) : parts[1])
            let (key, magic) = name.isEmpty ? ("unified", magicOfV2) : (name, magicOfV1)
            guard let directory = try? open("\(usualMount)/\(key)", [.path, .directory, .noFollow]),
                (try? directory.fileSystemStatus().magic) == magic
            else { return nil }
            places[key] = "\(usualMount)/\(key)"
        }
        return places.isEmpty ? nil : places
    }

    private static let usualMount = "/sys/fs/cgroup"
    /// CGROUP2_SUPER_MAGIC of statfs(2).
    private static let magicOfV2: UInt64 = 0x6367_7270
    /// CGROUP_SUPER_MAGIC
    private static let magicOfV1: UInt64 = 0x0027_e0eb

    private static func isUnified() -> Bool {
        guard let directory = try? open(usualMount, [.path, .directory]) else { return false }
        return (try? directory.fileSystemStatus().magic) == magicOfV2
    }

    private static func controllers(_ mount: String, root: String) throws(CtrError) -> Set<CgroupController> {
        let text = try describing("controllers of \(mount)") { () throws(SysError) in
            try open("\(root)\(mount)/cgroup.controllers", .readOnly).read(upTo: 4096)
        }
        return parseControllers(text)
    }
}

/// The controllers that a cgroup.controllers or cgroup.subtree_control file lists; those we don't know are left out.
func parseControllers(_ text: [UInt8]) -> Set<CgroupController> {
    var all: Set<CgroupController> = []
    for word in text.split(whereSeparator: { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }) {
        if let controller = CgroupController(rawValue: String(decoding: word, as: UTF8.self)) { all.insert(controller) }
    }
    return all
}
