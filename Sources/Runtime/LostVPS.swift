internal import Cgroups
internal import Kernel
internal import Model

/// A VPS that lives although what ctr knew of it has gone: its state directory was removed (an operator's hand, a cleaned
/// /run). Its cgroup, whose path follows from its name, still has processes.
///
/// Nobody may take it for stopped: a second start would share its disk. It can be stopped and killed, by the cgroup.
struct LostVPS {
    let files: VPSFiles
    let cgroup: Cgroup

    /// - Parameters:
    ///   - cgroups: of this host, where the caller knows them already.
    ///   - patience: milliseconds for processes that are just ending.
    /// - Returns: nil where state.json is there, or no process is.
    static func find(
        _ files: VPSFiles, cgroups: CgroupHost? = nil, patience: Int = 500
    ) throws(CtrError) -> LostVPS? {
        if try files.state() != nil { return nil }
        let host: CgroupHost
        if let cgroups { host = cgroups } else { host = try CgroupHost.detect() }
        let cgroup = try Cgroup.openWhatIsThere(.everywhere(host: host, path: files.host.cgroupPath(of: files.name)))
        return try cgroup.waitUntilEmpty(milliseconds: patience) ? nil : LostVPS(files: files, cgroup: cgroup)
    }

    /// - Throws: `failed`, naming the way out, if it is one.
    static func refuse(_ files: VPSFiles, cgroups: CgroupHost? = nil) throws(CtrError) {
        guard try find(files, cgroups: cgroups) != nil else { return }
        throw CtrError(
            .failed,
            "VPS \(files.name): it runs, but its state in \(files.statePath.escaped) was removed (ctr stop \(files.name) or "
                + "ctr kill \(files.name) ends it; then it can be started again)")
    }

    /// Ends all of it, and gives back what only a running VPS has.
    /// - Parameters:
    ///   - signal: what init is asked with before; nil: it is not.
    ///   - seconds: what init then has to halt.
    func end(asking signal: Int32? = nil, seconds: Int = 0) throws(CtrError) {
        let first = try firstProcess()
        let supervisor = first.flatMap(supervisor)
        if let first, let signal {
            try? cgroup.thaw()
            if (try? ProcFiles.disposition(of: first.handle.pid, signal)) == .handled {
                try? first.handle.signal(signal)
                _ = try? first.handle.waitForEnd(milliseconds: Int32(clamping: seconds * 1000))
            }
        }
        do throws(CtrError) { try cgroup.kill() } catch {
            // Its supervisor has cleared it away.
            if error.errno != Errno.noEntry, error.errno != Errno.noDevice { throw error }
        }
        // Whoever starts it next must not meet the clean-up of the last.
        if let supervisor, (try? supervisor.handle.waitForEnd(milliseconds: 30_000)) == false {
            throw CtrError(
                .busy,
                "VPS \(files.name): ended, but its supervisor (process \(supervisor.handle.pid)) is still at work, try again"
            )
        }
        try Recovery(host: files.host).settleStopped(files)
    }

    /// The one that is number 1 in the VPS's pid namespace, the first below ours.
    private func firstProcess() throws(CtrError) -> SharedProcess? {
        for pid in try cgroup.processes() {
            guard let process = try? ProcessHandle(pid: pid), let numbers = try? ProcFiles.namespacePIDs(of: pid),
                numbers.count == 2, numbers[1] == 1
            else { continue }
            return SharedProcess(process)
        }
        return nil
    }

    private func supervisor(of first: SharedProcess) -> SharedProcess? {
        guard let pid = try? ProcFiles.parent(of: first.handle.pid), pid > 1,
            let process = try? ProcessHandle(pid: pid),
            (try? ProcFiles.commandLine(of: pid).contains("supervise")) == true
        else { return nil }
        return SharedProcess(process)
    }
}
