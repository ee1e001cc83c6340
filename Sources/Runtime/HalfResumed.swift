internal import Kernel
internal import Model

/// What a criu leaves that was killed: processes that it has made and that are not the VPS's yet. Only where the
/// supervisor of the resume is dead.
struct HalfResumed {
    let files: VPSFiles

    private enum Stage { case none, undecided, decided }

    /// How far the VPS's resume was when it was cut off.
    private func stage() throws(CtrError) -> Stage {
        guard let state = try files.state(), state.status == .resuming, !state.hasSupervisor else { return .none }
        return try files.hasCheckpoint() ? .undecided : .decided
    }

    /// As ``end()``, where the VPS's state says that its resume was cut off, and its checkpoint that none of it goes on.
    func endIfCutOff() throws(CtrError) -> Bool {
        guard try stage() == .undecided else { return false }
        end()
        return true
    }

    /// Whether a criu that lost its supervisor is about to let the processes go on: then it ends by itself.
    func isLettingGo() throws(CtrError) -> Bool { try stage() == .decided }

    /// Ends them. They are copies of criu, and bear its command line.
    func end() {
        for criu in files.processesOfCRIU("restore") { try? criu.handle.signal(Signal.kill) }
    }
}

extension VPSFiles {
    /// Every criu that is at work on this VPS, and every copy of itself that it has made.
    func processesOfCRIU(_ verb: String) -> [SharedProcess] {
        let log = "\(path)/log"
        return ((try? open("/proc", [.directory]).entries()) ?? []).compactMap { entry in
            // Held before it is looked at, so that it can't be another's number by then.
            guard let pid = Int32(entry.name.description), let handle = try? ProcessHandle(pid: pid),
                let words = try? ProcFiles.commandLine(of: pid), words.contains(verb), words.contains(log)
            else { return nil }
            return SharedProcess(handle)
        }
    }
}
