/// `process.capabilities` of the OCI runtime spec: the five sets of capabilities(7), by name with `CAP_`.
///
/// Names are not looked at here: ``Namespaces`` holds them against libcap and the running kernel.
public struct CapabilitySet: Codable, Equatable, Sendable {
    /// What a program can ever gain by execve(2); for user 0 also what it gets.
    public var bounding: [String]
    public var effective: [String]
    public var permitted: [String]
    /// Empty by default: an inheritable capability meets file capabilities of the guest's programs (CVE-2022-24769).
    public var inheritable: [String]
    /// What a program that runs as another user than 0 gets; each must be inheritable too.
    public var ambient: [String]

    public init(
        bounding: [String] = [], effective: [String] = [], permitted: [String] = [], inheritable: [String] = [],
        ambient: [String] = []
    ) {
        self.bounding = bounding
        self.effective = effective
        self.permitted = permitted
        self.inheritable = inheritable
        self.ambient = ambient
    }

    /// The same names bounding, permitted and effective; nothing inheritable or ambient.
    public init(_ names: [String]) {
        self.init(bounding: names, effective: names, permitted: names)
    }

    /// What a VPS with a user namespace of its own has: rights over what belongs to that namespace, which a system with
    /// its own init, package manager and databases uses. docs/security.md gives the reason for each of the 41.
    public static let system = CapabilitySet([
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
        "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
        "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
    ])

    /// What a VPS in the host's user namespace has (`--userns host`): its capabilities are the host's own, so these are
    /// docker's defaults without MKNOD, NET_RAW, AUDIT_WRITE and SETFCAP.
    public static let hostUser = CapabilitySet([
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    ])
}
