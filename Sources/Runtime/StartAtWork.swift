internal import Kernel
internal import Model

/// The start of a VPS by its supervisor, as a verb meets that wants the VPS to end.
///
/// The supervisor looks for the operator's word (``StopIntent``) while a script runs and before the first process
/// executes, and gives up: nobody waits for a script that hangs. One that does not look (it waits in the kernel, for a
/// dead disk) is killed by `kill` and `destroy --force`.
struct StartAtWork {
    let files: VPSFiles

    /// Milliseconds that `stop` and `restart` leave to a start, which mostly is done by then.
    static let patience = 2_000
    /// How long a supervisor may take to give up.
    private static let milliseconds = 10_000
    /// How long a killed one may take to go.
    private static let moments = 5_000

    /// The lock of a VPS that is to end; a start at work holds it, and is told to give up.
    /// - Parameter patience: milliseconds that a start has to be done on its own.
    /// - Returns: the lock, and whether a start was ended.
    static func lock(
        _ files: VPSFiles, patience: Int, force: Bool
    ) throws(CtrError) -> (lock: VerbLock, endedStart: Bool) {
        if let lock = try VerbLock.attempt(files) { return (lock, false) }
        let deadline = Deadline(milliseconds: patience)
        while !deadline.hasPassed {
            deadline.sleep(microseconds: 10_000)
            if let lock = try VerbLock.attempt(files) { return (lock, false) }
        }
        let ended = try StartAtWork(files: files).end(force: force)
        return (try VerbLock.take(files), ended)
    }

    /// Tells the supervisor to give up and returns when it has, or when the VPS runs all the same.
    /// - Parameter force: kill it where it does not.
    /// - Returns: false if no start is at work.
    /// - Throws: `busy` if it hangs.
    func end(force: Bool) throws(CtrError) -> Bool {
        guard let place = try files.stateDirectory(), let state = try files.state(), state.status == .starting,
            try Locks.hasSupervisor(place, of: files.name)
        else { return false }
        try StopIntent.record(place, of: files.name)
        let deadline = Deadline(milliseconds: StartAtWork.milliseconds)
        while try Locks.hasSupervisor(place, of: files.name) {
            // It was faster than our word.
            if let state = try files.state(), state.status != .starting { return true }
            if deadline.hasPassed {
                guard force else { throw hangs(state) }
                try killSupervisor(state, place)
            }
            CurrentProcess.sleep(milliseconds: 10)
        }
        try Recovery(host: files.host).sweep(files.name)
        return true
    }

    private func hangs(_ state: VPSState) -> CtrError {
        CtrError(
            .busy,
            "VPS \(files.name): its supervisor (process \(state.supervisor)) hangs in the start (ctr kill \(files.name) ends it)"
        )
    }

    /// It is the one that holds the lock: that is looked at while its pidfd is held, so that its number names no other.
    private func killSupervisor(_ state: VPSState, _ place: SharedFD) throws(CtrError) {
        do throws(SysError) {
            let supervisor = try ProcessHandle(pid: state.supervisor)
            guard try ProcFiles.lockHolder(of: place.fd.status()) == state.supervisor else {
                throw SysError("flock", Errno.noEntry)
            }
            try supervisor.signal(Signal.kill)
            _ = try supervisor.waitForEnd(milliseconds: Int32(StartAtWork.moments))
        } catch {
            if error.errno != Errno.noProcess { throw hangs(state) }
        }
        // Its child and the guard of its script hold the lock too, and end after it.
        let deadline = Deadline(milliseconds: StartAtWork.moments)
        while try Locks.hasSupervisor(place, of: files.name) {
            if deadline.hasPassed {
                throw CtrError(
                    .busy,
                    "VPS \(files.name): its supervisor is killed, but a process of the start has not ended: it waits in the "
                        + "kernel, most likely for a disk or a network file system (see the host's kernel log, try again)"
                )
            }
            CurrentProcess.sleep(milliseconds: 10)
        }
    }
}
