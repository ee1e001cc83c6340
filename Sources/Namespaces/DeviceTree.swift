internal import Kernel
internal import Model

/// `/dev` of a VPS: a tmpfs of the host's root with the standard nodes and nothing else. The guest owns the directory
/// but can't make device nodes: the kernel wants CAP_MKNOD of the host for that.
struct DeviceTree {
    let owner: UInt32
    let devices: [DeviceSpec]
    let root: SharedFD

    /// The nodes that every system expects: see null(4), random(4), full(4), tty(4). All character devices, mode 0666.
    static let standard: [(name: String, major: UInt32, minor: UInt32)] = [
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    ]

    /// Mounts and fills it. The caller acts as `owner`, so all of it is the owner's.
    func build() throws(SysError) {
        let target = try RootPath.ensureFixed("dev", in: root.fd, mode: 0o755)
        let dev = try DeviceTree.makeFileSystem()
        try dev.attach(to: target)
        for node in DeviceTree.standard {
            try dev.makeNode(
                node.name, .character, permissions: 0o666, device: DeviceNumber(major: node.major, minor: node.minor))
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
        ] {
            try dev.symlink(name, to: target)
        }
        for device in devices { try add(device, to: dev) }
        for name in ["pts", "shm", "mqueue"] { try dev.makeDirectory(name, mode: 0o755) }
        try DeviceTree.makeTerminals(owner: owner).attach(to: try dev.open("pts", [.path, .directory]))
        let shm = try DeviceTree.tmpfs(mode: "1777", attributes: [.noSuid, .noDev])
        try shm.attach(to: try dev.open("shm", [.path, .directory]))
    }

    /// An empty /dev, attached nowhere.
    static func makeFileSystem() throws(SysError) -> FD {
        try tmpfs(mode: "755", options: ["size": "1m", "nr_inodes": "4096"], attributes: [.noSuid])
    }

    /// An empty /dev/pts, attached nowhere.
    static func makeTerminals(owner: UInt32) throws(SysError) -> FD {
        let pts = try FileSystemContext("devpts")
        try pts.set("mode", "0620")
        try pts.set("gid", "\(owner + 5)")
        try pts.set("ptmxmode", "0666")
        try pts.set("max", "1024")
        return try pts.mount([.noSuid, .noExec])
    }

    /// Opens a new pseudoterminal inside and shows its terminal as /dev/console. Returns the master.
    func openTerminal() throws(CtrError) -> SharedFD {
        do throws(SysError) { return try makeTerminal() } catch {
            // Of one count for the whole host; our own devpts is new.
            let why = error.errno == Errno.noSpace ? ": the host has none left (raise sysctl kernel.pty.max)" : ""
            throw CtrError(.failed, "terminal of the VPS\(why)", step: "open terminal", cause: error)
        }
    }

    private func makeTerminal() throws(SysError) -> SharedFD {
        // The guest does not run yet, and /dev is a file system of our own making: nothing is diverted here.
        let dev = try RootPath.locateFixed("dev", in: root.fd)
        let master = try dev.open("pts/ptmx", [.readWrite, .noControllingTerminal])
        let terminal = try master.openTerminalPeer()
        _ = try dev.open("console", [.create, .exclusive, .writeOnly], mode: 0o600)
        try terminal.cloneMount().attach(to: try dev.open("console", [.path, .noFollow]))
        return SharedFD(master)
    }

    private func add(_ device: DeviceSpec, to dev: borrowing FD) throws(SysError) {
        let components = device.path.split(separator: "/").dropFirst().map(String.init)
        guard device.path.hasPrefix("/dev/"), !components.isEmpty, !components.contains(".."), !components.contains(".")
        else { throw SysError("mknodat", Errno.invalid, device.path) }
        for end in 1..<max(components.count, 1) {
            do throws(SysError) {
                try dev.makeDirectory(components[..<end].joined(separator: "/"), mode: 0o755)
            } catch  where error.errno == Errno.exists {}
        }
        try dev.makeNode(
            components.joined(separator: "/"), device.block ? .block : .character, permissions: device.mode,
            device: DeviceNumber(major: device.major, minor: device.minor))
    }

    private static func tmpfs(
        mode: String, options: [String: String] = [:], attributes: MountAttributes
    ) throws(SysError) -> FD {
        let context = try FileSystemContext("tmpfs")
        try context.set("mode", mode)
        for (key, value) in options { try context.set(key, value) }
        return try context.mount(attributes)
    }
}
