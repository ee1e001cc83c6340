public import Kernel
public import Model

/// What a test asks `namespace-probe launch` to do: a ``Spec`` by hand, and what happens around it.
public struct ProbeRequest: Codable {
    public var args: [String]
    public var env = ["PATH=/bin"]
    public var cwd = "/"
    public var uid: UInt32 = 0
    public var gid: UInt32 = 0
    public var groups: [UInt32] = []
    public var umask: UInt32 = 0o022
    public var userName: String?
    public var terminal = false
    public var rlimits: [RLimit] = []
    public var oomScoreAdj: Int?
    public var layers: [String]
    public var disk: String?
    public var volatile = false
    public var mountPoint: String
    public var hostname: String?
    public var domainname: String?
    public var mounts: [MountSpec] = []
    /// Bits of `NamespaceFlags`.
    public var namespaces: UInt64
    public var maps: [IDMap] = []
    public var timeOffsets: TimeOffsets?
    public var devices: [DeviceSpec] = []
    public var maskedPaths = LinuxSpec.standardMaskedPaths
    public var readonlyPaths = LinuxSpec.standardReadonlyPaths
    public var ready = ReadySignal.started
    /// Layers by path, as before Linux 6.13.
    public var layersByPath = false
    public var parentDeathSignal: Int32?
    /// The probe has a second thread.
    public var thread = false
    /// The probe's umask and a signal that it blocks, to be found unchanged.
    public var callerUmask: UInt32 = 0o027
    /// Wait for this text in the program's output before anything else is done; its namespaces are looked at then.
    public var awaiting: String?
    /// Shell commands of the host, between ready and execute.
    public var hostBeforeExecute: [String] = []
    /// Commands that enter it while its program runs.
    public var joins: [ProbeJoin] = []
    /// Shell commands of the host, after that; `PID` is the first process.
    public var hostWhileRunning: [String] = []
    public var ending = Ending.wait

    /// How the probe ends what it has started.
    public enum Ending: String, Codable {
        /// Sends the program a line and waits.
        case wait
        /// Lets go of it when it is ready, before execute.
        case abandon
        /// Kills itself before execute, having printed the reply.
        case dieReady
        /// Kills itself while the program runs, having printed the reply.
        case dieRunning
        /// Kills the program and then tries to join, before and after it is reaped.
        case joinLate
    }

    public init(args: [String], layers: [String], disk: String?, mountPoint: String, namespaces: UInt64) {
        self.args = args
        self.layers = layers
        self.disk = disk
        self.mountPoint = mountPoint
        self.namespaces = namespaces
    }
}

public struct ProbeJoin: Codable {
    public var args: [String]
    public var terminal = false
    public var userName: String?
    public var cwd = "/"
    public var rlimits: [RLimit] = []
    public init(_ args: [String]) { self.args = args }
}

/// What it answers.
public struct ProbeReply: Codable {
    public var failure: Failure?
    public var ending: Ended?
    public var joins: [Joined] = []
    public var host: [Ended] = []
    public var pid: Int32 = 0
    /// Datagrams that have come over the notify socket when the program has ended; nil where there is none.
    public var notified: [String]?
    /// The namespaces of the program, seen from the host: `mnt` is `mnt:[4026531841]`.
    public var namespaces: [String: String] = [:]
    public var before = CallerFacts()
    /// Right after the start has succeeded or failed.
    public var afterStart = CallerFacts()
    /// When everything is over.
    public var after = CallerFacts()
    public init() {}

    public struct Failure: Codable, Equatable {
        public var code: CtrError.Code
        public var message: String
        public var step: String?
        public var errno: Int32?
        public init(_ error: CtrError) {
            code = error.code
            message = error.message
            step = error.step
            errno = error.errno
        }
    }

    public struct Ended: Codable, Equatable {
        public var exited: Int32?
        public var signaled: Int32?
        public var output: String
        public init(exited: Int32?, signaled: Int32?, output: String) {
            self.exited = exited
            self.signaled = signaled
            self.output = output
        }
    }

    public struct Joined: Codable {
        public var failure: Failure?
        public var ended: Ended?
        public init(failure: Failure?, ended: Ended?) {
            self.failure = failure
            self.ended = ended
        }
    }
}

/// What must be the same of a process before and after it has started a VPS.
public struct CallerFacts: Codable, Equatable {
    public var namespaces: [String: String] = [:]
    public var cwd = ""
    /// Device and inode of `/`.
    public var root = ""
    /// Uid, Gid, Groups, Umask, capability sets and signal masks of /proc/self/status.
    public var status: [String: String] = [:]
    public var secureBits: UInt = 0
    /// `NUMBER FILE`.
    public var descriptors: [String] = []
    /// Numbers of children, ended ones that were not reaped included.
    public var children: [Int32] = []
    /// Lines of /proc/self/mountinfo.
    public var mounts: [String] = []
    public init() {}
}
