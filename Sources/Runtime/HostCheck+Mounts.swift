internal import Kernel

extension HostCheck {
    /// The calls that a VPS's root is built with.
    static func mounts() -> CheckSection {
        var section = CheckSection("mount calls")
        let broken =

            "ctr run can't work: every mount of a VPS is made with these calls (a kernel of 5.12 or later "
            + "has them; they take CAP_SYS_ADMIN)"
        section.add("fsopen, fsconfig, fsmount", required: true, newMount(), cost: broken)
        section.add("open_tree", required: true, openTree(), cost: broken)
        section.add("move_mount", required: true, moveMount(), cost: broken)
        section.add("mount_setattr", required: true, setAttributes(), cost: broken)
        section.add(
            "mount_setattr on a whole tree", setAttributesOfTree(),
            cost: "--mount SRC:DST:ro can't make what is mounted below SRC read-only and is refused")
        section.add(
            "pivot_root", required: true, pivotRoot(),
            cost:
                "ctr run can't work: a VPS can't leave the host's root (pivot_root fails while the root is "
                + "the kernel's initramfs: switch to a root of its own first)"
        )
        return section
    }

    private static func newMount() -> Finding {
        Probe.mounting { () throws(SysError) in
            _ = try FileSystemContext("tmpfs").mount([.noSuid, .noDev])
            return .yes()
        }
    }

    private static func openTree() -> Finding {
        Probe.mounting { () throws(SysError) in
            let copy = try cloneMount("/proc")
            _ = try copy.open("self", [.path, .noFollow])
            return .yes()
        }
    }

    private static func moveMount() -> Finding {
        Probe.mounting { () throws(SysError) in
            // On a directory that every host has; seen by this process alone.
            try cloneMount("/proc").attach(to: try open("/proc", [.path, .directory]))
            return .yes()
        }
    }

    private static func setAttributes() -> Finding {
        Probe.mounting { () throws(SysError) in
            let mount = try FileSystemContext("tmpfs").mount()
            try mount.setMountAttributes([.readOnly])
            return try readOnlyFinding(mount)
        }
    }

    private static func setAttributesOfTree() -> Finding {
        Probe.mounting { () throws(SysError) in
            let point = try open("/proc", [.path, .directory])
            let outer = try FileSystemContext("tmpfs").mount()
            try outer.attach(to: point)
            try outer.makeDirectory("inner", mode: 0o700)
            try FileSystemContext("tmpfs").mount().attach(to: try outer.open("inner", [.path, .directory]))
            let copy = try outer.cloneMount(recursive: true)
            try copy.setMountAttributes([.readOnly], recursive: true)
            return try readOnlyFinding(try copy.open("inner", [.directory]))
        }
    }

    private static func readOnlyFinding(_ directory: borrowing FD) throws(SysError) -> Finding {
        do throws(SysError) { try directory.makeDirectory("x", mode: 0o700) } catch
            where error.errno == Errno.readOnly
        { return .yes() }
        return .no("it has no effect")
    }

    private static func pivotRoot() -> Finding {
        Probe.mounting { () throws(SysError) in
            let root = try FileSystemContext("tmpfs").mount()
            try root.attach(to: try open("/proc", [.path, .directory]))
            try root.makeWorkingDirectory()
            try pivotRootHere()
            try detachHere()
            return .yes()
        }
    }
}

extension HostCheck {
    /// The file systems that a VPS finds mounted, each tried where the VPS has it.
    static func fileSystems(_ bench: Workbench) -> CheckSection {
        var section = CheckSection("file systems")
        let guest = { (body: () throws(SysError) -> Finding) in
            Probe.mounting(Workbench.guest, maps: bench.maps, body)
        }
        let hostUser: NamespaceFlags = [.pid, .ipc, .network]
        section.add(
            "tmpfs", required: true, tmpfs(),
            cost: "ctr run can't work: /dev, /run and /tmp of a VPS are tmpfs (CONFIG_TMPFS)")
        section.add(
            "devpts", required: true, devpts(), cost: "ctr run can't work: no terminals in a VPS (CONFIG_UNIX98_PTYS)")
        section.add("proc", required: true, mounting("proc", hostUser), cost: "ctr run can't work: no /proc in a VPS")
        section.add(
            "proc in a user namespace", guest { () throws(SysError) in try mount("proc") },
            cost: "--userns auto, the default, can't work: \(procAdvice())")
        section.add(
            "sysfs", mounting("sysfs", hostUser), cost: "--net none can't work with --userns host: no /sys in a VPS")
        section.add(
            "sysfs in a user namespace", guest { () throws(SysError) in try mount("sysfs") },
            cost:
                "--net none, the default, can't work with --userns auto: unmount what lies on the host's "
                + "/sys, or use --net host"
        )
        section.add(
            "mqueue", required: true, mounting("mqueue", hostUser),
            cost: "ctr run can't work: no /dev/mqueue in a VPS (CONFIG_POSIX_MQUEUE)")
        section.add(
            "cgroup2", cgroup2(bench),
            cost: "a VPS sees no /sys/fs/cgroup: systemd does not run in it (mount cgroup2 on the host)")
        return section
    }

    private static func mount(_ type: String) throws(SysError) -> Finding {
        _ = try FileSystemContext(type).mount([.noSuid, .noDev, .noExec])
        return .yes()
    }

    private static func mounting(_ type: String, _ namespaces: NamespaceFlags) -> Finding {
        Probe.mounting(namespaces) { () throws(SysError) in try mount(type) }
    }

    private static func tmpfs() -> Finding {
        Probe.mounting { () throws(SysError) in
            let context = try FileSystemContext("tmpfs")
            for (key, value) in [("mode", "755"), ("uid", "1"), ("gid", "1"), ("size", "1m"), ("nr_inodes", "64")] {
                try context.set(key, value)
            }
            let mount = try context.mount([.noSuid])
            try mount.makeNode(
                "null", .character, permissions: 0o666, device: DeviceNumber(major: 1, minor: 3))
            // A device node on it must be one: a mount of a user namespace would not let it be opened.
            _ = try mount.open("null", .readWrite)
            return .yes()
        }
    }

    /// A file system of its own, and a terminal from it.
    private static func devpts() -> Finding {
        Probe.mounting { () throws(SysError) in
            let context = try FileSystemContext("devpts")
            for (key, value) in [("mode", "0620"), ("gid", "5"), ("ptmxmode", "0666"), ("max", "1024")] {
                try context.set(key, value)
            }
            let mount = try context.mount([.noSuid, .noExec])
            let master = try mount.open("ptmx", [.readWrite, .noControllingTerminal])
            _ = try master.openTerminalPeer()
            return .yes()
        }
    }

    private static func cgroup2(_ bench: Workbench) -> Finding {
        Probe.mounting(Workbench.guest, maps: bench.maps) { () throws(SysError) in
            try unshare(.cgroup)
            return try mount("cgroup2")
        }
    }

    /// The kernel refuses proc in a user namespace whose mounts hide a part of the host's: names what hides it.
    private static func procAdvice() -> String {
        let table = (try? HostFile.text("/proc/self/mountinfo")) ?? ""
        let covers = table.split(separator: "\n").compactMap { line -> Substring? in
            let fields = line.split(separator: " ")
            return fields.count > 4 && fields[4].hasPrefix("/proc/") ? fields[4] : nil
        }
        if covers.isEmpty { return "only --userns host (is /proc mounted whole, and not read-only?)" }
        let list = covers.prefix(4).joined(separator: ", ")
        return "unmount what hides parts of the host's /proc (\(list)), or use --userns host"
    }
}
