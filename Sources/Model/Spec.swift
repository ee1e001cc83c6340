public import Kernel

/// What the engine starts: one value, its fields named and shaped after the OCI runtime spec (config.md and
/// config-linux.md), so that an OCI bundle's config.json maps onto it.
public struct Spec: Sendable, Equatable {
    public var process: ProcessSpec
    public var root: RootSpec
    public var hostname: String?
    public var domainname: String?
    public var mounts: [MountSpec] = []
    public var linux = LinuxSpec()
    /// How the process says that it is up; not of the OCI spec. It finds what it needs for that in `/run/host`.
    public var ready = ReadySignal.started
    /// Whether its root finds `/run/host/hibernate`, where it has a `/run/host`; not of the OCI spec.
    public var asksToHibernate = false
    /// What its /etc/resolv.conf is to say, nil where that is none of ctr's; not of the OCI spec.
    public var resolver: String?
    /// In place of a file that ctr has not written.
    public var resolverReplaces = false
    /// Lines `ADDRESS NAME` for its /etc/hosts, in place of those of its last start; nil: the file is left alone. Not of the OCI
    /// spec.
    public var hosts: [String]?

    public init(process: ProcessSpec, root: RootSpec) {
        self.process = process
        self.root = root
    }
}

/// `process` of the OCI runtime spec.
public struct ProcessSpec: Sendable, Equatable {
    public var args: [String]
    /// `KEY=VALUE`; nothing of ctr's own environment is added.
    public var env: [String] = []
    public var cwd = "/"
    public var user = UserIDs()
    /// Standard input, output and error are a pseudoterminal made inside.
    public var terminal = false
    public var rlimits: [RLimit] = []
    public var noNewPrivileges = false
    /// -1000 to 1000, see proc_pid_oom_score_adj(5).
    public var oomScoreAdj: Int?

    public init(args: [String]) { self.args = args }
}

/// `process.user`: numbers as the guest sees them.
public struct UserIDs: Sendable, Equatable {
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    public var additionalGids: [UInt32] = []
    /// The file mode creation mask.
    public var umask: UInt32 = 0o022
    public init() {}
}

/// `process.rlimits`: the resource's number in getrlimit(2), `UInt64.max` is unlimited.
public struct RLimit: Sendable, Equatable, Codable {
    public var resource: Int32
    public var soft: UInt64
    public var hard: UInt64
    public init(resource: Int32, soft: UInt64, hard: UInt64) {
        self.resource = resource
        self.soft = soft
        self.hard = hard
    }
}

/// Where the root comes from: an overlay over layers.
public struct RootSpec: Sendable, Equatable {
    /// Absolute host paths, lowest first.
    public var layers: [String]
    /// A host directory with `upper/` and `work/`, or the name of an image that is mounted already; nil: the single
    /// layer itself, writable (for building a template).
    public var disk: String?
    /// The disk's writes need not survive the VPS: no flush when it ends.
    public var volatile = false
    /// Where the root is attached in the private mount namespace: an existing host directory, otherwise untouched.
    public var mountPoint: String

    public init(layers: [String], disk: String?, mountPoint: String) {
        self.layers = layers
        self.disk = disk
        self.mountPoint = mountPoint
    }
}

/// A host file or directory shown inside: `mounts` with type bind.
public struct MountSpec: Sendable, Equatable, Codable {
    /// An absolute host path.
    public var source: String
    /// An absolute path inside the root.
    public var destination: String
    public var readOnly: Bool
    public init(source: String, destination: String, readOnly: Bool) {
        self.source = source
        self.destination = destination
        self.readOnly = readOnly
    }
}

/// A device node of the host made inside: `linux.devices`.
public struct DeviceSpec: Sendable, Equatable, Codable {
    /// The same path inside as on the host, below /dev.
    public var path: String
    public var block: Bool
    public var major: UInt32
    public var minor: UInt32
    /// Permission bits.
    public var mode: UInt32
    public init(path: String, block: Bool, major: UInt32, minor: UInt32, mode: UInt32) {
        self.path = path
        self.block = block
        self.major = major
        self.minor = minor
        self.mode = mode
    }
}

/// `linux` of the OCI runtime spec.
public struct LinuxSpec: Sendable, Equatable {
    /// New namespaces; one that is missing here is the host's.
    public var namespaces: NamespaceFlags = [.mount, .pid, .uts, .ipc, .network, .cgroup]
    /// Both uidMappings and gidMappings; empty means the host's user namespace.
    public var idMappings: [IDMap] = []
    /// Offsets of the time namespace in nanoseconds, where one is asked for.
    public var timeOffsets: TimeOffsets?
    public var devices: [DeviceSpec] = []
    /// Containers with user namespaces of their own are to run inside; not of the OCI spec.
    public var nesting = false
    public var maskedPaths = LinuxSpec.standardMaskedPaths
    public var readonlyPaths = LinuxSpec.standardReadonlyPaths

    public init() {}

    /// Files of /proc and /sys that tell about the host and that no guest needs: those that podman and containerd mask.
    public static let standardMaskedPaths = [
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
        "/sys/devices/virtual/powercap", "/sys/firmware",
    ]
    /// Parts of /proc through which the host itself can be changed.
    public static let standardReadonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"]
}

/// Offsets of clocks in a time namespace, see time_namespaces(7). Nanoseconds.
public struct TimeOffsets: Sendable, Equatable, Codable {
    public var monotonic: Int64
    public var boottime: Int64
    public init(monotonic: Int64, boottime: Int64) {
        self.monotonic = monotonic
        self.boottime = boottime
    }
}
