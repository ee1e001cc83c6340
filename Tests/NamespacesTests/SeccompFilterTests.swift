import CSeccomp
import Glibc
import Kernel
import Namespaces
import Testing

@testable import Model

/// What compiled filters say, by simulation: every architecture, every number.
@Suite struct SeccompFilterTests {
    static let allow: UInt32 = 0x7fff_0000
    static let kill: UInt32 = 0x8000_0000
    static func errno(_ number: UInt32) -> UInt32 { 0x5_0000 | number }
    static let notPermitted = errno(1)
    static let notImplemented = errno(38)
    static let noFamily = errno(97)

    static let tokens: [SeccompProfile.Architecture: UInt32] = [
        .amd64: 0xc000_003e, .i386: 0x4000_0003, .arm64: 0xc000_00b7, .arm: 0x4000_0028,
    ]

    struct Filter {
        let simulator: SeccompSimulator
        let architecture: SeccompProfile.Architecture

        init(
            _ architecture: SeccompProfile.Architecture = .amd64, capabilities: [String] = [], nesting: Bool = false,
            userns: SeccompProfile.UserNamespace = .own
        ) throws {
            let main: SeccompProfile.Architecture = [.amd64, .i386].contains(architecture) ? .amd64 : .arm64
            let profile = SeccompProfile.default(
                capabilities: capabilities, nesting: nesting, userns: userns, architecture: main)
            let filter = try SeccompFilter.compile(profile, architecture: main)
            #expect(filter.unknownNames == [])
            simulator = SeccompSimulator(program: filter.program)
            self.architecture = architecture
        }

        func says(_ number: UInt32, _ arguments: [UInt64] = []) throws -> UInt32 {
            try simulator.run(.init(number: number, architecture: tokens[architecture]!, arguments: arguments))
        }

        func says(_ name: String, _ arguments: [UInt64] = []) throws -> UInt32 {
            let number = seccomp_syscall_resolve_name_arch(tokens[architecture]!, name)
            try #require(number >= 0, "\(name) is unknown on \(architecture)")
            return try says(UInt32(number), arguments)
        }
    }

    // MARK: the whole table

    /// Calls that the default profile treats as if the kernel had them not, each on purpose. A call that a later
    /// libseccomp knows and that is in no list makes the test below fail, so that somebody decides.
    static let absent: Set<String> = [
        // Of no use to a VPS, or refused on purpose: docs/security.md.
        "clone3", "fsopen", "fsconfig", "fsmount", "fspick", "add_key", "keyctl", "request_key", "io_uring_setup",
        "io_uring_enter", "io_uring_register", "memfd_secret", "modify_ldt", "cachestat", "lsm_set_self_attr",
        // Gone from the kernel, never there, or for programs of the last century.
        "_sysctl", "afs_syscall", "bdflush", "break", "create_module", "epoll_ctl_old", "epoll_wait_old", "ftime",
        "get_kernel_syms", "getpmsg", "gtty", "idle", "lock", "mpx", "nfsservctl", "oldfstat", "oldlstat",
        "oldolduname",
        "oldstat", "olduname", "pciconfig_iobase", "pciconfig_read", "pciconfig_write", "prof", "profil", "putpmsg",
        "query_module", "security", "stty", "sysfs", "tuxcall", "ulimit", "uselib", "ustat", "vm86", "vm86old",
        "vserver", "usr26", "usr32",
    ]

