internal import Kernel
internal import Model

/// The hidden verb `hibernate-asked NAME PID START`: `ctr hibernate` for a VPS that has asked for it, started by its
/// supervisor, whose end does not end it.
public enum AskedHibernation {
    static let verb = "hibernate-asked"

    public static func main(_ words: [String], on host: Host) -> Int32 {
        guard words.count == 3, let pid = Int32(words[1]), let start = UInt64(words[2]) else {
            return CtrError.Code.usage.exitStatus
        }
        let (name, run) = (words[0], GuestRun(pid: pid, startTime: start))
        do throws(CtrError) {
            try describing("session of \(verb)") { () throws(SysError) in
                try CurrentProcess.startSession()
                try CurrentProcess.changeDirectory("/")
            }
            if try Settings.load().hibernateInside == false {
                throw CtrError(.failed, "hibernate \(name): not allowed from inside (setting hibernateInside)")
            }
            var suspend = Suspend(name: name)
            suspend.onDisk = true
            suspend.only = run
            _ = try suspend.run(on: host)
            return 0
        } catch {
            EventLog(host).append(.hibernateRefused, vps: name, detail: ["reason": .text(error.message)])
            HostPath.answer("refused: \(reason(error, of: name))", to: run)
            return error.code.exitStatus
        }
    }

    /// What is the guest's to know: not the host's paths, nor how much space that has.
    static func reason(_ error: CtrError, of name: String) -> String {
        switch error.code {
        case .failed where !error.message.contains("criu"):
            for prefix in ["hibernate \(name): ", "suspend \(name): "] where error.message.hasPrefix(prefix) {
                return String(error.message.dropFirst(prefix.count))
            }
            return error.message
        case .failed: return "a process or an open file of it can't be written down (ctr events on the host says which)"
        case .busy: return "the host is at work on this VPS (try again)"
        case .cannotCreate: return "the host has not enough space"
        case .unavailable: return "the host can't suspend a VPS"
        default: return "the host has failed (ctr events there says why)"
        }
    }
}
