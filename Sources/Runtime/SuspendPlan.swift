internal import Cgroups
internal import Checkpoint
internal import Kernel
internal import Model

/// What of a running VPS is not criu's to write down, found before anything stands still: its mounts that ctr makes, the
/// console, cgroup hierarchies, processes that are not its own.
struct SuspendPlan {
    var record: SuspendRecord
    private(set) var externals: [External] = []
    private(set) var hierarchies: [String] = []
    /// Files that its processes watch.
    private(set) var watched: [String] = []
    /// As of the last look.
    var room: CheckpointRoom

    private let pid: Int32
    private let verb: String

    /// What fails: the verb, and the name.
    private var what: String { "\(verb) \(record.config.name)" }

    /// - Parameter verb: as messages name it.
    init(_ running: VPSState, _ verb: String) throws(CtrError) {
        guard let cgroup = running.cgroup else {
            throw CtrError(.config, "state.json of VPS \(running.config.name): no cgroup")
        }
        pid = running.pid
        self.verb = verb
        room = try CheckpointRoom(running)
        record = SuspendRecord(
            config: running.config, bootID: running.bootID, pid: running.pid, startTime: running.startTime,
            started: running.started, restarts: running.restarts, ready: running.ready, cgroup: cgroup.path)
        try findMounts()
        try findStreams()
        try findHierarchies()
        let processes = try record.refuseStrangers(verb, in: cgroup)
        try refuseNamespaces(processes.keys.sorted())
        try refuseTraced(processes.keys.sorted())
        try refuseUnrestorable(processes.keys.sorted())
        watched = try WatchedPaths.find(processes.keys, first: pid)
    }

    // MARK: mounts

    private mutating func findMounts() throws(CtrError) {
        let mounts = try MountInfo.of(pid)
        guard let dev = mounts.first(where: { $0.place == "/dev" && $0.root == "/" && $0.type == "tmpfs" }) else {
            throw CtrError(.failed, "\(what): its /dev is not the one that ctr has made")
        }
        externals.append(.mount("/dev", "dev"))
        if mounts.contains(where: { $0.place == "/dev/pts" && $0.type == "devpts" }) {
            externals.append(.mount("/dev/pts", "pts"))
        }
        for (index, mount) in record.config.mounts.enumerated() {
            guard mounts.contains(where: { $0.place == mount.destination }) else {
                throw CtrError(
                    .failed,
                    "\(what): --mount \(mount.destination.escaped) is not mounted there any more (a link on "
                        + "the way, or it was unmounted inside)")
            }
            if mounts.contains(where: { $0.place.hasPrefix(mount.destination + "/") }) {
                throw CtrError(
                    .failed,
                    "\(what): below --mount \(mount.destination.escaped) another file system is mounted, "
                        + "which can't be restored")
            }
            externals.append(.mount(mount.destination, "mount\(index)"))
        }
        for (index, mount) in mounts.filter({ $0.type == "fuse.lxcfs" }).enumerated() {
            externals.append(.mount(mount.place, "view\(index)"))
            record.views["view\(index)"] = mount.place
        }
        for mount in mounts where mount.place.hasPrefix("/dev/") && mount.device != dev.device {
            guard let place = try? GuestDev(pid).open(String(mount.place.dropFirst(5)), [.path, .noFollow]) else {
                continue
            }
            record.devPlaces[String(mount.place.dropFirst(5))] = (try? place.status().type) == .directory
        }
    }

    // MARK: streams

    private mutating func findStreams() throws(CtrError) {
        if record.config.terminal { return try findTerminal() }
        guard let descriptors = try? open("/proc/\(pid)/fd", [.path, .directory]) else { return }
        if let target = try? descriptors.readLink("1").description, target.hasPrefix("pipe:[") {

            record.output = target
        }
        guard let input = try? open("/proc/\(pid)/fd/0", [.path]), let status = try? input.status(),
            status.node == DeviceNumber(major: 1, minor: 3), let mount = ProcFiles.mountID(of: pid, descriptor: 0),
            try !MountInfo.of(pid).contains(where: { $0.id == mount })
        else { return }
        let key = "file[\(String(mount, radix: 16)):\(String(status.inode, radix: 16))]"
        record.input = key
        externals.append(External(dump: key, key: key))
    }

