/// `config.json`: what the operator asked for. `ctr set` edits it; a start turns it into a ``Spec``.
public struct VPSConfig: Codable, Sendable, Equatable {
    /// The format of this file.
    public var version = 1
    public var name: String
    public var template: String
    /// RFC 3339, UTC.
    public var created: String
    /// Removed when it ends.
    public var ephemeral = false
    /// What its first process executes; never empty.
    public var args: [String]
    /// The whole environment, `KEY=VALUE`.
    public var env: [String] = []
    /// `USER[:GROUP]` of the VPS's own passwd and group; nil is root.
    public var user: String?
    public var workdir = "/"
    /// A pseudoterminal is its standard input, output and error.
    public var terminal = false
    public var hostname: String
    public var domain: String?
    /// What is written into its own files; nil: nothing beside machine id and names.
    public var identity: VPSIdentity?
    /// What of that has yet to be; nil: nothing.
    public var identityDue: [VPSIdentity.Part]?
    public var resources = Resources()
    public var ulimits: [Ulimit] = []
    public var mounts: [MountSpec] = []
    /// Paths of host devices below /dev.
    public var devices: [String] = []
    public var capAdd: [String] = []
    public var capDrop: [String] = []
    public var seccomp = SeccompChoice.standard
    public var userns = UserNamespaceChoice.auto
    /// The host ids of this VPS, where it has a user namespace of its own.
    public var idRange: IDRange?
    public var network = NetworkChoice.none
    /// What it has on that network; nil: nothing was said.
    public var interface: VPSNetwork?
    /// Those beside eth0; nil: it never had any.
    public var interfaces: [FurtherInterface]?
    /// Its disk image; nil: a directory on the host's file system.
    public var disk: DiskConfig?
    /// The template that it has become: it can't be started.
    public var sealedAs: String?
    /// What a verb has begun on its disk and not finished.
    public var diskWork: DiskWork?
    public var nesting = false
    public var oomScoreAdj: Int?
    /// What asks its init to halt: `SIGRTMIN+3`, `SIGTERM`.
    public var stopSignal = "SIGTERM"
    /// Whether its supervisor starts it again when it has ended.
    public var restart = RestartPolicy.no
    /// Started by `ctr start --onboot`, those with the highest priority first.
    public var onboot = false
    public var bootPriority = 0
    /// Can't be destroyed.
    public var protected = false
    public var description: String?
    public var labels: [String: String] = [:]

    public init(name: String, template: String, created: String, args: [String]) {
        self.name = name
        self.template = template
        self.created = created
        self.args = args
        hostname = name
    }

    /// As ``interface``, for what sets its parts.
    public var onNetwork: VPSNetwork {
        get { interface ?? VPSNetwork() }
        set { interface = newValue == VPSNetwork() ? nil : newValue }
    }
}

/// `--seccomp default|unconfined|FILE`.
public enum SeccompChoice: Codable, Sendable, Equatable {
    case standard, unconfined
    /// An absolute path of a profile of the OCI or docker form.
    case file(String)

    /// As the option has it.
    public var text: String {
        switch self {
        case .standard: "default"
        case .unconfined: "unconfined"
        case .file(let path): path
        }
    }

    public init(text: String) {
        switch text {
        case "default": self = .standard
        case "unconfined": self = .unconfined
        default: self = .file(text)
        }
    }

    public init(from decoder: any Decoder) throws {
        self.init(text: try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// `--userns auto|host`.
public enum UserNamespaceChoice: String, Codable, Sendable {
    case auto, host
}

/// `--restart no|on-failure|always`.
public enum RestartPolicy: String, Codable, Sendable {
    case no
    case onFailure = "on-failure"
    case always
}

/// Options of `run`, `create` and `set` as given, each nil or empty where it was not.
public struct VPSOptions: Codable, Sendable, Equatable {
    public var name: String?
    public var user: String?
    public var workdir: String?
    public var hostname: String?
    public var domain: String?
    public var identity = VPSIdentity()
    /// Files with public keys, which are to be read yet.
    public var sshKeyFiles: [String] = []
    public var description: String?
    public var env: [String] = []
    public var labels: [String] = []
    public var resources = Resources()
    public var ulimits: [Ulimit] = []
    public var mounts: [MountSpec] = []
    public var devices: [String] = []
    public var capAdd: [String] = []
    public var capDrop: [String] = []
    public var seccomp: SeccompChoice?
    public var userns: UserNamespaceChoice?
    public var network: NetworkChoice?
    public var interface = VPSNetwork()
    public var interfaces: [InterfaceOption] = []
    public var stopSignal: String?
    public var nesting: Bool?
    /// The init that `start` executes instead of the template's, as words.
    public var initCommand: [String]?
    public var restart: RestartPolicy?
    public var onboot: Bool?
    public var bootPriority: Int?
    public var protected: Bool?
    public var profile: String?
    public var disk: DiskChoice?
    public var thick: Bool?
    public var terminal = false
    public var detach = false
    public var keep = false

    public init() {}
}
