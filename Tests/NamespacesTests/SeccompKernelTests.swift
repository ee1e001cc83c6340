import Foundation
import Glibc
import Testing

/// The default profile in the real kernel: `security-probe` loads it and makes the calls. As root.
@Suite struct SeccompKernelTests {
    static let perm = -Int(EPERM), nosys = -Int(ENOSYS), family = -Int(EAFNOSUPPORT)
    static let own = ["--own", "3000000", "--plan", "--seccomp", "default"]
    static let host = ["--plan", "--seccomp", "default"]

    /// The results, in the order of the calls.
    static func calls(_ options: [String], _ calls: [String]) throws -> [Int] {
        let result = try SecurityProbe.run(["calls"] + options + ["--"] + calls)
        #expect(result.status == 0 && !result.signaled, "\(result.errors)")
        return try result.lines.map { try #require(Int($0.split(separator: " ")[1])) }
    }

    #if arch(x86_64)
    /// Number and arguments, what the filter must say. The kernel alone would answer otherwise: nothing here can succeed,
    /// the arguments are bad on purpose, so EPERM or ENOSYS can only come from the filter for those with another errno.
    static let refused: [(call: String, name: String, result: Int)] = [
        ("246", "kexec_load", perm), ("320", "kexec_file_load", perm), ("175", "init_module", perm),
        ("313", "finit_module", perm), ("176", "delete_module", perm), ("304", "open_by_handle_at", perm),
        ("167", "swapon", perm), ("168", "swapoff", perm), ("321", "bpf", perm), ("298", "perf_event_open", perm),
        ("323", "userfaultfd", perm), ("164", "settimeofday", perm), ("227", "clock_settime", perm),
        ("163", "acct", perm), ("179", "quotactl", perm), ("443", "quotactl_fd", perm), ("173", "ioperm", perm),
        ("172", "iopl", perm), ("212", "lookup_dcookie", perm), ("103,99", "syslog", perm),
        ("300", "fanotify_init", perm), ("256", "migrate_pages", perm), ("279", "move_pages", perm),
        ("248", "add_key", nosys), ("250", "keyctl", nosys), ("249", "request_key", nosys),
        ("425", "io_uring_setup", nosys), ("426", "io_uring_enter", nosys), ("427", "io_uring_register", nosys),
        ("154", "modify_ldt", nosys), ("435", "clone3", nosys), ("430", "fsopen", nosys), ("431", "fsconfig", nosys),
        ("432", "fsmount", nosys), ("433", "fspick", nosys), ("180", "nfsservctl", nosys), ("156", "_sysctl", nosys),
        ("134", "uselib", nosys), ("139", "sysfs", nosys), ("136", "ustat", nosys), ("447", "memfd_secret", nosys),
        ("451", "cachestat", nosys), ("999", "unknown", nosys), ("470", "unknown", nosys), ("-1", "none", nosys),
        ("56,0x10000011", "clone NEWUSER", perm), ("272,0x10000000", "unshare NEWUSER", perm),
        ("308,-1,0x10000000", "setns NEWUSER", perm), ("16,-1,0x5412", "TIOCSTI", perm),
        ("16,-1,0xdeadbeef00005412", "TIOCSTI with high bits", perm), ("16,-1,0x541c", "TIOCLINUX", perm),
        ("16,-1,0x10000541c", "TIOCLINUX with high bits", perm), ("135,0x400000", "READ_IMPLIES_EXEC", perm),
        ("41,38,5,0", "AF_ALG", family), ("41,0x100000026,5,0", "AF_ALG with high bits", family),
        ("41,40,1,0", "AF_VSOCK", family), ("41,16,3,9", "NETLINK_AUDIT", family), ("41,44,3,0", "AF_XDP", family),
        ("41,30,1,0", "AF_TIPC", family), ("41,15,3,2", "AF_KEY", family),
    ]

    static let allowed: [(call: String, name: String, result: Int)] = [
        // First a mount namespace that belongs to our user namespace: mounts in the host's the kernel refuses itself.
        ("272,0x20000", "unshare NEWNS", 0), ("165", "mount", -Int(EFAULT)), ("166,0,0xf0000", "umount2", -Int(EINVAL)),
        ("155", "pivot_root", -Int(EFAULT)),
        ("429,-1,0,0", "move_mount", -Int(EFAULT)), ("428,-1", "open_tree", -Int(EFAULT)),
        ("442,-1", "mount_setattr", -Int(EINVAL)), ("161", "chroot", -Int(EFAULT)), ("133", "mknod", -Int(EFAULT)),
        ("308,-1,0x20000", "setns NEWNS", -Int(EBADF)), ("101,0x4200,-1", "ptrace", -Int(ESRCH)),
        ("16,-1,0x5401", "TCGETS", -Int(EBADF)), ("272,0", "unshare nothing", 0), ("272,0x4000000", "unshare UTS", 0),
        ("135,0xffffffff", "personality?", 0), ("303,-1", "name_to_handle_at", -Int(EFAULT)),
        ("452,-1", "fchmodat2", -Int(EFAULT)), ("437,-1", "openat2", -Int(EINVAL)),
        ("312,-1,-1,0", "kcmp", -Int(ESRCH)),
        ("444", "landlock_create_ruleset", -Int(EFAULT)), ("317,9", "seccomp", -Int(EINVAL)),
        ("434,-1", "pidfd_open", -Int(EINVAL)), ("206", "io_setup", -Int(EFAULT)),
    ]

    @Test func theTable() throws {
        let results = try Self.calls(Self.own, Self.refused.map(\.call))
        #expect(results.count == Self.refused.count)
        for (expected, result) in zip(Self.refused, results) {
            #expect(result == expected.result, "\(expected.name) gave \(result)")
        }
    }

    @Test func whatIsAllowedReachesTheKernel() throws {
        let results = try Self.calls(Self.own, Self.allowed.map(\.call))
        for (expected, result) in zip(Self.allowed, results) {
            #expect(result == expected.result, "\(expected.name) gave \(result)")
        }
    }

    /// The table above can fail: without the filter the kernel answers otherwise.
    @Test func withoutTheFilterTheKernelAnswersOtherwise() throws {
        let harmless = ["999", "451", "16,-1,0x5412", "16,-1,0xdeadbeef00005412", "41,38,5,0", "435", "425", "323,-1"]
        let results = try Self.calls(["--plan", "--add", "all"], harmless)
        #expect(results[0] == Self.nosys)
        for (call, result) in zip(harmless, results).dropFirst() {
            #expect(![Self.perm, Self.nosys].contains(result), "\(call) gave \(result)")
        }
    }

    @Test func hostUsers() throws {
        let results = try Self.calls(
            Self.host,
            ["165", "166,0,0xf0000", "155", "429", "428,-1", "442,-1", "308,-1,0x20000", "272,0x20000", "430"])
        #expect(results == Array(repeating: Self.perm, count: 8) + [Self.nosys])
    }

    @Test func nesting() throws {
        let results = try Self.calls(Self.own + ["--nesting"], ["272,0x10020000", "435", "430", "321", "250,99"])
        #expect(results == [0, -Int(EINVAL), -Int(EFAULT), Self.perm, -Int(EOPNOTSUPP)])
    }

    /// The same calls of the 32-bit table, through int 0x80.
    @Test func i386() throws {
        let results = try Self.calls(
            Self.own,
            [
                "i386:20", "i386:999", "i386:283", "i386:54,-1,0x5412", "i386:54,-1,0x5401", "i386:359,38,5,0",
                "i386:102,1", "i386:120,0x10000011", "i386:310,0x10000000", "i386:357", "i386:21", "i386:435",
            ])
        #expect(results[0] > 0, "getpid")
        #expect(
            Array(results.dropFirst()) == [
                Self.nosys, Self.perm, Self.perm, -Int(EBADF), Self.family, Self.nosys, Self.perm, Self.perm, Self.perm,
                -Int(EFAULT), Self.nosys,
            ])
    }

