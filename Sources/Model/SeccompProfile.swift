/// Which system calls a VPS may make: a list of stages that are asked in turn, and what happens to the rest.
///
/// A file in OCI or docker form is one stage. The default profile has three: refusals that depend on arguments, then
/// what is allowed, then what is refused with an errno of its own; so that `allowed unless` needs no list of all values
/// that are not refused, which libseccomp could not express.
public struct SeccompProfile: Equatable, Sendable {
    /// Asked in order; the first stage with a rule that fits decides.
    public var stages: [Stage]
    /// What happens to a call that no stage has a rule for.
    public var defaultAction: Action
    /// Which instruction sets may make calls besides the machine's own; others are killed.
    public var architectures: [Architecture]
    /// Actions other than `allow` are logged.
    public var log: Bool
    /// Keeps Speculative Store Bypass on, which is the kernel's default since 5.16.
    public var allowSpeculation: Bool
    /// Names in the profile that no architecture here has; they were left out.
    public var unknownNames: [String]

    public init(stages: [Stage], defaultAction: Action, architectures: [Architecture]) {
        self.stages = stages
        self.defaultAction = defaultAction
        self.architectures = architectures
        log = false
        allowSpeculation = false
        unknownNames = []
    }

    /// Rules that don't depend on each other's order.
    public struct Stage: Equatable, Sendable {
        public var rules: [Rule]
        public init(_ rules: [Rule]) { self.rules = rules }
    }

    /// One action for some calls, where all conditions hold.
    public struct Rule: Equatable, Sendable {
        public var names: [String]
        public var action: Action
        public var conditions: [Condition]
        public init(_ names: [String], _ action: Action, where conditions: [Condition] = []) {
            self.names = names
            self.action = action
            self.conditions = conditions
        }
    }

    /// What the kernel does with a call. After `SCMP_ACT_*`, see seccomp_init(3).
    public enum Action: Equatable, Hashable, Sendable {
        case allow
        /// The call fails with this errno and does nothing.
        case errno(UInt16)
        case log
        case trap
        /// A tracer decides; without one the call fails with ENOSYS.
        case trace(UInt16)
        case killThread
        case killProcess
    }

    /// A comparison of one argument of the call, as 64 bits.
    public struct Condition: Equatable, Sendable {
        public enum Comparison: Equatable, Sendable {
            case notEqual, less, lessOrEqual, equal, greaterOrEqual, greater
            /// `argument & mask == value`.
            case maskedEqual(mask: UInt64)
        }
        /// 0 to 5.
        public var index: UInt32
        public var comparison: Comparison
        public var value: UInt64
        public init(index: UInt32, _ comparison: Comparison, _ value: UInt64) {
            self.index = index
            self.comparison = comparison
            self.value = value
        }

        /// The low 32 bits equal a value. For an argument that the kernel takes as an int: it drops the high half, so a
        /// comparison of all 64 bits could be evaded by setting them.
        public static func int(_ index: UInt32, equals value: UInt32) -> Condition {
            Condition(index: index, .maskedEqual(mask: 0xffff_ffff), UInt64(value))
        }

        /// A flag is set.
        public static func flag(_ index: UInt32, _ bit: UInt64) -> Condition {
            Condition(index: index, .maskedEqual(mask: bit), bit)
        }
    }

    /// Instruction sets with a system call table of their own.
    public enum Architecture: String, Codable, Sendable, CaseIterable {
        case amd64, i386, x32, arm64, arm

        /// The one that this program was built for.
        public static var native: Architecture {
            #if arch(x86_64)
            .amd64
            #elseif arch(arm64)
            .arm64
            #else
            #error("no seccomp profile for this architecture")
            #endif
        }

        /// What else a machine of this architecture can run.
        public var companions: [Architecture] {
            switch self {
            case .amd64: [.i386, .x32]
            case .arm64: [.arm]
            default: []
            }
        }
    }

    /// How a VPS's user ids relate to the host's.
    public enum UserNamespace: String, Sendable {
        /// A user namespace of its own: capabilities act only inside it.
        case own
        /// The host's: every capability is the host's.
        case host
    }
}
