internal import Kernel
internal import Model

/// A lock in the state directory of a running VPS between those who work inside it from outside (`exec`, `enter`, `cp`) and who
/// writes it down: what they change meanwhile would be on its disk and not in its memory, or they would end with it unseen.
enum InsideLock {
    private static let name = "inside"

    /// Waits for ten seconds at most. The VPS may be suspended, or another run of it, when it is taken.
    /// - Returns: held while it is open; nil where there is no running VPS, or no room for it.
    /// - Throws: `busy`.
    static func enter(_ files: VPSFiles, _ verb: String) throws(CtrError) -> SharedFD? {
        guard let state = try files.stateDirectory() else { return nil }
        // Where there is no room for the file, an operator comes in to make some; nobody writes it down without one either.
        guard let lock = try? open(state, files) else { return nil }
        if try attempt(lock, .shared, 1000, files) { return lock }
        throw CtrError(
            .busy,
            "\(verb) \(files.name): the VPS's memory is being written down (by ctr suspend, hibernate or snapshot create), try again"
        )
    }

    /// Short work inside is waited for.
    /// - Returns: nil where somebody is at work there.
    static func keepOut(_ files: VPSFiles, _ state: SharedFD) throws(CtrError) -> SharedFD? {
        let lock = try open(state, files)
        return try attempt(lock, .exclusive, 100, files) ? lock : nil
    }

    private static func open(_ state: SharedFD, _ files: VPSFiles) throws(CtrError) -> SharedFD {
        try describing("lock of VPS \(files.name)", code: .cannotCreate) { () throws(SysError) in
            SharedFD(try state.fd.open(name, [.readWrite, .create, .noFollow], mode: 0o600))
        }
    }

    /// - Parameter turns: of 10 ms.
    private static func attempt(
        _ lock: SharedFD, _ mode: FD.LockMode, _ turns: Int, _ files: VPSFiles
    ) throws(CtrError) -> Bool {
        for _ in 0..<turns {
            if try Locks.attempt(lock, mode, of: files.name) { return true }
            CurrentProcess.sleep(milliseconds: 10)
        }
        return false
    }
}
