public import Kernel
public import Model

/// A process about to enter a running VPS: joins all of its namespaces, its cgroup and its limits.
public struct Join: Sendable {
    /// The namespaces that the VPS has of its own.
    public var namespaces: NamespaceFlags
    public var entry: Entry
    /// `USER[:GROUP]` to be looked up in the VPS's passwd; nil: `entry.user` stands.
    public var userName: String?
    public var cgroup: CgroupJoin
    public var streams: Streams
    /// A terminal is opened inside and becomes the process's.
    public var terminal: Bool
    public var rlimits: [RLimit]

    public init(
        namespaces: NamespaceFlags, entry: Entry, cgroup: CgroupJoin, streams: Streams = Streams(),
        terminal: Bool = false, rlimits: [RLimit] = []
    ) {
        self.namespaces = namespaces
        self.entry = entry
        self.cgroup = cgroup
        self.streams = streams
        self.terminal = terminal
        self.rlimits = rlimits
    }

    /// Makes the process, up to the point where only the program's exec is left.
    ///
    /// The caller must be root and have one thread; later children of it are born in the VPS's pid namespace.
    /// - Parameter target: the VPS's first process.
    public func start(_ target: borrowing ProcessHandle) throws(CtrError) -> StartedProcess {
        try requireOneThread()
        guard namespaces.contains(.mount) else {
            throw CtrError(.failed, "enter the VPS: it has no mount namespace of its own", step: "enter")
        }
        var join = self
        if let userName {
            let pid = target.pid
            let root = try describing("root of the VPS", code: .failed, step: "enter") { () throws(SysError) in
                SharedFD(try open("/proc/\(pid)/root", [.path, .directory]))
            }
            try join.entry.setUser(userName, root: root)
        }
        let channel = try ChannelEnds()
        let cgroup = join.cgroup.cloneInto
        let namespaces = join.namespaces
        let result: CloneResult
        do throws(SysError) {
            if namespaces.contains(.pid) { try target.pidfd.join(.pid) }
            result = try clone([], intoCgroup: cgroup)
        } catch {
            throw CtrError(
                .failed, "enter the VPS: \(error)", step: "enter", errno: error.errno)
        }
        switch consume result {
        case .child:
            channel.parent = nil
            join.runChild(channel.child!, pidfd: target.pidfd)
        case .parent(let handle):
            channel.child = nil
            let process = StartedProcess(handle: handle, channel: channel.parent!, terminal: nil)
            var limits = ProcessSpec(args: [])
            limits.rlimits = rlimits
            try process.release(maps: [], process: limits)
            return process
        }
    }

    private func runChild(_ channel: SharedFD, pidfd: borrowing FD) -> Never {
        var step = "start"
        do throws(SysError) {
            // Never seen by the guest while it is still ctr: see GuestSetup.
            try CurrentProcess.setDumpable(false)
            try ParentMessage.go.expect(on: channel)
            step = "join cgroup"
            for tasks in cgroup.joinFiles { try tasks.fd.writeAll([UInt8(ascii: "0")]) }
            step = "join namespaces"
            let host = try open("/", [.path, .directory]).status()
            try pidfd.join(namespaces.subtracting(.pid))
            if namespaces.contains(.user) { try Identity.become(user: 0, group: 0, groups: []) }
            try CurrentProcess.changeDirectory("/")
            step = "root of the VPS"
            try open("/", [.path, .directory]).requireOther(than: host)
            step = "session keyring"
            try CurrentProcess.joinNewSessionKeyring()
            step = "open terminal"
            let master = terminal ? SharedFD(try openTerminal()) : nil
            step = "standard streams"
            try streams.take(terminal: master)
            if let master {
                try channel.fd.send(ChildMessage.ready.bytes, passing: master.fd)
            } else {
                try channel.fd.send(ChildMessage.ready.bytes)
            }
            try ParentMessage.execute.expect(on: channel)
            step = "enter"
            try entry.execute(step: &step, channel: channel)
        } catch {
            try? channel.fd.send(ChildMessage.failed(ChildFailure(step: step, error: error)).bytes)
        }
        CurrentProcess.exitNow(125)
    }

    /// A pseudoterminal of the VPS. Its /dev is the guest's to change, so what was opened is looked at.
    private func openTerminal() throws(SysError) -> FD {
        let root = try open("/", [.path, .directory])
        let master = try root.open(
            "dev/pts/ptmx", [.readWrite, .noControllingTerminal, .nonBlocking], resolve: [.inRoot, .noMagicLinks])
        guard try master.status().node == DeviceNumber(major: 5, minor: 2) else {
            throw SysError("open", Errno.noDevice, "/dev/pts/ptmx")
        }
        return master
    }
}

extension FD {
    /// The second line of defence of whatever enters a VPS, should a process that is none, or is none yet, be taken for its
    /// first: its root must not be the host's. EPERM where it is.
    /// - Parameter host: of the host's root.
    public borrowing func requireOther(than host: FileStatus) throws(SysError) {
        let own = try status()
        if own.device == host.device, own.inode == host.inode {
            throw SysError("the host's root is not entered", Errno.perm, "/")
        }
    }
}
