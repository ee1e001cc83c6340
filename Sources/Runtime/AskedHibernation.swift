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
            HostPath.answer("refused: \(withoutHostNumbers(reason(error, of: name)))", to: run)
            return error.code.exitStatus
        }
    }

    /// What is the guest's to know: not the host's paths, nor how much space that has.
    static func reason(_ error: CtrError, of name: String) -> String {
        switch error.code {
        // `checkpoint of VPS web: ...` and the like: an error of the host's own files.
        case .failed where !error.message.contains("criu") && !error.message.contains(" of VPS \(name): "):
            let prefix = "hibernate \(name): "
            return error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
        case .failed where !error.message.contains("criu"): return "the host has failed (ctr events there says why)"
        case .failed: return "a process or an open file of it can't be written down (ctr events on the host says which)"
        case .busy: return "the host is at work on this VPS (try again)"
        case .cannotCreate: return "the host has not enough space"
        case .unavailable: return "the host can't suspend a VPS"
        default: return "the host has failed (ctr events there says why)"
        }
    }

    /// A refusal begins with the process that is in the way, or says who traces one.
    /// - Parameter inner: a process's number inside.
    static func withoutHostNumbers(_ text: String, inner: (Int32) -> Int32? = guestNumber) -> String {
        if text.contains(" is traced by process ") {
            return "a process is being traced (a debugger, or strace: end it)"
        }
        let word = "process "
        guard text.hasPrefix(word) else { return text }
        let digits = text.dropFirst(word.count).prefix { ("0"..."9").contains($0) }
        let number = Int32(digits).flatMap(inner).map { "\($0)" } ?? "?"
        return word + number + text.dropFirst(word.count + digits.count)
    }

    private static func guestNumber(_ pid: Int32) -> Int32? {
        let numbers = (try? ProcFiles.namespacePIDs(of: pid)) ?? []
        return numbers.count > 1 ? numbers[1] : nil
    }
}
