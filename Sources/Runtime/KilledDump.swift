internal import Cgroups
internal import Kernel
internal import Model

/// What a criu leaves that was killed while it wrote a VPS down: a packet filter that lets nothing through, and TCP connections
/// that stand still. Its processes go on when it is gone.
enum KilledDump {
    /// Ends copies of itself that it had made to try out the kernel: they stand still for ever, and hold the locks that it held.
    static func endForks(of files: VPSFiles) {
        let copies = files.processesOfCRIU("dump")
        let pids = Set(copies.map { $0.handle.pid })
        for copy in copies where (try? ProcFiles.isStopped(copy.handle.pid)) == true {
            // Those of one that is alive are its own to end.
            guard let parent = try? ProcFiles.parent(of: copy.handle.pid), !pids.contains(parent) else { continue }
            try? copy.handle.signal(Signal.kill)
        }
    }

    /// As far as it can be done. Where criu has ended by itself there is nothing to do.
    static func undo(_ state: VPSState) {
        try? GuestRules.unlock(state.pid)
        guard let record = state.cgroup, let pids = try? Cgroup.open(record).processes() else { return }
        for pid in pids {
            guard let process = try? ProcessHandle(pid: pid),
                let table = try? open("/proc/\(pid)/fd", [.readOnly, .directory]), let entries = try? table.entries()
            else { continue }
            for entry in entries {
                guard let number = Int32(entry.name.description),
                    let target = try? table.readLink(entry.name).description, target.hasPrefix("socket:[")
                else { continue }
                // Not of this protocol, or closed by now.
                _ = try? process.endRepair(descriptor: number)
            }
        }
    }
}

extension VPSFiles {
    /// Of a VPS that runs, with its lock held: nobody is writing a checkpoint.
    /// - Returns: whether there was one half written.
    @discardableResult
    func undoDump(_ state: VPSState, in directory: SharedFD) -> Bool {
        let marks = [CheckpointFiles.unfinished, CheckpointFiles.hibernating]
        guard marks.contains(where: { (try? directory.fd.status(of: $0)) != nil }) else { return false }
        KilledDump.undo(state)
        sweepCheckpoints(in: directory)
        return true
    }
}
