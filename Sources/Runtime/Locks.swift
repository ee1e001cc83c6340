internal import Kernel
internal import Model

/// Locks of one VPS in its state directory. The kernel gives them up with the process that holds them.
enum Locks {
    /// Held by a verb while it changes the VPS: two verbs on one VPS never interleave.
    static let verb = "lock"

    /// Takes a lock. With `seconds` 0 another holder is an error at once.
    /// - Throws: `busy` when another process still has it after `seconds`.
    static func take(
        _ lock: String, in directory: SharedFD, of name: String, seconds: Int = 10
    ) throws(CtrError) -> SharedFD {
        let file = try describing("lock of VPS \(name)") { () throws(SysError) in
            SharedFD(try directory.fd.open(lock, [.create, .readWrite, .noFollow], mode: 0o600))
        }
        let end = Timestamp.monotonic() + UInt64(seconds) * 1_000_000_000
        while true {
            if try attempt(file, of: name) { break }
            if Timestamp.monotonic() >= end {
                let holder = (try? file.fd.read(upTo: 128)).map { String(decoding: $0, as: UTF8.self).escaped } ?? ""
                throw CtrError(.busy, "VPS \(name): busy\(holder.isEmpty ? "" : " (held by \(holder))"), try again")
            }
            CurrentProcess.sleep(milliseconds: 20)
        }
        if try describing("lock of VPS \(name)", { () throws(SysError) in try file.fd.status().links }) == 0 {
            throw CtrError(.notFound, "VPS \(name): destroyed a moment ago")
        }
        // For the one who finds it taken. A holder that dies leaves a wrong word and a free lock.
        try describing("lock of VPS \(name)") { () throws(SysError) in
            try file.fd.truncate(0)
            try file.fd.writeAll(Array("process \(CurrentProcess.pid)".utf8))
        }
        return file
    }

    /// Makes this process the supervisor of a VPS for as long as `state`, its state directory, stays open: the lock is
    /// on the directory itself. Somebody who looks whether there is one holds it for a moment.
    static func becomeSupervisor(_ state: SharedFD, of name: String) throws(CtrError) {
        for _ in 0..<500 {
            if try attempt(state, of: name) { return }
            CurrentProcess.sleep(milliseconds: 2)
        }
        throw CtrError(.busy, "VPS \(name): it has a supervisor, try again")
    }

    /// Whether a supervisor lives. `state` is an open file of the caller's own.
    static func hasSupervisor(_ state: SharedFD, of name: String) throws(CtrError) -> Bool {
        if try !attempt(state, of: name) { return true }
        try describing("lock of VPS \(name)") { () throws(SysError) in try state.fd.lock(.unlock, wait: false) }
        return false
    }

    /// Takes the lock if it is free.
    static func attempt(_ file: SharedFD, of name: String) throws(CtrError) -> Bool {
        do throws(SysError) { try file.fd.lock(.exclusive, wait: false) } catch {
            if error.errno == Errno.again { return false }
            throw CtrError(.io, "lock of VPS \(name)", cause: error)
        }
        return true
    }
}
