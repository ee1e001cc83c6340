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
        while true {
            if let lock = try attempt(files) { return lock }
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

    private static func holder(_ files: VPSFiles) throws(CtrError) -> String {
        guard let directory = try files.directory(), let status = try? directory.fd.status(),
            let pid = try? ProcFiles.lockHolder(of: status), let words = try? ProcFiles.commandLine(of: pid)
        else { return "another verb is at work on it" }
        return "'\(words.joined(separator: " ").escaped)' (process \(pid)) is at work on it"
    }
}
