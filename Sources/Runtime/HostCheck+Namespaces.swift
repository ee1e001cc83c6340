internal import Kernel
internal import Model
internal import Namespaces

extension HostCheck {
    /// Each namespace alone, then as a VPS has them.
    static func namespaces(_ bench: Workbench) -> CheckSection {
        var section = CheckSection("namespaces")
        let always: [(name: String, flag: NamespaceFlags)] = [
            ("mount", .mount), ("pid", .pid), ("uts", .uts), ("ipc", .ipc), ("cgroup", .cgroup),
        ]
        for (name, flag) in always {
            section.add(
                name, required: true, Probe(namespaces: flag).run { .yes() },
                cost:
                    "ctr run can't work: every VPS has one of its own (the kernel lacks it, or "
                    + "user.max_\(sysctlName(flag))_namespaces is 0)"
            )
        }
        section.add(
            "network", Probe(namespaces: .network).run { .yes() },
            cost: "only --net host can work: VPSs share the host's network")
        section.add(
            "loopback interface", loopback(bench),
            cost: "only --net host can work: no address 127.0.0.1 inside else")
        section.add(
            "user", Probe(namespaces: .user).run { .yes() },
            cost: "--userns auto, the default, can't work: only --userns host, where the guest's root is the host's")
        section.add(
            "time", time(), cost: "a VPS sees the host's uptime and monotonic clock; no time namespace can be asked for"
        )
        section.add(
            "all of a VPS in one clone3", Probe(namespaces: Workbench.guest, maps: bench.maps).run { .yes() },
            cost: "--userns auto, the default, can't work (--userns host may)")
        section.add(
            "user namespace in a user namespace", nested(bench),
            cost: "--nesting is of no use: containers with user namespaces can't run in a VPS")
        section.add(
            "user namespaces of a guest's ordinary users", nestedUnprivileged(bench),
            cost:
                "programs that sandbox themselves (browsers, rootless podman, bubblewrap) do not work in a "
                + "VPS; \(sandboxAdvice())"
        )
        section.add(
            "how many", limits(),
            cost: "each VPS takes one of each kind: raise the sysctls user.max_*_namespaces")
        return section
    }

    private static func sysctlName(_ flag: NamespaceFlags) -> String {
        switch flag {
        case .mount: "mnt"
        case .pid: "pid"
        case .uts: "uts"
        case .ipc: "ipc"
        default: "cgroup"
        }
    }

    private static func loopback(_ bench: Workbench) -> Finding {
        Probe(namespaces: Workbench.guest, maps: bench.maps).run { () throws(SysError) in
            try CurrentProcess.bringLoopbackUp()
            return .yes()
        }
    }

    /// As a start does: unshared by the parent, so that the clocks can be set before a child is born into it.
    private static func time() -> Finding {
        Probe().run { () throws(SysError) in
            try unshare(.time)
            try open("/proc/self/timens_offsets", .writeOnly).writeAll(Array("monotonic 1 0\nboottime 1 0\n".utf8))
            try Probe.grandchild([]) {}
            return .yes()
        }
    }

    private static func nested(_ bench: Workbench) -> Finding {
        Probe(namespaces: Workbench.guest, maps: bench.maps).run { () throws(SysError) in
            try Probe.grandchild(Workbench.guest) {}
            return .yes()
        }
    }

    private static func nestedUnprivileged(_ bench: Workbench) -> Finding {
        Probe(namespaces: Workbench.guest, maps: bench.maps).run { () throws(SysError) in
            try Identity.become(user: 1000, group: 1000, groups: [])
            // Some hosts allow the namespace and then refuse all privileges in it, so use one.
            try Probe.grandchild([.user, .uts]) { () throws(SysError) in try CurrentProcess.setHostName("nested") }
            return .yes()
        }
    }

    /// Which of the switches that hosts have for it is off.
    private static func sandboxAdvice() -> String {
        let off = [
            ("kernel.unprivileged_userns_clone", HostFile.number("/proc/sys/kernel/unprivileged_userns_clone"), 1),
            (
                "kernel.apparmor_restrict_unprivileged_userns",
                HostFile.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"), 0
            ),
        ]
        for (name, value, wanted) in off {
            if let value, value != Int64(wanted) { return "the sysctl \(name) is \(value), set it to \(wanted)" }
        }
        return "see the sysctls user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns"
    }

    private static func limits() -> Finding {
        let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"]
        var lowest: (name: String, value: Int64)?
        for kind in kinds {
            let name = "user.max_\(kind)_namespaces"
            guard let value = HostFile.number("/proc/sys/user/max_\(kind)_namespaces") else { continue }
            if value < lowest?.value ?? .max { lowest = (name, value) }
        }
        guard let lowest else { return .partly("no user.max_*_namespaces in /proc/sys: the kernel does not tell") }
        if lowest.value == 0 { return .no("\(lowest.name) is 0") }
        // The thousand VPSs that this project aims at.
        if lowest.value < 1000 { return .partly("\(lowest.name) is \(lowest.value)") }
        return .yes("\(lowest.value) or more of each kind")
    }
}

extension HostCheck {
    /// Ids for user namespaces.
    static func userIDs(_ bench: Workbench) -> CheckSection {
        var section = CheckSection("user ids")
        section.add(
            "id pool", pool(bench),
            cost:
                "--userns auto, the default, can't work: give root ids in /etc/subuid and /etc/subgid, or "
                + "set idPool in \(Settings.standardPath)"
        )
        section.add(
            "/etc/subuid and /etc/subgid", subordinate(bench),
            cost:
                "ctr takes ids from 1,000,000 on, leaving out what others own; write a line for root into "
                + "both files if another program on this host does the same"
        )
        section.add(
            "map of 65,536 ids", Probe(namespaces: .user, maps: bench.maps).run { .yes() },
            cost:
                "--userns auto, the default, can't work: ctr itself may be in a user namespace that lacks "
                + "the pool's ids (set idPool in \(Settings.standardPath))"
        )
        return section
    }

    private static func pool(_ bench: Workbench) -> Finding {
        let summary: IDPool.Summary
        do throws(CtrError) { summary = try bench.pool.get() } catch { return .no("\(error)") }
        let free = summary.ranges - min(summary.inUse, summary.ranges)
        let text = "\(summary.inUse) ranges in use, room for \(summary.ranges) in the pool"
        if free == 0 { return .no(text) }
        return free < 10 ? .partly(text) : .yes(text)
    }

    private static func subordinate(_ bench: Workbench) -> Finding {
        let files = ["/etc/subuid", "/etc/subgid"]
        let without = files.filter { path in
            let lines = (try? HostFile.text(path))?.split(separator: "\n") ?? []
            return !lines.contains { $0.hasPrefix("root:") || $0.hasPrefix("0:") }
        }
        if without.isEmpty { return .yes("root has ids of its own there") }
        return .partly("no ids for root in \(without.joined(separator: " and "))")
    }
}
