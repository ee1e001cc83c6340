internal import Kernel

extension HostCheck {
    /// System calls on processes, descriptors and paths.
    static func processes(_ bench: Workbench) -> CheckSection {
        var section = CheckSection("system calls")
        let broken = "ctr run can't work (a kernel of 5.12 or later has it; a seccomp filter around ctr may refuse it)"
        section.add("clone3 with CLONE_PIDFD", required: true, Probe().run { .yes() }, cost: broken)
        section.add("pidfd_open", required: true, pidfdOpen(), cost: broken)
        section.add("pidfd_send_signal", required: true, pidfdSignal(), cost: broken)
        section.add("waitid with P_PIDFD", required: true, waitid(), cost: broken)
        section.add(
            "setns with a pidfd", setns(),
            cost: "ctr exec, enter and cp can't join a running VPS; a kernel of 5.8 or later has it")
        section.add(
            "return to a mount namespace", required: true, comeBack(),
            cost:
                "ctr run can't work: it builds a VPS's root in a private mount namespace and comes back "
                + "(it takes CAP_SYS_CHROOT)"
        )
        section.add("openat2 with RESOLVE_IN_ROOT", required: true, openat2(), cost: broken)
        section.add("close_range with CLOSE_RANGE_CLOEXEC", required: true, closeRange(), cost: broken)
        section.add(
            "sealed programs in memory", sealed(),
            cost:
                "--userns host can't protect ctr's own program from the guest and is refused (set the "
                + "sysctl vm.memfd_noexec to 0 or 1)"
        )
        section.add(
            "keyrings", CurrentProcess.keyringsExist() ? .yes() : .partly("the kernel has none"),
            cost:
                "nothing of the host's to hide, but programs in a VPS that use keyrings (some of systemd's) do without")
        return section
    }

    private static func pidfdOpen() -> Finding {
        Probe().run { () throws(SysError) in
            _ = try ProcessHandle(pid: CurrentProcess.pid)
            return .yes()
        }
    }

    private static func pidfdSignal() -> Finding {
        Probe().run { () throws(SysError) in
            // Signal 0 only asks whether it could be sent.
            try ProcessHandle(pid: CurrentProcess.pid).signal(0)
            return .yes()
        }
    }

    private static func waitid() -> Finding {
        Probe().run { () throws(SysError) in
            let result = try clone([])
            switch consume result {
            case .child: CurrentProcess.exitNow(7)
            case .parent(let handle):
                let status = try handle.wait()
                return status == .exited(7) ? .yes() : .no("it says \(status)")
            }
        }
    }

    /// Joins the namespace of a process by its pidfd, as exec does.
    private static func setns() -> Finding {
        Probe().run { () throws(SysError) in
            let (mine, other) = try SocketPair().split()
            let result = try clone(.uts)
            switch consume result {
            case .child:
                // Ends when its parent does: nothing else is ever sent here.
                _ = try? other.fd.receive()
                CurrentProcess.exitNow(0)
            case .parent(let handle):
                do throws(SysError) { try handle.pidfd.join(.uts) } catch {
                    try mine.fd.send([1])
                    _ = try handle.wait()
                    throw error
                }
                try mine.fd.send([1])
                _ = try handle.wait()
                return .yes()
            }
        }
    }

    private static func comeBack() -> Finding {
        Probe().run { () throws(SysError) in
            let place = try open("/proc/self/ns/mnt", .readOnly)
            try unshare(.mount)
            try place.join(.mount)
            return .yes()
        }
    }

    /// `..` above the directory that is the root must stay in it.
    private static func openat2() -> Finding {
        Probe().run { () throws(SysError) in
            let root = try open("/proc", [.path, .directory])
            let inside = try root.open("../../self/status", [.path], resolve: [.inRoot, .noMagicLinks])
            return try inside.status().type == .regular ? .yes() : .no("it leaves the root")
        }
    }

    private static func closeRange() -> Finding {
        Probe().run { () throws(SysError) in
            try CurrentProcess.closeOnExec(from: 3)
            return .yes()
        }
    }

    private static func sealed() -> Finding {
        Probe().run { () throws(SysError) in
            try SealedProgram.tryCopying()
            return .yes()
        }
    }
}