    private mutating func findTerminal() throws(CtrError) {
        let status = try record.requireTerminal(verb)
        externals.append(.mount("/dev/console", "console"))
        let key = "tty[\(SuspendPlan.hex(status.node)):\(SuspendPlan.hex(status.device))]"
        record.terminal = key
        externals.append(External(dump: key, key: key))
    }

    /// As stat(2) has it.
    private static func hex(_ device: DeviceNumber) -> String {
        let number =
            UInt64(device.minor & 0xff) | UInt64(device.major & 0xfff) << 8 | UInt64(device.minor & ~0xff) << 12
        return String(number, radix: 16)
    }

    // MARK: cgroups and processes

    /// Hierarchies in which ctr has made it no cgroup are the host's: of those nothing is recorded, or made anew.
    private mutating func findHierarchies() throws(CtrError) {
        let pid = pid
        let text = try describing("cgroups of process \(pid)") { () throws(SysError) in
            String(decoding: try open("/proc/\(pid)/cgroup", [.readOnly]).readAll(limit: 1 << 20), as: UTF8.self)
        }
        for line in text.split(separator: "\n") {
            // 4:memory:/ctr/web
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, (parts[2] + "/").hasPrefix("/\(record.cgroup)/") else { continue }
            hierarchies.append(String(parts[1]))
        }
    }

    /// Namespaces below those of the VPS that criu can't make anew.
    private func refuseNamespaces(_ pids: [Int32]) throws(CtrError) {
        let kinds: [(name: String, what: String)] = [
            ("uts", "a host name of its own (of a service: ProtectHostname=no)"),
            ("cgroup", "a cgroup namespace of its own"), ("time", "a clock of its own"),
            ("pid", "process numbers of its own (of a container inside: stop it)"),
            ("ipc", "an IPC namespace of its own (of a service: PrivateIPC=no; of a container inside: stop it)"),
            ("user", "a user namespace of its own (of a service: PrivateUsers=no; of a container inside: stop it)"),
        ]
        let root = try describing("namespaces of process \(pid)") { () throws(SysError) in
            try open("/proc/\(pid)/ns", [.path, .directory])
        }
        for process in pids where process != pid {
            guard let own = try? open("/proc/\(process)/ns", [.path, .directory]) else { continue }
            for kind in kinds {
                guard let inner = try? own.readLink(kind.name), let outer = try? root.readLink(kind.name),
                    inner != outer
                else { continue }
                let name = (try? ProcFiles.commandLine(of: process).joined(separator: " ").escaped) ?? ""
                throw CtrError(
                    .failed,
                    "\(what): process \(process) ('\(name)') has \(kind.what), which can't be restored"
                )
            }
        }
    }

    /// Open files of kinds that criu does not know, named with process and descriptor.
    private func refuseUnrestorable(_ pids: [Int32]) throws(CtrError) {
        for pid in pids {
            guard let table = try? open("/proc/\(pid)/fd", [.readOnly, .directory]), let entries = try? table.entries()
            else { continue }
            for entry in entries {
                guard let target = try? table.readLink(entry.name).description,
                    let why = SuspendPlan.unrestorable.first(where: { target.hasPrefix($0.target) })?.why
                else { continue }
                let name = (try? ProcFiles.commandLine(of: pid).joined(separator: " ").escaped) ?? ""
                throw CtrError(
                    .failed,
                    "\(what): process \(pid) ('\(name)') has \(why) open (descriptor \(entry.name)), "
                        + "which can't be restored: end it, or have it do without")
            }
        }
    }

