internal import Kernel
public import Model

/// The last steps of every process that enters a VPS, by start or by exec: from root of the VPS with all descriptors
/// of ctr still open, to the program with nothing of the host.
public struct Entry: Sendable {
    /// As the guest sees them.
    public var user: UserIDs
    public var args: [String]
    public var env: [String]
    public var cwd: String
    public var noNewPrivileges: Bool
    public var capabilities: CapabilityPlan
    /// A compiled filter, nil for none.
    public var seccomp: SeccompFilter?
    /// The signal that the process gets when ctr ends, nil for none.
    public var parentDeathSignal: Int32?

    public init(process: ProcessSpec, capabilities: CapabilityPlan, seccomp: SeccompFilter?) {
        user = process.user
        args = process.args
        env = process.env
        cwd = process.cwd
        noNewPrivileges = process.noNewPrivileges
        self.capabilities = capabilities
        self.seccomp = seccomp
    }

    /// Runs in the child, already in the VPS's namespaces and root. Returns only by throwing.
    func execute(step: inout String, channel: SharedFD) throws(SysError) -> Never {
        step = "working directory"
        try enterWorkingDirectory()
        step = "close descriptors"
        try CurrentProcess.closeOnExec(from: 3)
        CurrentProcess.setFileModeMask(user.umask)
        CurrentProcess.resetSignals()
        step = "drop privileges"
        try dropPrivileges(step: &step)
        // Last: changing ids clears it. A parent that has ended before has closed its end of the channel.
        try CurrentProcess.setParentDeathSignal(parentDeathSignal ?? 0)
        if parentDeathSignal != nil {
            var poll = Poll()
            poll.add(channel.fd, [])
            if try poll.wait(milliseconds: 0)[0].contains(.hangup) { CurrentProcess.exitNow(125) }
        }
        step = ChildFailure.executing
        try execute()
    }

    /// A directory that a leaked descriptor or a link of /proc leads to, outside the root, shows as
    /// `(unreachable)` (CVE-2024-21626).
    private func enterWorkingDirectory() throws(SysError) {
        try CurrentProcess.changeDirectory(cwd)
        let path = try CurrentProcess.workingDirectory()
        if path.bytes.first != UInt8(ascii: "/") { throw SysError("getcwd", Errno.access, cwd) }
    }

    private func dropPrivileges(step: inout String) throws(SysError) {
        if noNewPrivileges { try Credentials.setNoNewPrivileges() }
        // Without no_new_privs only CAP_SYS_ADMIN loads a filter; the exec takes it away if the plan has it not.
        try capabilities.apply(
            uid: user.uid, gid: user.gid, groups: user.additionalGids, keepingAdmin: seccomp != nil && !noNewPrivileges)
        step = "load seccomp filter"
        try seccomp?.load()
    }

    /// Takes the user from the VPS's own files, and its home directory unless HOME is set.
    mutating func setUser(_ name: String, root: SharedFD) throws(CtrError) {
        let resolved = try ResolvedUser(
            UserSpec.parse(name), passwd: file("etc/passwd", root), group: file("etc/group", root))
        user.uid = resolved.uid
        user.gid = resolved.gid
        user.additionalGids = resolved.groups
        if !env.contains(where: { $0.hasPrefix("HOME=") }) { env.append("HOME=\(resolved.home)") }
    }

    /// A file of the VPS, nil where there is none. Whoever owns the VPS decides what lies there.
    private func file(_ path: String, _ root: SharedFD) throws(CtrError) -> [UInt8]? {
        do throws(SysError) { return try RootPath.read(path, in: root.fd, limit: 16 << 20) } catch {
            if error.errno == Errno.noEntry || error.errno == Errno.notDirectory { return nil }
            throw CtrError(.config, "/\(path) of the VPS", step: "look up user", cause: error)
        }
    }

    /// Executes the program: a name with a slash as it is, another along PATH, as execvp(3) does.
    private func execute() throws(SysError) -> Never {
        let name = args[0]
        if name.utf8.contains(UInt8(ascii: "/")) {
            try CurrentProcess.execute(name, arguments: args, environment: env)
        }
        var failure = SysError("execve", Errno.noEntry, name)
        for directory in searchPath where !name.isEmpty {
            let path = directory.isEmpty ? name : "\(directory)/\(name)"
            do throws(SysError) {
                try CurrentProcess.execute(path, arguments: args, environment: env)
            } catch  where error.errno == Errno.noEntry || error.errno == Errno.notDirectory {
                continue
            } catch  where error.errno == Errno.access {
                failure = SysError("execve", Errno.access, path)
            }
        }
        throw failure
    }

    private var searchPath: [Substring] {
        let path = env.last { $0.hasPrefix("PATH=") }?.dropFirst(5) ?? "/bin:/usr/bin"
        return path.split(separator: ":", omittingEmptySubsequences: false)
    }
}
