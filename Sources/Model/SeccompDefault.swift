extension SeccompProfile {
    /// Changes with every change of what the default profile says; part of the cache's key. A test holds the profile's
    /// fingerprint against it.
    public static let defaultVersion = 1

    /// The profile of a system container: what is not named is refused, with EPERM where only a host may do it and with
    /// ENOSYS where the call is not known, so that newer C libraries fall back. docs/security.md gives the reasons.
    /// - Parameters:
    ///   - capabilities: the bounding set's names; they open host-only calls where the user namespace is the host's.
    ///   - nesting: containers may run inside: user namespaces, clone3(2), fsopen(2), keyrings.
    public static func `default`(
        capabilities: [String], nesting: Bool, userns: UserNamespace, architecture: Architecture = .native
    ) -> SeccompProfile {
        let policy = DefaultPolicy(
            held: userns == .host ? Set(capabilities) : [], ownUsers: userns == .own, nesting: nesting)
        return SeccompProfile(
            stages: [
                Stage(policy.guards), Stage(policy.allowed), Stage(policy.refused),
            ],
            defaultAction: .errno(DefaultPolicy.notImplemented),
            architectures: architecture == .amd64 ? [.i386] : architecture.companions)
    }

    /// The capabilities that open calls of the default profile; all others make no difference to it.
    public static let capabilitiesThatMatter = DefaultPolicy.gated.map(\.capability)
}

/// Puts the default profile together. Lists of names are in SeccompDefault+Names.swift.
struct DefaultPolicy {
    /// The capabilities that count: none with a user namespace of its own, where the kernel asks the host's anyway.
    let held: Set<String>
    let ownUsers: Bool
    let nesting: Bool

    // EPERM, ENOSYS, EAFNOSUPPORT: the same numbers on every architecture here; Model has no C library.
    static let notPermitted: UInt16 = 1
    static let notImplemented: UInt16 = 38
    static let familyNotSupported: UInt16 = 97

    /// Mounts, namespaces and the like: with a user namespace of its own the kernel confines them to it.
    private var mayAdminister: Bool { ownUsers || held.contains("CAP_SYS_ADMIN") }

    // MARK: first, refusals that depend on arguments

    var guards: [SeccompProfile.Rule] {
        terminalGuards + namespaceGuards + [
            // The 32-bit way to socket(2) hides the address family behind a pointer.
            .init(["socketcall"], .errno(Self.notImplemented), where: [.int(0, equals: 1)]),
            // The kernel answers audit only in the host's namespaces; crypto is AF_ALG's sibling. AF_NETLINK is 16.
            .init(["socket"], .errno(Self.familyNotSupported), where: [.int(0, equals: 16), .int(2, equals: 9)]),
            .init(["socket"], .errno(Self.familyNotSupported), where: [.int(0, equals: 16), .int(2, equals: 21)]),
        ]
    }

    /// TIOCSTI and TIOCLINUX put characters into a terminal's input: a program inside could type on the host's.
    private var terminalGuards: [SeccompProfile.Rule] {
        [0x5412, 0x541c].map { .init(["ioctl"], .errno(Self.notPermitted), where: [.int(1, equals: $0)]) }
    }

    private var namespaceGuards: [SeccompProfile.Rule] {
        let newUser: UInt64 = 0x1000_0000
        // mount, cgroup, uts, ipc, pid, net. The time namespace's bit is part of clone(2)'s exit signal.
        let others: [UInt64] = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x2000_0000, 0x4000_0000]
        let newTime: UInt64 = 0x80
        let refused = (nesting ? [] : [newUser]) + (mayAdminister ? [] : others + (nesting ? [newUser] : []))
        let time = mayAdminister ? [] : [newTime]
        return refused.map { .init(["clone", "unshare"], .errno(Self.notPermitted), where: [.flag(0, $0)]) }
            + time.map { .init(["unshare"], .errno(Self.notPermitted), where: [.flag(0, $0)]) }
            + (nesting ? [] : [.init(["setns"], .errno(Self.notPermitted), where: [.flag(1, newUser)])])
    }

    // MARK: then what is allowed

    var allowed: [SeccompProfile.Rule] {
        var names = Self.everyday
        if mayAdminister { names += Self.mounts + ["setns"] }
        if mayAdminister && nesting { names += Self.mountContexts + ["clone3"] }
        // Keyrings belong to user ids: with the host's ids they would be shared with the host.
        if ownUsers && nesting { names += Self.keyrings }
        for gate in Self.gated where held.contains(gate.capability) { names += gate.names }
        return [.init(names, .allow)] + personalities + families
    }

    /// Linux, 32-bit Linux, each with UNAME26, each without address randomisation, and the question.
    private var personalities: [SeccompProfile.Rule] {
        [0, 0x8, 0x2_0000, 0x2_0008, 0x4_0000, 0x4_0008, 0xffff_ffff].map {
            .init(["personality"], .allow, where: [.int(0, equals: $0)])
        }
    }

    /// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET.
    private var families: [SeccompProfile.Rule] {
        [1, 2, 10, 16, 17].map { .init(["socket"], .allow, where: [.int(0, equals: $0)]) }
    }

    // MARK: then what is refused with an errno of its own

    var refused: [SeccompProfile.Rule] {
        var hostOnly = Self.hostOnly + ["personality"]
        if !mayAdminister { hostOnly += Self.mounts + ["setns"] }
        for gate in Self.gated where !held.contains(gate.capability) { hostOnly += gate.names }
        return [
            .init(hostOnly, .errno(Self.notPermitted)),
            .init(["socket"], .errno(Self.familyNotSupported)),
        ]
    }
}
