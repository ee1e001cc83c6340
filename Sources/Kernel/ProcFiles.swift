internal import CLinux
internal import Glibc

/// What /proc says of a process: see proc_pid_stat(5) and proc_pid_status(5).
public enum ProcFiles {
    /// When a process started, in clock ticks since boot. With its number this names one process.
    /// - Throws: ENOENT or ESRCH when it has ended.
    public static func startTime(of pid: Int32) throws(SysError) -> UInt64 {
        let text = try open("/proc/\(pid)/stat", .readOnly).read(upTo: 1024)
        // The second field is the command's name in parentheses, which the process chooses: it may contain ") ", and as
        // characters its last bytes could swallow the parenthesis that ends it (U+0600 does). So: bytes.
        guard let end = text.lastIndex(of: UInt8(ascii: ")")),
            case let fields = text[end...].split(separator: UInt8(ascii: " ")), fields.count > 20,
            let time = UInt64(String(decoding: fields[20], as: UTF8.self))
        else { throw SysError("read", Errno.proto, "/proc/\(pid)/stat") }
        return time
    }

    /// This boot's id.
    public static func bootID() throws(SysError) -> String {
        let bytes = try open("/proc/sys/kernel/random/boot_id", .readOnly).read(upTo: 64)
        return String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)
    }

    /// Whole seconds since boot. See proc_uptime(5).
    public static func uptime() throws(SysError) -> UInt64 {
        let bytes = try open("/proc/uptime", [.readOnly]).read(upTo: 128)
        return UInt64(String(decoding: bytes.prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)) ?? 0
    }

    /// Bytes in this host's memory that wait to be written to some disk: see proc_meminfo(5).
    public static func unwritten() throws(SysError) -> Int64 {
        let text = String(decoding: try open("/proc/meminfo", [.readOnly]).readAll(limit: 65536), as: UTF8.self)
        var sum: Int64 = 0
        for line in text.split(separator: "\n") where line.hasPrefix("Dirty:") || line.hasPrefix("Writeback:") {
            let words = line.split(separator: " ")
            if words.count > 1, let kibibytes = Int64(words[1]) { sum += kibibytes << 10 }
        }
        return sum
    }

    /// The kernel's release as uname(2) has it: `6.18.4`.
    public static func kernelRelease() throws(SysError) -> String {
        let bytes = try open("/proc/sys/kernel/osrelease", .readOnly).read(upTo: 256)
        return String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)
    }

    /// What a process does with a signal.
    public enum Disposition: Sendable { case standard, ignored, handled }

    /// The id of the mount that an open file lies on, as mountinfo has it: see proc_pid_fdinfo(5).
    /// - Returns: nil where the file is not open.
    public static func mountID(of pid: Int32, descriptor: Int32) -> Int? {
        guard let info = try? open("/proc/\(pid)/fdinfo/\(descriptor)", [.readOnly]).read(upTo: 4096),
            let line = info.split(separator: 10).first(where: { $0.starts(with: "mnt_id:".utf8) })
        else { return nil }
        return Int(String(decoding: line.dropFirst(7).filter { $0 != 9 && $0 != 32 }, as: UTF8.self))
    }

    /// Whether a process handles a signal, ignores it, or leaves it to its default action. One that blocks it (to
    /// read it from a descriptor) or waits in sigtimedwait(2) counts as handling it.
    public static func disposition(of pid: Int32, _ signal: Int32) throws(SysError) -> Disposition {
        let first = try recorded(of: pid, signal)
        if first != .standard { return first }
        // A process in sigtimedwait(2), as busybox's init is, has the signals that it waits for unblocked meanwhile;
        // which they are is not shown. On its way in or out of the call it blocks them.
        if try waitsForSignals(pid) { return .handled }
        return try recorded(of: pid, signal)
    }

    /// As /proc/PID/status has it.
    private static func recorded(of pid: Int32, _ signal: Int32) throws(SysError) -> Disposition {
        let text = try open("/proc/\(pid)/status", .readOnly).readAll(limit: 65536)
        // Lines of bytes: the name in the first one is the process's to choose.
        let lines = text.split(separator: UInt8(ascii: "\n"))
        func has(_ field: String) -> Bool {
            guard let line = lines.first(where: { $0.starts(with: field.utf8) }),
                case let value = line.dropFirst(field.utf8.count).drop(while: { $0 == 32 || $0 == 9 }),
                let mask = UInt64(String(decoding: value, as: UTF8.self), radix: 16)
            else { return false }
            return mask & (1 << UInt64(signal - 1)) != 0
        }
        if has("SigCgt:") || has("SigBlk:") { return .handled }
        return has("SigIgn:") ? .ignored : .standard
    }

    /// Whether a process is in sigtimedwait(2) at this moment: the number that /proc/PID/syscall begins with. Where
    /// the kernel has no such file (CONFIG_HAVE_ARCH_TRACEHOOK) or refuses to tell, it is taken for one that is not.
    private static func waitsForSignals(_ pid: Int32) throws(SysError) -> Bool {
        do throws(SysError) {
            let text = try open("/proc/\(pid)/syscall", .readOnly).read(upTo: 256)
            // The second and third are those of 32-bit programs (i386, arm).
            return [CTR_SYS_rt_sigtimedwait, 177, 421].contains { text.starts(with: "\($0) ".utf8) }
        } catch  where [Errno.noEntry, Errno.perm, Errno.access].contains(error.errno) { return false }
    }
}

/// Points in time as RFC 3339 has them.
public enum Timestamp {
    /// Now, in UTC, to the second: `2026-11-23T05:14:52Z`.
    public static func now() -> String { text(seconds: Int64(time(nil))) }

    /// A time given in seconds since 1970.
    public static func text(seconds: Int64) -> String {
        var seconds = time_t(seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let date = "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        return "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }

    /// Nanoseconds on a clock that never jumps. See CLOCK_MONOTONIC in clock_gettime(2).
    public static func monotonic() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }
}

/// Bytes that nobody can guess. The corresponding call is `getrandom(2)`.
public func randomBytes(_ count: Int) throws(SysError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try check(ctr_getrandom(&bytes, count), "getrandom")
    return bytes
}

extension CurrentProcess {
    /// Waits. The corresponding call is `nanosleep(2)`; a signal may cut it short.
    public static func sleep(milliseconds: Int) { sleep(microseconds: milliseconds * 1000) }

    public static func sleep(microseconds: Int) {
        var time = timespec(tv_sec: microseconds / 1_000_000, tv_nsec: (microseconds % 1_000_000) * 1000)
        nanosleep(&time, nil)
    }
}

extension CurrentProcess {
    /// A variable of this process's environment. See getenv(3).
    public static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}
