internal import Kernel
internal import Model

/// What the child of a start does between clone3 and exec. All that it needs was computed before; it allocates little,
/// reads nothing, and ends in the program's exec or in `_exit`.
struct GuestSetup: ~Copyable {
    let launch: Launch
    let channel: SharedFD
    /// The master of a pseudoterminal inside.
    let terminal: SharedFD?
    /// The name of the step at work, for the report.
    private var step = "start"

    init(launch: Launch, channel: SharedFD, terminal: SharedFD?) {
        self.launch = launch
        self.channel = channel
        self.terminal = terminal
    }

    /// Runs the child's whole life.
    consuming func run() -> Never {
        do throws(SysError) {
            try setUp()
            try channel.fd.send(ChildMessage.ready.bytes)
            try expect(.execute)
            step = "enter"
            try launch.entry.execute(step: &step, channel: channel)
        } catch {
            try? channel.fd.send(ChildMessage.failed(ChildFailure(step: step, error: error)).bytes)
        }
        CurrentProcess.exitNow(125)
    }

    private mutating func setUp() throws(SysError) {
        // The guest may not look at us before we have become it: /proc/PID of a process that is not dumpable belongs to
        // the host's root (CVE-2016-8649, CVE-2019-5736). The exec makes it dumpable again.
        try CurrentProcess.setDumpable(false)
        // Until the exec nobody needs us without the parent, whose lock we hold a copy of.
        try CurrentProcess.setParentDeathSignal(Signal.kill)
        try expect(.go)
        let linux = launch.spec.linux
        step = "find root"
        // Still as the host's root: the directories above are for root alone.
        let point = try open(launch.spec.root.mountPoint, [.path, .directory])
        if linux.namespaces.contains(.user) {
            step = "become root of the VPS"
            try Identity.become(user: 0, group: 0, groups: [])
            // A change of ids has cleared it.
            try CurrentProcess.setParentDeathSignal(Signal.kill)
        }
        step = "join cgroup"
        for tasks in launch.cgroup.joinFiles { try tasks.fd.writeAll([UInt8(ascii: "0")]) }
        if linux.namespaces.contains(.cgroup) { try unshare(.cgroup) }
        step = "session keyring"
        try CurrentProcess.joinNewSessionKeyring()
        step = "host name"
        if let name = launch.spec.hostname { try CurrentProcess.setHostName(name) }
        if let name = launch.spec.domainname { try CurrentProcess.setDomainName(name) }
        if linux.namespaces.contains(.network) {
            step = "loopback interface"
            try CurrentProcess.bringLoopbackUp()
        }
        step = "build root"
        try GuestMounts(spec: launch.spec, views: launch.views).enterRoot(at: point, step: &step)
        step = "standard streams"
        try launch.streams.take(terminal: terminal)
    }

    private borrowing func expect(_ wanted: ParentMessage) throws(SysError) {
        try wanted.expect(on: channel)
    }
}

/// The mounts that belong to the guest's own namespaces, and the switch to its root.
struct GuestMounts {
    let spec: Spec
    let views: SystemViews?

    /// - Parameter point: the root as ``RootBuilder`` attached it, in the caller's copy of that mount namespace.
    func enterRoot(at point: borrowing FD, step: inout String) throws(SysError) {
        // A copy without the lock that the namespace's copying put on the root's mount; those below it stay locked.
        let root = try point.cloneMount(recursive: true)
        try root.attach(to: point)
        step = "mount /proc and /sys"
        try mountKernelFileSystems(root)
        step = "mount lxcfs"
        try views?.attach(in: root)
        step = "mask paths"
        try mask(root)
        step = "pivot root"
        try root.makeWorkingDirectory()
        try pivotRootHere()
        try detachHere()
        try CurrentProcess.changeDirectory("/")
    }

    private func mountKernelFileSystems(_ root: borrowing FD) throws(SysError) {
        let namespaces = spec.linux.namespaces
        let proc = try FileSystemContext("proc").mount([.noSuid, .noDev, .noExec])
        try proc.attach(to: try RootPath.locateFixed("proc", in: root))
        let sysPoint = try RootPath.locateFixed("sys", in: root)
        if namespaces.contains(.network) {
            try FileSystemContext("sysfs").mount([.noSuid, .noDev, .noExec, .readOnly]).attach(to: sysPoint)
        } else {
            // The kernel mounts sysfs only for the owner of the network namespace.
            let sys = try cloneMount("/sys", recursive: true)
            try sys.setMountAttributes([.readOnly, .noSuid, .noDev, .noExec], recursive: true)
            try sys.attach(to: sysPoint)
        }
        if namespaces.contains(.cgroup) {
            let own = namespaces.contains(.user)
            let attributes: MountAttributes = [.noSuid, .noDev, .noExec]
            do throws(SysError) {
                let cgroup = try FileSystemContext("cgroup2").mount(own ? attributes : attributes.union(.readOnly))
                try cgroup.attach(to: try RootPath.locate("sys/fs/cgroup", in: root, directory: true))
            } catch  where error.errno == Errno.noDevice || error.errno == Errno.noEntry {
                // A kernel without cgroup v2: the VPS sees no cgroups.
            }
        }
        if namespaces.contains(.ipc) {
            let queues = try FileSystemContext("mqueue").mount([.noSuid, .noDev, .noExec])
            try queues.attach(to: try RootPath.locate("dev/mqueue", in: root, directory: true))
        }
    }

    /// Hides files behind /dev/null and directories behind an empty one. Paths that this kernel lacks need no mask.
    private func mask(_ root: borrowing FD) throws(SysError) {
        var empty: FD?
        for path in spec.linux.maskedPaths {
            let target: FD
            do throws(SysError) { target = try RootPath.locate(path, in: root) } catch
                where error.errno == Errno.noEntry || error.errno == Errno.access
            { continue }
            if try target.status().type == .directory {
                if empty == nil {
                    let context = try FileSystemContext("tmpfs")
                    try context.set("size", "4k")
                    let first = try context.mount([.readOnly, .noSuid, .noDev, .noExec])
                    // Attached before it is copied: Linux up to 6.14 copies only what is in this namespace.
                    try first.attach(to: target)
                    empty = consume first
                } else {
                    try empty!.cloneMount().attach(to: target)
                }
            } else {
                // Of our own tmpfs, where the guest has had no time to put anything else (CVE-2025-31133).
                let null = try RootPath.locate("dev/null", in: root)
                guard try null.status().node == DeviceNumber(major: 1, minor: 3) else {
                    throw SysError("mask", Errno.invalid, "/dev/null")
                }
                try null.cloneMount().attach(to: target)
            }
        }
        for path in spec.linux.readonlyPaths {
            do throws(SysError) {
                let target = try RootPath.locate(path, in: root)
                let copy = try target.cloneMount(recursive: true)
                try copy.setMountAttributes([.readOnly, .noSuid, .noDev, .noExec], recursive: true)
                try copy.attach(to: target)
            } catch  where error.errno == Errno.noEntry {}
        }
    }
}
