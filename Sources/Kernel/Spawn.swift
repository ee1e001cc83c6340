internal import CLinux
internal import Glibc

/// An external tool that was started and is waited for: gzip, mkfs, mmdebstrap. Killed and reaped if it goes out of
/// scope before ``wait()``.
///
/// Safe in a process with one thread or many: posix_spawn(3) runs no code of ours between fork and exec.
public struct ToolProcess: ~Copyable {
    public let pid: Int32

    /// Where a standard stream of the tool leads.
    public enum Stream: Sendable {
        /// /dev/null
        case null
        /// The same as this process's.
        case inherited
        case file(SharedFD)
    }

    /// How a tool ended.
    public enum Status: Equatable, Sendable {
        case exited(Int32)
        case signaled(Int32)
        public var succeeded: Bool { self == .exited(0) }
        /// For messages: `status 2`, `signal 9`.
        public var text: String {
            switch self {
            case .exited(let status): "status \(status)"
            case .signaled(let signal): "signal \(signal)"
            }
        }
    }

    /// What a tool finds in its environment unless told otherwise: nothing of the caller's.
    /// Written out, and not joined of ``searchPath``: that costs a start as much as its system calls before the spawn.
    public static let cleanEnvironment = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root",
    ]

    /// Where tools are looked for; never in the caller's PATH.
    public static let searchPath = [
        "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin",
    ]

    /// The full path of a tool, or nil where the host has none of this name.
    public static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        return searchPath.lazy.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// The caller's settings of a network proxy, which tools that fetch need beside ``cleanEnvironment``.
    public static var proxyEnvironment: [String] {
        let names: [String] = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]
        return names.compactMap { (name: String) in getenv(name).map { "\(name)=\(String(cString: $0))" } }
    }

    /// Starts a program. It gets these three streams and no other descriptor, default signal dispositions, an empty
    /// signal mask. ENOENT where there is no such program.
    /// - Parameter name: a path, or a name for ``find(_:)``.
    /// - Parameter arguments: those after argv[0].
    /// - Parameter handed: an open file that the program finds as descriptor 3, see ``FD/handedOver()``.
    /// - Parameter others: open files that it finds as those after it.
    public init(
        _ name: String, _ arguments: [String], environment: [String] = cleanEnvironment, stdin: Stream = .null,
        stdout: Stream = .null, stderr: Stream = .inherited, handed: SharedFD? = nil,
        others: [SharedFD] = []
    ) throws(SysError) {
        guard let path = ToolProcess.find(name) else { throw SysError("execve", ENOENT, name) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Above 2, so that no dup2 overwrites what a later one needs, and none is a no-op that leaves close-on-exec set.
        var held: [SharedFD] = []
        for (target, stream) in [stdin, stdout, stderr].enumerated() {
            let source: FD
            switch stream {
            case .null: source = try open("/dev/null", [.readWrite]).duplicate()
            case .inherited: source = try duplicateStandard(Int32(target))
            case .file(let shared): source = try shared.fd.duplicate()
            }
            try check(-Int(posix_spawn_file_actions_adddup2(&actions, source.rawValue, Int32(target))), "posix_spawn")
            held.append(SharedFD(source))
        }
        let files = (handed.map { [$0] } ?? []) + others
        for (index, file) in files.enumerated() {
            // Above what those before become.
            let source = try file.fd.duplicate(minimum: 3 + files.count)
            try check(
                -Int(posix_spawn_file_actions_adddup2(&actions, source.rawValue, Int32(3 + index))), "posix_spawn")
            held.append(SharedFD(source))
        }
        try check(ctr_spawn_close_from(&actions, Int32(3 + files.count)), "posix_spawn")

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK))

        var child: pid_t = 0
        let argv = CStrings([name] + arguments)
        let envp = CStrings(environment)
        try check(-Int(posix_spawn(&child, path, &actions, &attributes, argv.pointers, envp.pointers)), "spawn", path)
        withExtendedLifetime((held, argv, envp)) {}
        pid = child
    }

    deinit {
        Glibc.kill(pid, SIGKILL)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    }

    /// Lets it live on without us. It is reaped by whoever adopts it.
    public consuming func detach() { discard self }

    /// Asks it to end with SIGTERM, so that it removes what it has made, and waits until it has.
    public consuming func stop() throws(SysError) -> Status {
        Glibc.kill(pid, SIGTERM)
        return try wait()
    }

    /// Ends it with SIGKILL and waits.
    public consuming func kill() throws(SysError) -> Status {
        Glibc.kill(pid, SIGKILL)
        return try wait()
    }

    /// Waits for its end. The corresponding call is `waitpid(2)`.
    public consuming func wait() throws(SysError) -> Status {
        let pid = pid
        discard self
        var status: Int32 = 0
        try checkRetrying("waitpid") { ctr_ret(Int(waitpid(pid, &status, 0))) }
        return status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signaled(status & 0x7f)
    }
}

extension FD {
    /// A descriptor of its own for standard input, output or error (0, 1, 2); one that is closed becomes /dev/null.
    public static func standard(_ number: Int32) throws(SysError) -> FD {
        try duplicateStandard(number)
    }

    /// The open file that whoever started this program handed over as descriptor 3; this is its only owner. EBADF where
    /// there is none. To be called before anything else is opened, or where one is known to be there.
    public static func handedOver() throws(SysError) -> FD {
        try check(ctr_fcntl(3, Int32(CTR_F_SETFD), Int(CTR_FD_CLOEXEC)), "fcntl", "descriptor 3")
        return FD(owning: 3)
    }
}

private func duplicateStandard(_ number: Int32) throws(SysError) -> FD {
    let r = ctr_fcntl(number, Int32(CTR_F_DUPFD_CLOEXEC), 3)
    if r == -Int(EBADF) { return try open("/dev/null", [.readWrite]).duplicate() }
    return FD(owning: Int32(try check(r, "fcntl")))
}

/// The two ends of a pipe.
public struct Pipe: Sendable {
    public let reading: SharedFD
    public let writing: SharedFD

    /// The corresponding call is `pipe2(2)` with O_CLOEXEC.
    public init() throws(SysError) {
        var numbers: [Int32] = [-1, -1]
        try check(ctr_pipe2(&numbers, Int32(CTR_O_CLOEXEC)), "pipe2")
        reading = SharedFD(FD(owning: numbers[0]))
        writing = SharedFD(FD(owning: numbers[1]))
    }
}

/// Runs `body` with SIGPIPE ignored, so that writing to a tool that has died is EPIPE and not our own end.
public func ignoringSIGPIPE<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    var old = sigaction()
    var ignore = sigaction()
    ignore.__sigaction_handler.sa_handler = SIG_IGN
    _ = ctr_sigaction(SIGPIPE, &ignore, &old)
    defer { _ = ctr_sigaction(SIGPIPE, &old, nil) }
    return try body()
}
