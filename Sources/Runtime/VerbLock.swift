internal import Kernel
internal import Model

/// One verb at a time changes a VPS: flock(2) on its directory in $CTR_ROOT, held while this lives.
///
/// It stands beside the supervisor's lock (see ``Locks``), which says that the VPS runs or is being made. Verbs that change
/// nothing (list, show, exec, logs) do not take it, nor does `kill`, which must work while `stop` waits.
final class VerbLock {
    let directory: SharedFD

    private init(_ directory: SharedFD) { self.directory = directory }

    /// Waits for other verbs, 30 seconds at most or as long as the settings say.
    /// - Throws: `notFound` if there is no such VPS, `busy` naming who holds it.
    static func take(_ files: VPSFiles) throws(CtrError) -> VerbLock {
        if let lock = try attempt(files) { return lock }
        let deadline = Deadline(milliseconds: Int(try Settings.load().lockSeconds ?? 30) * 1000)
        let moment = Deadline(milliseconds: 200)
        var hasEnded = false
        while true {
            if let lock = try attempt(files) { return lock }
            // By no verb, if it is what a killed criu has left.
            if !hasEnded, moment.hasPassed {
                hasEnded = true
                if try !HalfResumed(files: files).endIfCutOff() { KilledDump.endForks(of: files) }
            }
            if deadline.hasPassed {
                throw CtrError(.busy, "VPS \(files.name): \(try holder(files)), try again")
            }
            CurrentProcess.sleep(milliseconds: 10)
        }
    }

    /// Takes it if it is free.
    static func attempt(_ files: VPSFiles) throws(CtrError) -> VerbLock? {
        guard let directory = try files.directory() else { throw VPSFiles.unknown(files.name) }
        guard try Locks.attempt(directory, of: files.name) else { return nil }
        // Removed or renamed before it was ours: what now has the name is another directory.
        guard let present = try files.directory() else { throw VPSFiles.unknown(files.name) }
        let same = try describing("directory of VPS \(files.name)") { () throws(SysError) in
            try present.fd.status().inode == directory.fd.status().inode
        }
        return same ? VerbLock(directory) : nil
    }

    /// Also where the verb that took it was killed and its supervisor, to which it was handed over, goes on.
    private static func holder(_ files: VPSFiles) throws(CtrError) -> String {
        guard let directory = try files.directory(), let status = try? directory.fd.status(),
            let pid = try? ProcFiles.lockHolder(of: status), let words = try? ProcFiles.commandLine(of: pid)
        else {
            guard let state = try? files.state(), state.status == .starting else {
                return "another verb is at work on it"
            }
            return "its supervisor (process \(state.supervisor)) is starting it"
        }
        return "'\(words.joined(separator: " ").escaped)' (process \(pid)) is at work on it"
    }
}

/// The lock of the verb that started this supervisor: the same open file, so that the lock stands until both have let go
/// of it, whichever is killed before. Held for the start and no longer.
final class HandedVerbLock {
    private var directory: FD?

    /// - Throws: `usage` where nobody handed it over.
    init(_ files: VPSFiles) throws(CtrError) {
        guard let present = try files.directory() else { throw VPSFiles.unknown(files.name) }
        do throws(SysError) {
            let handed = try FD.handedOver()
            let (one, other) = (try handed.status(), try present.fd.status())
            guard one.inode == other.inode, one.device == other.device else { throw SysError("fstat", Errno.invalid) }
            directory = consume handed
        } catch { throw CtrError(.usage, "supervise: only ctr itself starts this verb", cause: error) }
    }

    /// The same open file for a program that we start and wait for: the lock stands until that has ended too.
    func shared() throws(CtrError) -> SharedFD {
        try describing("lock of the VPS") { () throws(SysError) in
            guard directory != nil else { throw SysError("flock", Errno.badFile) }
            return SharedFD(try directory!.duplicate())
        }
    }

    /// Closes our descriptor of it, whoever else still refers to this object.
    func release() { directory = nil }
}
