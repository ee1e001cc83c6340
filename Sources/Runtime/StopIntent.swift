internal import Kernel
internal import Model

/// That an operator wants a VPS to end, written down before anything is done about it: the file `stop` in its state
/// directory, with the number and start time of the process that wrote it. Its supervisor then does not start it again. It
/// goes with the state directory; where the verb that wrote it was killed half way, the next verb takes it back.
enum StopIntent {
    private static let name = "stop"

    static func record(_ state: SharedFD, of vps: String) throws(CtrError) {
        do throws(SysError) {
            let (pid, start) = (CurrentProcess.pid, try ProcFiles.startTime(of: CurrentProcess.pid))
            try state.fd.replaceFile(name, Array("\(pid) \(start)\n".utf8), durable: false)
        } catch {
            // It has just ended, and its supervisor has cleared away: nothing is left to keep from starting again.
            if error.errno != Errno.noEntry { throw CtrError(.io, "state of VPS \(vps)", cause: error) }
        }
    }

    static func isRecorded(_ state: SharedFD) -> Bool { (try? state.fd.status(of: name)) != nil }

    /// Whether it is there and whoever wrote it has ended before it could do what it wanted.
    static func isStale(_ state: SharedFD) -> Bool {
        guard let bytes = try? state.fd.readFile(name, limit: 128) else { return false }
        let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let pid = Int32(words[0]), let start = UInt64(words[1]) else { return true }
        return (try? ProcFiles.startTime(of: pid)) != start
    }

    static func takeBack(_ state: SharedFD, of vps: String) throws(CtrError) {
        do throws(SysError) { try state.fd.unlink(name) } catch {
            if error.errno != Errno.noEntry { throw CtrError(.io, "state of VPS \(vps)", cause: error) }
        }
    }
}
