internal import Kernel
internal import Model

/// The first process of a running VPS, found by what state.json says and proven to be the same one.
struct RunningInit: ~Copyable {
    let handle: ProcessHandle
    let state: VPSState

    /// nil if it has ended, or not begun, or criu is still making it.
    static func find(_ files: VPSFiles) throws(CtrError) -> RunningInit? {
        guard let state = try files.state(), state.pid > 0, state.status != .resuming else { return nil }
        do throws(SysError) {
            guard try ProcFiles.bootID() == state.bootID else { return nil }
            let handle = try ProcessHandle(pid: state.pid)
            // After the pidfd is held, so that it can't be another process's number by now.
            guard try ProcFiles.startTime(of: state.pid) == state.startTime else { return nil }
            // Ended and not yet reaped, by a parent that may be slow to.
            if handle.hasEnded { return nil }
            return RunningInit(handle: handle, state: state)
        } catch {
            if error.errno == Errno.noProcess || error.errno == Errno.noEntry { return nil }
            throw CtrError(.io, "process \(state.pid) of VPS \(files.name)", cause: error)
        }
    }
}

/// A running VPS that a verb is about to act on.
struct RunningTarget: ~Copyable {
    let files: VPSFiles
    let process: RunningInit
    /// As it was started.
    var config: VPSConfig { process.state.config }

    /// - Throws: `notFound` for an unknown VPS, `failed` for one that does not run.
    static func find(_ name: String, on host: Host) throws(CtrError) -> RunningTarget {
        let files = try VPSFiles(name, host: host)
        guard let process = try RunningInit.find(files) else {
            guard try files.config() != nil else { throw VPSFiles.unknown(name) }
            try LostVPS.refuse(files)
            try Recovery(host: host).sweep(name)
            if try files.hasCheckpoint() {
                throw CtrError(.failed, "VPS \(name): suspended (ctr resume \(name))")
            }
            throw CtrError(.failed, "VPS \(name): not running (ctr start \(name))")
        }
        return RunningTarget(files: files, process: process)
    }

    /// Gives a kept VPS a supervisor whose own was killed.
    borrowing func adoptIfOrphaned() throws(CtrError) {
        guard !config.ephemeral, let state = try files.stateDirectory() else { return }
        if try !Locks.hasSupervisor(state, of: files.name) { try Recovery(host: files.host).sweep(files.name) }
    }

    /// - Throws: `failed` where it stands still.
    borrowing func refusePaused(_ verb: String) throws(CtrError) {
        if process.state.status == .paused {
            if process.state.pausedFor == .copy {
                // Whoever copies its disk may have been killed.
                try Recovery(host: files.host).sweep(files.name)
                if try files.state()?.status == .running { return }
                throw CtrError(.busy, "\(verb) \(files.name): it stands still while its disk is copied, try again")
            }
            throw CtrError(.failed, "\(verb) \(files.name): the VPS is paused (ctr unpause \(files.name) first)")
        }
    }
}

extension VPSFiles {
    static func unknown(_ name: String) -> CtrError {
        CtrError(.notFound, "VPS \(name): no such VPS (see ctr list)")
    }
}