    @Test(arguments: [SeccompProfile.Architecture.amd64, .i386, .arm64, .arm])
    func everyNumberIsAnsweredAsTheListsSay(architecture: SeccompProfile.Architecture) throws {
        let filter = try Filter(architecture)
        let allowed = Set(DefaultPolicy.everyday + DefaultPolicy.mounts + ["setns"])
        let refused = Set(DefaultPolicy.hostOnly + DefaultPolicy.gated.flatMap(\.names))
        var counts: [UInt32: Int] = [:]
        for number in Array(UInt32(0)..<600) + Array(0xf0000..<0xf0010) {
            let answer = try filter.says(number)
            counts[answer, default: 0] += 1
            guard let text = seccomp_syscall_resolve_num_arch(Self.tokens[architecture]!, Int32(number)) else {
                // Newer than this libseccomp, or nothing.
                if number < 451 || number > 469 { #expect(answer == Self.notImplemented, "\(number)") }
                continue
            }
            defer { free(text) }
            let name = String(cString: text)
            let expected: UInt32
            switch name {
            case "socket": expected = Self.noFamily  // the family is 0
            case "personality": expected = Self.allow  // PER_LINUX
            case _ where allowed.contains(name): expected = Self.allow
            case _ where refused.contains(name): expected = Self.notPermitted
            default:
                expected = Self.notImplemented
                #expect(Self.absent.contains(name), "\(name) is in no list")
            }
            #expect(answer == expected, "\(name) (\(number))")
        }
        #expect(counts[Self.allow, default: 0] > 250)
        #expect(counts[Self.notPermitted, default: 0] > 15)
    }

    @Test(arguments: [SeccompProfile.Architecture.amd64, .i386, .arm64, .arm])
    func callsNewerThanLibseccomp(architecture: SeccompProfile.Architecture) throws {
        let filter = try Filter(architecture)
        let allowed: Set<UInt32> = [
            452, 453, 454, 455, 456, 457, 458, 459, 461, 462, 463, 464, 465, 466, 467, 468, 469,
        ]
        for number in UInt32(451)..<480 {
            let expected = allowed.contains(number) ? Self.allow : Self.notImplemented
            #expect(try filter.says(number) == expected, "\(number)")
        }
        let host = try Filter(architecture, userns: .host)
        #expect(try host.says(467) == Self.notPermitted, "open_tree_attr is a mount call")
    }

    @Test func otherArchitecturesAreKilled() throws {
        let filter = try Filter()
        for token: UInt32 in [0xc000_00b7, 0x4000_0028, 0, 0xffff_ffff] {
            #expect(try filter.simulator.run(.init(number: 0, architecture: token)) == Self.kill)
        }
        // x32 has the architecture of x86_64 and bit 30 in the number.
        for number: UInt32 in [0x4000_0000, 0x4000_003b, 0x4000_0209] {
            #expect(try filter.says(number) == Self.kill, "x32 \(number)")
        }
    }

    // MARK: arguments

    @Test(arguments: [SeccompProfile.Architecture.amd64, .i386, .arm64, .arm])
    func terminalInput(architecture: SeccompProfile.Architecture) throws {
        let filter = try Filter(architecture)
        for request: UInt64 in [0x5412, 0x541c] {
            #expect(try filter.says("ioctl", [0, request]) == Self.notPermitted)
            #expect(try filter.says("ioctl", [0, request | 0xdead_beef_0000_0000]) == Self.notPermitted)
            #expect(try filter.says("ioctl", [0, request | 1 << 16]) == Self.allow)
        }
        for request: UInt64 in [0x5401, 0x5413, 0x5411, 0, 0xffff_ffff] {
            #expect(try filter.says("ioctl", [0, request]) == Self.allow)
        }
    }

    @Test func namespacesOfAVPSWithItsOwnUsers() throws {
        let filter = try Filter()
        #expect(try filter.says("clone", [0x1000_0011]) == Self.notPermitted)
        #expect(try filter.says("clone", [0x7e02_0011]) == Self.notPermitted)
        #expect(try filter.says("clone", [0x6e02_0011]) == Self.allow, "every namespace but user")
        #expect(try filter.says("clone", [0x3d0f00]) == Self.allow, "a thread")
        #expect(try filter.says("unshare", [0x1000_0000]) == Self.notPermitted)
        #expect(try filter.says("unshare", [0x2_0000]) == Self.allow)
        #expect(try filter.says("setns", [3, 0x1000_0000]) == Self.notPermitted)
        #expect(try filter.says("setns", [3, 0x4000_0000]) == Self.allow)
        #expect(try filter.says("clone3") == Self.notImplemented)
        for name in ["fsopen", "fsconfig", "fsmount", "fspick", "keyctl"] {
            #expect(try filter.says(name) == Self.notImplemented)
        }
        for name in ["mount", "umount2", "pivot_root", "move_mount", "open_tree", "mount_setattr", "chroot", "mknod"] {
            #expect(try filter.says(name) == Self.allow)
        }
    }

    @Test func nesting() throws {
        let filter = try Filter(nesting: true)
        #expect(try filter.says("clone", [0x1000_0011]) == Self.allow)
        #expect(try filter.says("unshare", [0x1000_0000]) == Self.allow)
        for name in ["clone3", "fsopen", "fsmount", "keyctl", "setns"] { #expect(try filter.says(name) == Self.allow) }
        for name in ["bpf", "kexec_load", "init_module", "open_by_handle_at"] {
            #expect(try filter.says(name) == Self.notPermitted)
        }
    }

    @Test func hostUsersMakeNoNamespaceAndNoMount() throws {
        let filter = try Filter(capabilities: CapabilitySet.hostUser.bounding, userns: .host)
        for bit: UInt64 in [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
            #expect(try filter.says("clone", [bit | 17]) == Self.notPermitted)
            #expect(try filter.says("unshare", [bit]) == Self.notPermitted)
        }
        #expect(try filter.says("unshare", [0x80]) == Self.notPermitted, "the time namespace")
        #expect(try filter.says("unshare", [0x200]) == Self.allow, "CLONE_FS")
        #expect(try filter.says("clone", [0x3d0f00]) == Self.allow)
        for name in ["mount", "umount2", "pivot_root", "move_mount", "open_tree", "mount_setattr", "setns"] {
            #expect(try filter.says(name) == Self.notPermitted)
        }
        #expect(try filter.says("clone3") == Self.notImplemented)
    }

    @Test func hostUsersWithNestingButNoAdminGainNothing() throws {
        let filter = try Filter(capabilities: ["CAP_CHOWN"], nesting: true, userns: .host)
        #expect(try filter.says("clone", [0x1000_0011]) == Self.notPermitted)
        #expect(try filter.says("clone3") == Self.notImplemented)
        #expect(try filter.says("fsopen") == Self.notImplemented)
        #expect(try filter.says("keyctl") == Self.notImplemented)
    }

    @Test func capabilitiesOpenHostCallsOnlyWithHostUsers() throws {
        for (capability, name) in [
            ("CAP_SYS_TIME", "settimeofday"), ("CAP_SYSLOG", "syslog"), ("CAP_SYS_MODULE", "init_module"),
            ("CAP_DAC_READ_SEARCH", "open_by_handle_at"), ("CAP_BPF", "bpf"), ("CAP_SYS_ADMIN", "mount"),
        ] {
            #expect(try Filter(userns: .host).says(name) == Self.notPermitted)
            #expect(try Filter(capabilities: [capability], userns: .host).says(name) == Self.allow)
        }
        #expect(try Filter(capabilities: ["CAP_SYS_TIME"], userns: .own).says("settimeofday") == Self.notPermitted)
        #expect(try Filter(capabilities: ["CAP_SYS_ADMIN"], userns: .own).says("swapon") == Self.notPermitted)
    }

    @Test func personalities() throws {
        let filter = try Filter()
        for value: UInt64 in [0, 8, 0x20000, 0x20008, 0x40000, 0x40008, 0xffff_ffff, 0xffff_ffff_ffff_ffff] {
            #expect(try filter.says("personality", [value]) == Self.allow)
        }
        // MMAP_PAGE_ZERO, READ_IMPLIES_EXEC, ADDR_COMPAT_LAYOUT, a foreign system.
        for value: UInt64 in [0x10_0000, 0x40_0000, 0x20_0000, 6, 0x40_0008] {
            #expect(try filter.says("personality", [value]) == Self.notPermitted)
        }
    }

    @Test func addressFamilies() throws {
        let filter = try Filter()
        for family: UInt64 in 0..<64 {
            let expected = [1, 2, 10, 16, 17].contains(family) ? Self.allow : Self.noFamily
            #expect(try filter.says("socket", [family, 1, 0]) == expected, "family \(family)")
        }
        #expect(try filter.says("socket", [38 | 1 << 32, 5, 0]) == Self.noFamily, "AF_ALG with a high bit")
        #expect(try filter.says("socket", [16, 3, 9]) == Self.noFamily, "NETLINK_AUDIT")
        #expect(try filter.says("socket", [16 | 1 << 40, 3, 9 | 1 << 40]) == Self.noFamily)
        #expect(try filter.says("socket", [16, 3, 21]) == Self.noFamily, "NETLINK_CRYPTO")
        #expect(try filter.says("socket", [16, 3, 0]) == Self.allow, "NETLINK_ROUTE")
        #expect(try filter.says("socket", [2, 3, 9]) == Self.allow)
    }

    @Test func the32BitWayToASocketIsShut() throws {
        let filter = try Filter(.i386)
        #expect(try filter.says(102, [1]) == Self.notImplemented)
        #expect(try filter.says(102, [3]) == Self.allow, "connect")
        #expect(try filter.says(102, [8]) == Self.allow, "socketpair")
        let socket: UInt32 = 359  // libseccomp gives the name another number, since it stands for both ways
        #expect(try filter.says(socket, [38, 5, 0]) == Self.noFamily)
        #expect(try filter.says(socket, [2, 1, 0]) == Self.allow)
    }

    // MARK: profiles from files

    static func compile(_ json: String, _ architecture: SeccompProfile.Architecture = .amd64) throws -> SeccompFilter {
        try SeccompFilter.compile(
            file: "p.json", json: Array(json.utf8),
            host: .init(capabilities: [], architecture: architecture, kernel: "6.1"))
    }

    @Test func aFilesRulesHold() throws {
        let filter = try Self.compile(
            """
            {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
              {"names": ["mkdir", "nosuchcall", "fchmodat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
              {"names": ["getppid"], "action": "SCMP_ACT_KILL_PROCESS"},
              {"names": ["getuid"], "action": "SCMP_ACT_ALLOW"}]}
            """)
        #expect(filter.unknownNames == ["nosuchcall"])
        let simulator = SeccompSimulator(program: filter.program)
        func says(_ number: UInt32, _ token: UInt32 = 0xc000_003e) throws -> UInt32 {
            try simulator.run(.init(number: number, architecture: token))
        }
        #expect(try says(83) == Self.errno(30))
        #expect(try says(39, 0x4000_0003) == Self.errno(30), "mkdir of i386")
        #expect(try says(452) == Self.errno(30))
        #expect(try says(110) == Self.kill)
        #expect(try says(102) == Self.allow)
        #expect(try says(0) == Self.allow)
    }

    @Test func aProfileWithoutRulesIsItsDefault() throws {
        let filter = try Self.compile(#"{"defaultAction": "SCMP_ACT_ERRNO"}"#)
        #expect(try SeccompSimulator(program: filter.program).run(.init(number: 1, architecture: 0)) == Self.errno(1))
    }

    @Test func argumentsOfACallThatLibseccompDoesNotKnow() {
        #expect(throws: CtrError.self) {
            try Self.compile(
                """
                {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mseal"], "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}
                """)
        }
    }

    @Test func tooLongAProgramIsRefused() {
        let names = ["read", "write", "ioctl", "fcntl", "lseek", "mmap", "dup2", "poll"]
        let rules = (0..<240).map { n in
            let conditions = (0..<6).map { index in
                #"{"index": \#(index), "value": \#((n * 6 + index + 1) * 0x1_0000_0007), "op": "SCMP_CMP_EQ"}"#
            }
            return """
                {"names": ["\(names[n % 8])"], "action": "SCMP_ACT_ALLOW", "args": [\(conditions.joined(separator: ","))]}
                """
        }
        #expect {
            _ = try Self.compile(
                #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [\#(rules.joined(separator: ","))]}"#)
        } throws: {
            ($0 as? CtrError)?.message.contains("the kernel takes 4096") == true
        }
    }
}
