internal import CLinux
internal import Glibc

/// Namespaces of namespaces(7).
public struct NamespaceFlags: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    init(_ value: Int64) { rawValue = UInt64(value) }
    public static let mount = NamespaceFlags(CTR_CLONE_NEWNS)
    public static let uts = NamespaceFlags(CTR_CLONE_NEWUTS)
    public static let ipc = NamespaceFlags(CTR_CLONE_NEWIPC)
    public static let user = NamespaceFlags(CTR_CLONE_NEWUSER)
    public static let pid = NamespaceFlags(CTR_CLONE_NEWPID)
    public static let network = NamespaceFlags(CTR_CLONE_NEWNET)
    public static let cgroup = NamespaceFlags(CTR_CLONE_NEWCGROUP)
    public static let time = NamespaceFlags(CTR_CLONE_NEWTIME)
}

/// A process that can't be mistaken for another: its pidfd, and the number for what has no pidfd form.
public struct ProcessHandle: ~Copyable {
    /// Readable when the process has ended. See pidfd_open(2).
    public let pidfd: FD
    public let pid: Int32

    package init(pidfd: consuming FD, pid: Int32) {
        self.pidfd = pidfd
        self.pid = pid
    }

    /// Takes hold of a process of which the number is known. ESRCH if there is none.
    /// The corresponding call is `pidfd_open(2)`.
    public init(pid: Int32) throws(SysError) {
        self.pid = pid
        pidfd = FD(owning: Int32(try check(ctr_pidfd_open(pid, 0), "pidfd_open", "\(pid)")))
    }

    /// The corresponding call is `pidfd_send_signal(2)`. ESRCH when it has ended.
    public borrowing func signal(_ number: Int32) throws(SysError) {
        try check(ctr_pidfd_send_signal(pidfd.rawValue, number), "pidfd_send_signal", "\(pid)")
    }

    /// Ends and reaps this child, whatever the kernel says to the first attempt: who only tried to kill it would wait for
    /// ever. A child that is not reaped keeps its number, so that kill(2) can mean no other.
    /// - Returns: how it ended, if it was still to be reaped.
    @discardableResult
    public borrowing func killChild() -> ExitStatus? {
        do throws(SysError) { try signal(SIGKILL) } catch { _ = Glibc.kill(pid, SIGKILL) }
        return try? wait()
    }

    /// Whether it has ended, reaped or not. See pidfd_open(2): the descriptor is readable then.
    public var hasEnded: Bool {
        var poll = Poll()
        poll.add(pidfd, .readable)
        let ready = try? poll.wait(milliseconds: 0)
        return ready?[0].contains(.readable) ?? false
    }

    /// Waits for the end of a process, child or not, at most so many milliseconds; returns whether it has ended.
    public borrowing func waitForEnd(milliseconds: Int32) throws(SysError) -> Bool {
        var poll = Poll()
        poll.add(pidfd, .readable)
        return try poll.wait(milliseconds: milliseconds)[0].contains(.readable)
    }

    /// Waits for this child's end and reaps it. The corresponding call is `waitid(2)`.
    public borrowing func wait() throws(SysError) -> ExitStatus {
        var info = siginfo_t()
        let number = pidfd.rawValue
        try checkRetrying("waitid") { ctr_waitid(Int32(CTR_P_PIDFD), number, &info, Int32(CTR_WEXITED)) }
        let status = ctr_siginfo_status(&info)
        return ctr_siginfo_code(&info) == Int32(CTR_CLD_EXITED) ? .exited(status) : .signaled(status)
    }
}

/// How a process ended.
public enum ExitStatus: Equatable, Sendable {
    case exited(Int32)
    case signaled(Int32)
    /// As a shell reports it: the status, or 128 + the signal.
    public var code: Int32 {
        switch self {
        case .exited(let status): status
        case .signaled(let signal): 128 + signal
        }
    }
}

/// What ``clone(_:intoCgroup:)`` returned in.
public enum CloneResult: ~Copyable {
    case child
    case parent(ProcessHandle)
}

/// Makes a child process in new namespaces, which goes on from here as after fork(2).
/// The caller must have one thread. The corresponding call is `clone3(2)` with CLONE_PIDFD.
/// - Parameter cgroup: a cgroup v2 directory to be born in (CLONE_INTO_CGROUP).
public func clone(_ namespaces: NamespaceFlags, intoCgroup cgroup: SharedFD? = nil) throws(SysError) -> CloneResult {
    var pidfd: Int32 = -1
    let flags = namespaces.rawValue | UInt64(CTR_CLONE_PIDFD) | (cgroup == nil ? 0 : UInt64(CTR_CLONE_INTO_CGROUP))
    let pid = try check(ctr_clone3(flags, &pidfd, SIGCHLD, cgroup?.fd.rawValue ?? -1), "clone3")
    if pid == 0 { return .child }
    return .parent(ProcessHandle(pidfd: FD(owning: pidfd), pid: Int32(pid)))
}

