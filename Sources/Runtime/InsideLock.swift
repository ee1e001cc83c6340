internal import Kernel
internal import Model

/// A lock in the state directory of a running VPS between those who work inside it from outside (`exec`, `enter`, `cp`) and who
/// writes it down: what they change meanwhile would be on its disk and not in its memory, or they would end with it unseen.
enum InsideLock {
    private static let name = "inside"

    /// Waits for ten seconds at most. The VPS may be suspended, or another run of it, when it is taken.
    /// - Returns: held while it is open; nil where there is no running VPS, or no room for it.
    /// - Throws: `busy`.
    static func enter(_ files: VPSFiles) throws(CtrError) -> SharedFD? {
        for turn in 0..<1000 {
            // Where there is no room for the file, an operator comes in to make some; nobody writes it down without one either.
            guard let state = try files.stateDirectory(), let lock = try? open(state, files) else { return nil }
            // That of a run that has ended keeps nobody out.
            if try Locks.attempt(lock, .shared, of: files.name), (try? lock.fd.status().links) != 0 { return lock }
            if turn == 100 { KilledDump.endForks(of: files) }
            CurrentProcess.sleep(milliseconds: 10)
        }
        throw CtrError(
            .busy,
            "VPS \(files.name): its memory is being written down (by ctr suspend, hibernate or snapshot create), try again"
        )
    }

    /// Short work inside is waited for, for a second.
    /// - Returns: nil where somebody is at work there.
    static func keepOut(_ files: VPSFiles, _ state: SharedFD) throws(CtrError) -> SharedFD? {
        let lock = try open(state, files)
        for _ in 0..<100 {
            if try Locks.attempt(lock, of: files.name) { return lock }
            CurrentProcess.sleep(milliseconds: 10)
        }
        return nil
    }

    /// For messages: one of those who are at work inside.
    static func holder(_ files: VPSFiles, _ state: SharedFD) -> String {
        guard let lock = try? open(state, files), let status = try? lock.fd.status(),
            let pid = try? ProcFiles.lockHolder(of: status), let words = try? ProcFiles.commandLine(of: pid)
        else { return "ctr exec, enter or cp" }
        return "'\(words.joined(separator: " ").escaped)' (process \(pid))"
    }

    private static func open(_ state: SharedFD, _ files: VPSFiles) throws(CtrError) -> SharedFD {
        try describing("lock of VPS \(files.name)", code: .cannotCreate) { () throws(SysError) in
            SharedFD(try state.fd.open(name, [.readWrite, .create, .noFollow], mode: 0o600))
        }
    }
}
