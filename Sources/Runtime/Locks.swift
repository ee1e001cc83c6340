internal import Kernel
internal import Model

/// Locks of one VPS in its state directory. The kernel gives them up with the process that holds them.
enum Locks {
    /// Held by a verb while it changes the VPS: two verbs on one VPS never interleave.
    static let verb = "lock"
    /// Held by the supervisor for its life: who gets it knows that there is none.
    static let supervisor = "supervisor"

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

    /// Whether another process holds a lock. Where the file is missing nobody does.
    static func isHeld(_ lock: String, in directory: SharedFD, of name: String) throws(CtrError) -> Bool {
        let file: SharedFD
        do throws(SysError) { file = SharedFD(try directory.fd.open(lock, [.readWrite, .noFollow])) } catch {
            if error.errno == Errno.noEntry { return false }
            throw CtrError(.io, "lock of VPS \(name)", cause: error)
        }
        return try !attempt(file, of: name)
    }

    private static func attempt(_ file: SharedFD, of name: String) throws(CtrError) -> Bool {
        do throws(SysError) { try file.fd.lock(.exclusive, wait: false) } catch {
            if error.errno == Errno.again { return false }
            throw CtrError(.io, "lock of VPS \(name)", cause: error)
        }
        return true
    }
}