/// A user namespace with one range of ids mapped from 0 for users and groups, and no process in it; for mounts
/// whose ids it maps. A helper process that shares our memory holds it while the maps are written.
public func makeUserNamespace(_ maps: [IDMap]) throws(SysError) -> FD {
    let size = 65536
    let stack = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
    var pidfd: Int32 = -1
    let pid = Int32(try check(ctr_clone_userns_holder(stack, size, &pidfd), "clone"))
    let holder = ProcessHandle(pidfd: FD(owning: pidfd), pid: pid)
    defer {
        holder.killChild()
        stack.deallocate()
    }
    try writeIDMaps(of: pid, maps)
    return try open("/proc/\(pid)/ns/user", .readOnly)
}

/// One line of uid_map and gid_map, see user_namespaces(7): `size` ids from `container` on are those from `host` on.
public struct IDMap: Equatable, Sendable, Codable {
    public var container: UInt32
    public var host: UInt32
    public var size: UInt32
    public init(container: UInt32, host: UInt32, size: UInt32) {
        self.container = container
        self.host = host
        self.size = size
    }
}

/// Writes the same id maps for users and groups of a process in a new user namespace.
public func writeIDMaps(of pid: Int32, _ maps: [IDMap]) throws(SysError) {
    let text = Array(maps.map { "\($0.container) \($0.host) \($0.size)\n" }.joined().utf8)
    for name in ["uid_map", "gid_map"] {
        let path = "/proc/\(pid)/\(name)"
        do throws(SysError) {
            try open(path, .writeOnly).writeAll(text)
        } catch { throw SysError(error.call, error.errno, path) }
    }
}

/// The corresponding call is `unshare(2)`.
public func unshare(_ namespaces: NamespaceFlags) throws(SysError) {
    try check(ctr_unshare(Int32(truncatingIfNeeded: namespaces.rawValue)), "unshare")
}

extension FD {
    /// Joins the namespace that this descriptor names, or those namespaces of the process that this pidfd names.
    /// The corresponding call is `setns(2)`.
    public borrowing func join(_ namespaces: NamespaceFlags) throws(SysError) {
        try check(ctr_setns(rawValue, Int32(truncatingIfNeeded: namespaces.rawValue)), "setns")
    }

    /// The corresponding call is `fchdir(2)`.
    public borrowing func makeWorkingDirectory() throws(SysError) {
        try check(ctr_ret(Int(fchdir(rawValue))), "fchdir")
    }

    /// This descriptor becomes number 0, 1 or 2, and survives exec. The corresponding call is `dup2(2)`.
    package borrowing func become(_ number: Int32) throws(SysError) {
        if rawValue == number { return try setCloseOnExec(false) }
        try check(ctr_ret(Int(dup2(rawValue, number))), "dup2")
    }
}

/// Facts and settings of the calling process.
public enum CurrentProcess {
    public static var pid: Int32 { getpid() }
    public static var effectiveUser: UInt32 { geteuid() }
    public static var effectiveGroup: UInt32 { getegid() }

    /// How many processors are online. See sysconf(3).
    public static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// How many threads this process has. Namespace calls want one.
    public static func threadCount() throws(SysError) -> Int {
        var status = statx()
        try check(
            ctr_statx(Int32(CTR_AT_FDCWD), "/proc/self/task", 0, UInt32(CTR_STATX_BASIC_STATS), &status), "statx")
        return Int(status.stx_nlink) - 2
    }

    /// Marks all descriptors from `first` on close-on-exec. The corresponding call is `close_range(2)`.
    public static func closeOnExec(from first: UInt32) throws(SysError) {
        try check(ctr_close_range(first, UInt32.max, UInt32(CTR_CLOSE_RANGE_CLOEXEC)), "close_range")
    }

    /// Opens /dev/null for those of the descriptors 0, 1, 2 that are closed, so that no later file takes their place.
    public static func fillStandardDescriptors() throws(SysError) {
        for number in Int32(0)...2 where ctr_fcntl(number, Int32(CTR_F_GETFD), 0) < 0 {
            let null = try check(ctr_openat(Int32(CTR_AT_FDCWD), "/dev/null", O_RDWR, 0), "open", "/dev/null")
            precondition(null == Int(number), "descriptors are filled lowest first")
        }
    }

