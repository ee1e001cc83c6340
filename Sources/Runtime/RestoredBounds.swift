internal import Cgroups
internal import Kernel
internal import Model

/// The bounds of a VPS's memory and processes while it is made anew.
///
/// criu needs a process and some memory more than the VPS has, for a moment: one that was suspended at its bounds could
/// never be resumed within them. So they are wider until all is there, and exact again before a process goes on.
enum RestoredBounds {
    /// Bytes of memory beyond its bound.
    private static let more: Int64 = 64 << 20

    static func widen(_ cgroup: inout Cgroup, _ config: VPSConfig, in directory: SharedFD) throws(CtrError) {
        var wide = try config.resources.onDisk(of: directory)
        if wide.memory == nil && wide.memoryHigh == nil && wide.pids == nil { return }
        wide.memory = wide.memory.map { $0.addingReportingOverflow(more) }.map { $0.overflow ? .max : $0.partialValue }
        wide.memoryHigh = nil
        wide.pids = nil
        try cgroup.apply(wide, host: .detect())
    }

    /// - Parameter checkpoint: that of the VPS.
    static func close(_ state: VPSState, _ checkpoint: SharedFD, in directory: SharedFD) throws(CtrError) {
        guard let record = state.cgroup else { return }
        var cgroup = try Cgroup.open(record)
        let exact = try state.config.resources.onDisk(of: directory)
        let tree: CgroupTree? = try VPSFiles.read(CheckpointFiles.cgroups, in: checkpoint, of: state.config.name)
        // What criu has used is given back a moment later.
        for turn in 0... {
            do throws(CtrError) {
                try cgroup.apply(exact, host: .detect())
                if let tree { try cgroup.bound(tree) }
                return
            } catch {
                if error.code != .busy || turn == 100 { throw error }
                CurrentProcess.sleep(milliseconds: 10)
            }
        }
    }
}