    private static let unrestorable: [(target: String, why: String)] = [
        ("anon_inode:[io_uring]", "an io_uring"), ("anon_inode:bpf", "a BPF program or map"),
        ("anon_inode:[perf_event]", "a performance counter"), ("anon_inode:[userfaultfd]", "a userfaultfd"),
        ("anon_inode:[fanotify]", "a fanotify group"), ("anon_inode:seccomp notify", "a seccomp listener"),
        ("/dev/fuse", "/dev/fuse"), ("/dev/net/tun", "/dev/net/tun"), ("/dev/kvm", "/dev/kvm"),
    ]

    /// A process has one tracer, and that must be criu.
    private func refuseTraced(_ pids: [Int32]) throws(CtrError) {
        for pid in pids {
            guard let tracer = try? ProcFiles.tracer(of: pid), tracer != 0 else { continue }
            let name = (try? ProcFiles.commandLine(of: pid).joined(separator: " ").escaped) ?? ""
            throw CtrError(
                .failed,
                "\(what): process \(pid) ('\(name)') is traced by process \(tracer) (a debugger, "
                    + "or strace: end it)")
        }
    }
}

extension SuspendRecord {
    /// The verb that writes it, for messages.
    static func verb(snapshot: String?, onDisk: Bool) -> String {
        if snapshot != nil { return "snapshot create" }
        return onDisk ? "hibernate" : "suspend"
    }

    /// Its console's terminal, which goes with the supervisor that made it: of one that has hung up criu writes an image
    /// that it can't restore.
    @discardableResult
    func requireTerminal(_ verb: String) throws(CtrError) -> FileStatus {
        guard let console = try? GuestDev(pid).open("console", [.path, .noFollow]), let status = try? console.status(),
            status.type == .character, status.node.major == 136, status.links > 0
        else {
            throw CtrError(
                .failed, "\(verb) \(config.name): its console has gone (its supervisor was killed once; ctr restart it)"
            )
        }
        return status
    }

    /// What `exec` and `enter` have brought in is no child of its first process, and would be lost.
    /// - Returns: all its processes, with their parents.
    @discardableResult
    func refuseStrangers(_ verb: String, in cgroup: CgroupRecord) throws(CtrError) -> [Int32: Int32] {
        let cgroup = try Cgroup.open(cgroup)
        // A parent that ends while it is looked for makes no stranger of its child.
        for _ in 0..<2 {
            let processes = try SuspendRecord.processes(of: cgroup)
            if stranger(in: processes) == nil { return processes }
        }
        let processes = try SuspendRecord.processes(of: cgroup)
        guard let stranger = stranger(in: processes) else { return processes }
        let name = (try? ProcFiles.commandLine(of: stranger).joined(separator: " ").escaped) ?? ""
        throw CtrError(
            .failed,
            "\(verb) \(config.name): process \(stranger) ('\(name)') was brought in by ctr exec or enter and is no child "
                + "of its init (end it first)")
    }

    /// With their parents. Those that have ended, and that their parents have not heard of yet, are no strangers.
    private static func processes(of cgroup: Cgroup) throws(CtrError) -> [Int32: Int32] {
        var found: [Int32: Int32] = [:]
        for process in try cgroup.processesOfAnyHierarchy() where (try? ProcFiles.isZombie(process)) == false {
            found[process] = try? ProcFiles.parent(of: process)
        }
        return found
    }

    private func stranger(in parents: [Int32: Int32]) -> Int32? {
        parents.keys.sorted().first { process in
            var above = process
            var steps = 0
            while above != pid, let next = parents[above], steps < 100_000 { (above, steps) = (next, steps + 1) }
            return above != pid
        }
    }
}

/// A running guest's /dev, in which nothing is followed.
struct GuestDev {
    let directory: SharedFD

    init(_ pid: Int32) throws(SysError) {
        let root = try Kernel.open("/proc/\(pid)/root", [.path, .directory])
        directory = SharedFD(
            try root.open("dev", [.readOnly, .directory], resolve: [.inRoot, .noSymlinks, .noMagicLinks]))
    }

    func open(_ path: String, _ flags: OpenFlags) throws(SysError) -> FD {
        try directory.fd.open(path, flags, resolve: [.beneath, .noSymlinks, .noMagicLinks])
    }
}