    /// The path of the working directory; `(unreachable)/...` if it lies outside the root. See getcwd(2).
    public static func workingDirectory() throws(SysError) -> Path {
        var buffer = [CChar](repeating: 0, count: 4097)
        let n = try check(ctr_getcwd(&buffer, buffer.count), "getcwd")
        return Path(bytes: buffer[..<max(0, n - 1)].map { UInt8(bitPattern: $0) })
    }

    public static func changeDirectory(_ path: some PathConvertible) throws(SysError) {
        try path.withCPath { (p) throws(SysError) in
            _ = try check(ctr_ret(Int(chdir(p))), "chdir", path.description)
        }
    }

    public static func setHostName(_ name: String) throws(SysError) {
        try check(ctr_sethostname(name, name.utf8.count), "sethostname", name)
    }

    public static func setDomainName(_ name: String) throws(SysError) {
        try check(ctr_setdomainname(name, name.utf8.count), "setdomainname", name)
    }

    /// Starts a new session without a controlling terminal. The corresponding call is `setsid(2)`.
    public static func startSession() throws(SysError) { try check(ctr_ret(Int(setsid())), "setsid") }

    /// A new session keyring, so that the guest has none of ours. See keyctl_join_session_keyring(3).
    /// A kernel without keyrings (ENOSYS) has nothing to leak.
    public static func joinNewSessionKeyring() throws(SysError) {
        let result = ctr_keyctl(Int32(CTR_KEYCTL_JOIN_SESSION_KEYRING), 0, 0, 0, 0)
        if result != -Int(ENOSYS) { try check(result, "keyctl") }
    }

    /// Sets the file mode creation mask; returns the one before. See umask(2).
    @discardableResult
    public static func setFileModeMask(_ mask: UInt32) -> UInt32 { umask(mask) }

    /// The signal that this process gets when its parent ends. See PR_SET_PDEATHSIG in prctl(2).
    public static func setParentDeathSignal(_ signal: Int32) throws(SysError) {
        try check(ctr_prctl(Int32(CTR_PR_SET_PDEATHSIG), UInt(signal), 0, 0, 0), "prctl", "PR_SET_PDEATHSIG")
    }

    /// Whether other processes may trace this one and open its files in /proc. See PR_SET_DUMPABLE in prctl(2).
    public static func setDumpable(_ on: Bool) throws(SysError) {
        try check(ctr_prctl(Int32(CTR_PR_SET_DUMPABLE), on ? 1 : 0, 0, 0, 0), "prctl", "PR_SET_DUMPABLE")
    }

    /// Replaces this process's program. Returns only by throwing. The corresponding call is `execve(2)`.
    public static func execute(_ path: String, arguments: [String], environment: [String]) throws(SysError) -> Never {
        if let cut = (arguments + environment).first(where: { $0.utf8.contains(0) }) {
            // The kernel would end it there.
            throw SysError("execve", EINVAL, cut)
        }
        let argv = CStrings(arguments)
        let envp = CStrings(environment)
        let result = try path.withCPath { (p) throws(SysError) in ctr_execve(p, argv.pointers, envp.pointers) }
        throw SysError("execve", Int32(-result), path)
    }

    /// Ends this process at once, running no exit handler: for children of clone. See _exit(2).
    public static func exitNow(_ status: Int32) -> Never { ctr_exit(status) }

    /// Sends a frame, its Ethernet header included, over an interface of this network namespace. See packet(7).
    public static func sendFrame(_ frame: [UInt8], over interface: Int32) throws(SysError) {
        try check(ctr_send_frame(interface, frame, frame.count), "sendto")
    }

    /// The loopback interface of this network namespace comes up.
    public static func bringLoopbackUp() throws(SysError) {
        let socket = try datagramSocket()
        try check(ctr_interface_up(socket.rawValue, "lo"), "ioctl", "SIOCSIFFLAGS lo")
    }

    public static func isLoopbackUp() throws(SysError) -> Bool {
        let socket = try datagramSocket()
        return try check(ctr_interface_is_up(socket.rawValue, "lo"), "ioctl", "SIOCGIFFLAGS lo") != 0
    }

    private static func datagramSocket() throws(SysError) -> FD {
        FD(
            owning: Int32(
                try check(ctr_ret(Int(Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | 0o2000000, 0))), "socket")))
    }
}

/// NUL-terminated strings for execve, which live as long as this object.
final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() { pointers[index] = strdup(string) }
        pointers[count] = nil
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}

extension CurrentProcess {
    /// Standard input, output and error become /dev/null: nobody waits for a process that goes into the background.
    public static func pointStandardStreamsAtNull() throws(SysError) {
        let null = try open("/dev/null", .readWrite)
        for number in Int32(0)...2 { try null.become(number) }
    }
}
