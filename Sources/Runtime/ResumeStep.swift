internal import Cgroups
internal import Checkpoint
internal import Kernel
internal import Model
internal import Network

/// The steps of ctr's own within a restore.
struct ResumeStep {
    let files: VPSFiles
    let directory: SharedFD

    /// Its first process is there, in a network namespace without anything.
    func setUpNetwork() throws(CtrError) {
        guard let config = try files.state()?.config, config.hasInterface,
            let pid = CurrentProcess.environment("CRTOOLS_INIT_PID").flatMap(Int32.init)
        else { return }
        // Closed: of a restore that fails nobody hears, and no peer is told that its connection has ended.
        try files.host.attach(files.host.claimPorts(config), pid: pid, closed: true)
        try GuestRules.load(into: pid, from: checkpoint(), of: files.name)
    }

    private func checkpoint() throws(CtrError) -> SharedFD {
        try CheckpointPlace(files, in: directory, marker: CheckpointFiles.hibernated).open(files)
    }

    /// All processes are there, and none has gone on: from here on the VPS can be found.
    func record() throws(CtrError) {
        if let place = try files.stateDirectory() { try MemoryCheck.require(in: place) }
        guard let place = try files.stateDirectory(), var state = try files.state(), state.status == .resuming,
            let pid = CurrentProcess.environment("CRTOOLS_INIT_PID").flatMap(Int32.init)
        else { throw CtrError(.failed, "resume \(files.name): its state has gone") }
        if StopIntent.isRecorded(place) {
            throw CtrError(.failed, "VPS \(files.name): stopped by an operator while it was being resumed")
        }
        state.pid = pid
        state.startTime = try describing("state of VPS \(files.name)") { () throws(SysError) in
            try ProcFiles.startTime(of: pid)
        }
        try RestoredBounds.close(state, checkpoint(), in: directory)
        try VPSFiles.write(state, "state.json", in: place, of: files.name, durable: false)
        if let cgroup = state.cgroup { RestoredTimers.repair(in: try Cgroup.open(cgroup).processes()) }
    }

    /// They go on when this returns, whatever it returns; so the checkpoint has been one. Where that can't be written down,
    /// they must not.
    func commit() throws(CtrError) {
        do throws(SysError) {
            try files.useCheckpoint(in: directory)
        } catch {
            files.restoreCheckpoint(in: directory)
            if let pid = try files.state()?.pid, pid > 0, let first = try? ProcessHandle(pid: pid) {
                try? first.signal(Signal.kill)
            }
            throw CtrError(.io, "checkpoint of VPS \(files.name)", cause: error)
        }
        if let state = try files.state() { try? files.host.openPorts(state.config, pid: state.pid) }
        try files.setStatus(.running)
    }
}
