public import Cgroups
internal import Kernel
public import Model

/// `state.json`: what is true of a VPS only until it ends or the host reboots.
public struct VPSState: Codable, Sendable, Equatable {
    /// The format of this file.
    public var version = 1
    public var status: VPSStatus
    /// The boot during which this was written: see /proc/sys/kernel/random/boot_id.
    public var bootID: String
    /// Its first process, as the host numbers it, and that process's start time in clock ticks since boot: the pair
    /// names one process for ever. Both are 0 while there is none: starting, or waiting to be started again.
    public var pid: Int32 = 0
    public var startTime: UInt64 = 0
    /// The process that waits for its end.
    public var supervisor: Int32
    /// RFC 3339, UTC.
    public var started: String
    public var cgroup: CgroupRecord?
    /// The number of the loop device of its disk image.
    public var loop: Int?
    /// The configuration with which it was started, whatever `set` has changed in config.json since.
    public var config: VPSConfig
    /// How often its supervisor has started it again since an operator did.
    public var restarts = 0
    /// How its first process says that the system is up.
    public var ready = ReadySignal.started
    /// Why it stands still, where no operator asked for it.
    public var pausedFor: PauseReason?
    /// It goes on from a checkpoint, with a clock of its own (a time namespace) that has not jumped.
    public var ownClock: Bool?
    /// A shell instead of its init: `start --rescue`, `exec --offline`.
    public var rescue = false

    public enum PauseReason: String, Codable, Sendable {
        /// The host's disk is nearly full.
        case space
        /// Its disk is being copied.
        case copy
    }

    init(status: VPSStatus, bootID: String, supervisor: Int32, started: String, config: VPSConfig) {
        self.status = status
        self.bootID = bootID
        self.supervisor = supervisor
        self.started = started
        self.config = config
    }
}

extension VPSState {
    /// Whether the process that is to wait for its end lives.
    var hasSupervisor: Bool {
        guard let process = try? ProcessHandle(pid: supervisor) else { return false }
        return !process.hasEnded
    }

    /// Whether its first process began within the last seconds.
    var isYoung: Bool {
        // Both in clock ticks since boot, which Linux has a hundred of in a second on every platform.
        guard let now = try? ProcFiles.uptime() else { return false }
        return now < startTime / 100 + 5
    }
}

/// The states of a VPS. docs/states.md has the diagram.
public enum VPSStatus: String, Codable, Sendable, CaseIterable {
    case creating, stopped, starting, running, paused, stopping, restarting
    /// Its memory is in files: see ``Suspend``.
    case suspended, resuming
    /// The same, and the files are on its own disk: see ``CheckpointPlace``.
    case hibernated
    /// It has become a template, see ``Seal``.
    case sealed
    /// It runs, and its state directory has gone: see ``LostVPS``.
    case lost
}

/// `last.json`: how the last run of a kept VPS ended.
public struct LastRun: Codable, Sendable, Equatable {
    /// Why a VPS ended.
    public enum Cause: String, Codable, Sendable {
        /// Its first process ended by itself: see the exit status.
        case exit
        /// A signal ended it.
        case signal
        /// The kernel did: the VPS, or the host, was out of memory.
        case outOfMemory
        /// `ctr stop`, `kill`, `restart` or `destroy`.
        case `operator`
        /// reboot(2) inside.
        case reboot, poweroff
        /// Nobody saw it: the supervisor was killed, and this kernel does not tell any more.
        case unknown
    }

    public var cause: Cause
    /// As `run` returned it; nil where nobody saw it.
    public var exitStatus: Int32?
    /// RFC 3339, UTC.
    public var finished: String
    /// Why the post-stop script failed.
    public var scriptFailure: String?
    public var outOfMemory: Bool { cause == .outOfMemory }

    /// - Parameter asked: an operator wanted the end.
    init(_ status: ExitStatus?, asked: Bool, outOfMemory: Bool) {
        finished = Timestamp.now()
        exitStatus = status?.code
        cause =
            switch status {
            case _ where asked: .operator
            case nil: .unknown
            // The kernel ends a pid namespace so on reboot(2): see its manual page.
            case .signaled(Signal.hangup): .reboot
            case .signaled(Signal.interrupt): .poweroff
            case .signaled: outOfMemory ? .outOfMemory : .signal
            case .exited: .exit
            }
    }
}