    @Test func x32KillsTheProcess() throws {
        let result = try SecurityProbe.run(["calls"] + Self.own + ["--", "39", "0x40000027", "39"])
        #expect(result.signaled && result.status == SIGSYS)
        #expect(result.lines.count == 1)
    }
    #endif

    // MARK: programs

    @Test(arguments: [
        ["sh", "-c", "echo $((6*7))"],
        ["bash", "-c", "diff <(echo a) <(echo a) && ulimit -n >/dev/null && echo 42"],
        [
            "python3", "-c",
            "import threading,socket,subprocess; t=threading.Thread(target=print,args=(42,)); t.start(); t.join(); socket.socket(); subprocess.run(['true'],check=True)",
        ],
        [
            "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "sh", "-c",
            "mount -t tmpfs t /mnt && touch /mnt/f && echo 42",
        ],
    ])
    func programsRun(command: [String]) throws {
        let result = try SecurityProbe.run(["run"] + Self.own + ["--"] + command)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("42"))
    }

    @Test(arguments: [
        ["apt-get", "--version"], ["systemd-analyze", "--version"], ["dpkg", "--version"], ["ip", "link"],
    ])
    func toolsRunWhereInstalled(command: [String]) throws {
        let found = ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"].contains {
            FileManager.default.isExecutableFile(atPath: $0 + command[0])
        }
        if !found { return }
        let result = try SecurityProbe.run(["run"] + Self.own + ["--"] + command)
        #expect(result.status == 0, "\(result.errors)")
        #expect(!result.output.isEmpty)
    }

    @Test func aNewUserNamespaceIsRefused() throws {
        #expect(try SecurityProbe.run(["run"] + Self.own + ["--", "unshare", "--user", "true"]).status != 0)
        let nested = try SecurityProbe.run(["run"] + Self.own + ["--nesting", "--", "unshare", "--user", "true"])
        #expect(nested.status == 0, "\(nested.errors)")
    }

    // MARK: profiles from files

    @Test(arguments: ["/usr/share/containers/seccomp.json"])
    func podmansProfileLoads(file: String) throws {
        if !FileManager.default.fileExists(atPath: file) { return }
        let result = try SecurityProbe.run(["run", "--plan", "--seccomp", file, "--", "sh", "-c", "echo 42"])
        #expect(result.status == 0 && result.output == "42\n", "\(result.errors)")
    }

    @Test func aFileThatIsNoProfileStopsBeforeAnything() throws {
        let result = try SecurityProbe.run(["run", "--seccomp", "/etc/hostname", "--", "echo", "ran"])
        #expect(result.status == 125 && result.output.isEmpty)
        #expect(result.errors.contains("seccomp profile '/etc/hostname': "))
    }
}
