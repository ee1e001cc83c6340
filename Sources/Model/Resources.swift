/// Limits of a VPS; nil means no limit of its own. Shaped after linux.resources of the OCI runtime spec, with the units
/// that operators use.
public struct Resources: Codable, Equatable, Sendable {
    /// Processors' worth of time: 1.5 is 150 ms in each 100 ms period.
    public var cpus: Double?
    /// Share of contended processor time, 1 to 10000, default 100: cgroup v2's cpu.weight.
    public var cpuWeight: Int?
    /// Processors that it may run on, as cpuset(7) lists them: `0-3,5`.
    public var cpuset: String?
    /// Memory in bytes, hard limit.
    public var memory: Int64?
    /// Memory in bytes above which it is throttled and reclaimed: cgroup v2's memory.high.
    public var memoryHigh: Int64?
    /// Swap in bytes on top of memory; 0 is none.
    public var swap: Int64?
    /// Processes and threads.
    public var pids: Int64?
    /// Disk rates.
    public var ioReadBps: [IORate] = []
    public var ioWriteBps: [IORate] = []
    public var ioReadIops: [IORate] = []
    public var ioWriteIops: [IORate] = []

    public init() {}
}

/// A rate on one block device.
public struct IORate: Codable, Equatable, Sendable {
    /// The device as `MAJOR:MINOR`; nil: the one that holds the VPS's disk (Runtime fills it in).
    public var device: String?
    /// Bytes or operations a second.
    public var rate: Int64
    public init(device: String? = nil, rate: Int64) {
        self.device = device
        self.rate = rate
    }
}

/// A rule of the device list: what may be opened or made. After linux.resources.devices of the OCI runtime spec.
public struct DeviceRule: Codable, Equatable, Sendable {
    public enum Kind: String, Codable, Sendable {
        case all = "a"
        case character = "c"
        case block = "b"
    }
    public var kind: Kind
    /// nil is every number.
    public var major: UInt32?
    public var minor: UInt32?
    /// Of `rwm`: read, write, mknod.
    public var access: String
    public init(_ kind: Kind, _ major: UInt32?, _ minor: UInt32?, _ access: String) {
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access
    }
    /// What every VPS may do: mknod of anything (the kernel refuses it in a user namespace), and use null, zero, full,
    /// random, urandom, tty, console, ptmx and pts. All else is denied.
    public static let standard: [DeviceRule] = [
        DeviceRule(.character, nil, nil, "m"), DeviceRule(.block, nil, nil, "m"),
        DeviceRule(.character, 1, 3, "rwm"), DeviceRule(.character, 1, 5, "rwm"), DeviceRule(.character, 1, 7, "rwm"),
        DeviceRule(.character, 1, 8, "rwm"), DeviceRule(.character, 1, 9, "rwm"), DeviceRule(.character, 5, 0, "rwm"),
        DeviceRule(.character, 5, 1, "rwm"), DeviceRule(.character, 5, 2, "rwm"),
        DeviceRule(.character, 136, nil, "rwm"),
    ]
}
