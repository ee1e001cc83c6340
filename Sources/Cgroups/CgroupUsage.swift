/// What a cgroup has used and what it may use, at one moment. A part is nil where the host does not count it.
public struct CgroupUsage: Codable, Equatable, Sendable {
    /// Bytes.
    public struct Memory: Codable, Equatable, Sendable {
        /// File cache included.
        public var current: Int64
        /// The highest so far; nil before Linux 5.19 on v2.
        public var peak: Int64?
        /// nil is no limit.
        public var limit: Int64?
        public var high: Int64?
        /// The parts of `current` by kind. Of the processes themselves:
        public var anonymous: Int64?
        /// File cache, `shared` included; but for that, what can be had back.
        public var cache: Int64?
        /// tmpfs and shared memory.
        public var shared: Int64?
        /// All that the kernel keeps for the VPS: stacks, page tables, `slab`, `sockets`.
        public var kernel: Int64?
        /// Kernel objects such as inodes and directory entries; nil on v1, which does not tell them apart.
        public var slab: Int64?
        /// Buffers of network connections.
        public var sockets: Int64?
        public var swap: Int64?
        /// Of swap alone, on either version; nil is no limit.
        public var swapLimit: Int64?
        /// How often `limit`, `high` and `swapLimit` were met: see ``LimitHits``.
        public var limitHits: Int64?
        public var highHits: Int64?
        public var swapHits: Int64?
        /// Processes that the kernel killed for want of memory.
        public var oomKills: Int64?
    }

    /// Microseconds, but for `limit` and counts.
    public struct Processor: Codable, Equatable, Sendable {
        /// The quota in processors: 1.5 is the time of one and a half. nil is no limit.
        public var limit: Double?
        public var total: Int64
        public var user: Int64
        public var system: Int64
        /// Periods in which the quota was in force, and in how many of them it was used up. nil without a quota.
        public var periods: Int64?
        public var throttledPeriods: Int64?
        public var throttledTime: Int64?
    }

    public struct Processes: Codable, Equatable, Sendable {
        /// Processes and threads.
        public var current: Int64
        /// nil is no limit.
        public var limit: Int64?
        /// How often a fork failed at the limit.
        public var refused: Int64?
    }

    public struct Disk: Codable, Equatable, Sendable {
        public var readBytes: Int64 = 0
        public var writtenBytes: Int64 = 0
        public var reads: Int64 = 0
        public var writes: Int64 = 0
    }

    /// Pressure stall information: how much of the time somebody (`some`) or everybody (`full`) waited. See the
    /// kernel's document on PSI.
    public struct Pressure: Codable, Equatable, Sendable {
        public struct Share: Codable, Equatable, Sendable {
            /// Percent of the last 10, 60 and 300 seconds.
            public var average10: Double
            public var average60: Double
            public var average300: Double
            /// Microseconds.
            public var total: Int64
        }
        public var some: Share
        public var full: Share?
    }

    public var memory: Memory?
    public var processor: Processor?
    public var processes: Processes?
    /// By `MAJOR:MINOR`; nil where disk rates are not counted.
    public var disks: [String: Disk]?
    /// By `cpu`, `memory`, `io`; nil where the kernel does not measure it.
    public var pressure: [String: Pressure]?
}
