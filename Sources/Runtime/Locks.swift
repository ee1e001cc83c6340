internal import Kernel
internal import Model

/// The lock of one VPS: flock(2) on its state directory. The kernel gives it up with the process that holds it.
enum Locks {
    /// Makes this process the supervisor of a VPS for as long as `state`, its state directory, stays open: the lock is
    /// on the directory itself. Somebody who looks whether there is one holds it for a moment.
    static func becomeSupervisor(_ state: SharedFD, of name: String) throws(CtrError) {
        for _ in 0..<500 {
            if try attempt(state, of: name) { return }
            CurrentProcess.sleep(milliseconds: 2)
        }
        throw CtrError(.busy, "VPS \(name): it has a supervisor, try again")
    }

    /// Whether a supervisor lives. `state` is an open file of the caller's own. Those who look do not disturb each other.
    static func hasSupervisor(_ state: SharedFD, of name: String) throws(CtrError) -> Bool {
        if try !attempt(state, .shared, of: name) { return true }
        try describing("lock of VPS \(name)") { () throws(SysError) in try state.fd.lock(.unlock, wait: false) }
        return false
    }

    /// Takes the lock if it is free.
    static func attempt(_ file: SharedFD, _ mode: FD.LockMode = .exclusive, of name: String) throws(CtrError) -> Bool {
        do throws(SysError) { try file.fd.lock(mode, wait: false) } catch {
            if error.errno == Errno.again { return false }
            throw CtrError(.io, "lock of VPS \(name)", cause: error)
        }
        return true
    }
}
