internal import Kernel
internal import Model

/// What a criu leaves that was killed: processes that it has made and that are not the VPS's yet. Only where the
/// supervisor of the resume is dead.
struct HalfResumed {
    let files: VPSFiles

    /// As ``end()``, where the VPS's state says that its resume was cut off.
    func endIfCutOff() throws(CtrError) -> Bool {
        guard let state = try files.state(), state.status == .resuming, !state.hasSupervisor else { return false }
        end()
        return true
    }

    /// Ends them. They are copies of criu, and bear its command line.
    func end() {
        let log = "\(files.path)/log"
        for entry in (try? open("/proc", [.directory]).entries()) ?? [] {
            guard let pid = Int32(entry.name.description), let handle = try? ProcessHandle(pid: pid),
                let words = try? ProcFiles.commandLine(of: pid), words.contains("restore"), words.contains(log)
            else { continue }
            try? handle.signal(Signal.kill)
        }
    }
}
