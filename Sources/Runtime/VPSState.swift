public import Cgroups
public import Model

/// `state.json`: what is true of a VPS only until it ends or the host reboots.
public struct VPSState: Codable, Sendable, Equatable {
    /// The format of this file.
    public var version = 1
    public var status: VPSStatus
    /// The boot during which this was written: see /proc/sys/kernel/random/boot_id.
    public var bootID: String
    /// Its first process, as the host numbers it, and that process's start time in clock ticks since boot: the pair
    /// names one process for ever.
    public var pid: Int32
    public var startTime: UInt64
    /// The process that waits for its end.
    public var supervisor: Int32
    /// RFC 3339, UTC.
    public var started: String
    /// Bits of ``NamespaceFlags`` that are its own.
    public var namespaces: UInt64
    public var cgroup: CgroupRecord
    /// That of an ephemeral VPS, which has no other file of its own.
    public var config: VPSConfig?

    init(
        status: VPSStatus, bootID: String, pid: Int32, startTime: UInt64, supervisor: Int32, started: String,
        namespaces: UInt64, cgroup: CgroupRecord, config: VPSConfig?
    ) {
        self.status = status
        self.bootID = bootID
        self.pid = pid
        self.startTime = startTime
        self.supervisor = supervisor
        self.started = started
        self.namespaces = namespaces
        self.cgroup = cgroup
        self.config = config
    }
}

/// The states of a VPS.
public enum VPSStatus: String, Codable, Sendable {
    case creating, stopped, running, paused
}

/// `last.json`: how the last run of a kept VPS ended.
public struct LastRun: Codable, Sendable, Equatable {
    /// As `run` returned it.
    public var exitStatus: Int32
    /// RFC 3339, UTC.
    public var finished: String
    public var outOfMemory: Bool
    public init(exitStatus: Int32, finished: String, outOfMemory: Bool) {
        self.exitStatus = exitStatus
        self.finished = finished
        self.outOfMemory = outOfMemory
    }
}
