internal import Kernel

extension HostCheck {
    /// Settings of the kernel that limit all VPSs of the host together.
    static func settings() -> CheckSection {
        var section = CheckSection("kernel settings")
        section.add(
            "process numbers", atLeast("/proc/sys/kernel/pid_max", 65536, "kernel.pid_max"),
            cost:
                "all processes and threads of all VPSs together have no more numbers than that: set the "
                + "sysctl kernel.pid_max to 4194304"
        )
        section.add(
            "threads", atLeast("/proc/sys/kernel/threads-max", 65536, "kernel.threads-max"),
            cost: "all VPSs together can't have more threads: raise the sysctl kernel.threads-max")
        section.add(
            "terminals", terminals(),
            cost: "all VPSs together can't have more terminals: raise the sysctl kernel.pty.max")
        section.add(
            "inotify instances",
            atLeast("/proc/sys/fs/inotify/max_user_instances", 8192, "fs.inotify.max_user_instances"),
            cost:
                "the kernel counts those of all VPSs together as root's (a systemd takes several): further "
                + "services fail with \"Too many open files\"; set the sysctl fs.inotify.max_user_instances "
                + "to 65536"
        )
        section.add(
            "inotify watches", atLeast("/proc/sys/fs/inotify/max_user_watches", 524_288, "fs.inotify.max_user_watches"),
            cost:
                "the kernel counts those of all VPSs together as root's: set the sysctl "
                + "fs.inotify.max_user_watches to 4194304"
        )
        section.add(
            "open files of a process", atLeast("/proc/sys/fs/nr_open", 65536, "fs.nr_open"),
            cost: "--ulimit nofile can't go higher: raise the sysctl fs.nr_open")
        section.add(
            "boot id", bootID(),
            cost: "ctr can't tell a VPS that runs from one that ran before a reboot: no verb works on a running VPS")
        return section
    }

    private static func atLeast(_ path: String, _ wanted: Int64, _ name: String) -> Finding {
        guard let value = HostFile.number(path) else { return .partly("\(path) can't be read") }
        return value < wanted ? .partly("\(name) is \(value)") : .yes("\(name) is \(value)")
    }

    /// Instances of devpts other than the host's own get what is left above the host's reserve.
    private static func terminals() -> Finding {
        guard let most = HostFile.number("/proc/sys/kernel/pty/max"),
            let reserved = HostFile.number("/proc/sys/kernel/pty/reserve")
        else { return .partly("/proc/sys/kernel/pty can't be read") }
        let left = most - reserved
        if left <= 0 { return .no("kernel.pty.max is \(most), all of it reserved for the host (kernel.pty.reserve)") }
        return left < 1000 ? .partly("\(left) for all VPSs") : .yes("\(left) for all VPSs")
    }

    private static func bootID() -> Finding {
        do throws(SysError) { return try ProcFiles.bootID().isEmpty ? .no("it is empty") : .yes() } catch {
            return .no("\(error)")
        }
    }
}
