internal import CLinux

extension ProcessHandle {
    /// How a process ended that need not be a child of ours; nil where the kernel does not tell. While its parent has not
    /// reaped it, /proc/PID/stat does; afterwards `ioctl(2)` with PIDFD_GET_INFO, from Linux 6.15 on.
    public borrowing func exitInfo() -> ExitStatus? {
        var status: Int32 = 0
        if ctr_pidfd_exit_status(pidfd.rawValue, &status) != 0 {
            guard let code = ProcFiles.zombieStatus(of: pid) else { return nil }
            status = code
        }
        return status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signaled(status & 0x7f)
    }
}

extension CurrentProcess {
    /// Gives memory that was used once, and will not be again, back to the kernel. See malloc_trim(3).
    public static func releaseFreeMemory() { _ = ctr_malloc_trim() }
}

extension ProcFiles {
    /// The status, as waitpid(2) has it, of a process that has ended and is not reaped yet. See proc_pid_stat(5).
    fileprivate static func zombieStatus(of pid: Int32) -> Int32? {
        guard let bytes = try? open("/proc/\(pid)/stat", [.readOnly]).read(upTo: 4096),
            let end = bytes.lastIndex(of: UInt8(ascii: ")"))
        else { return nil }
        let fields = bytes[(end + 1)...].split(separator: 32).map { String(decoding: $0, as: UTF8.self) }
        // The state is field 3, the exit code field 52 and the last but a line's end.
        guard fields.count >= 50, fields[0] == "Z" else { return nil }
        return Int32(fields[49].prefix { $0 != "\n" })
    }

    /// The process that holds a flock(2) on a file, as far as this pid namespace can see it.
    public static func lockHolder(of file: FileStatus) throws(SysError) -> Int32? {
        let text = String(decoding: try open("/proc/locks", [.readOnly]).readAll(), as: UTF8.self)
        // 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
        let major = String(file.device.major, radix: 16), minor = String(file.device.minor, radix: 16)
        let wanted = "\(pad(major)):\(pad(minor)):\(file.inode)"
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", words[5] == wanted, let pid = Int32(words[4]) else { continue }
            if pid > 0 { return pid }
        }
        return nil
    }

    private static func pad(_ hex: String) -> String { hex.utf8.count < 2 ? "0\(hex)" : hex }

    /// The number of a process's parent; 0 where that is in no namespace of ours.
    public static func parent(of pid: Int32) throws(SysError) -> Int32 {
        let text = try open("/proc/\(pid)/stat", .readOnly).read(upTo: 1024)
        // As in startTime(of:).
        guard let end = text.lastIndex(of: UInt8(ascii: ")")), case let fields = text[end...].split(separator: 32),
            fields.count > 2, let parent = Int32(String(decoding: fields[2], as: UTF8.self))
        else { throw SysError("read", Errno.proto, "/proc/\(pid)/stat") }
        return parent
    }

    /// Whether a process that was cloned has executed a program since, also when it has ended by now and is not reaped: the
    /// flag PF_FORKNOEXEC of proc_pid_stat(5), which the kernel takes away before it closes what is close-on-exec.
    public static func hasExecuted(_ pid: Int32) throws(SysError) -> Bool {
        let text = try open("/proc/\(pid)/stat", .readOnly).read(upTo: 1024)
        guard let end = text.lastIndex(of: UInt8(ascii: ")")), case let fields = text[end...].split(separator: 32),
            fields.count > 7, let flags = UInt64(String(decoding: fields[7], as: UTF8.self))
        else { throw SysError("read", Errno.proto, "/proc/\(pid)/stat") }
        return flags & 0x40 == 0
    }

    /// The numbers of a process in this pid namespace and those below it, down to its own.
    public static func namespacePIDs(of pid: Int32) throws(SysError) -> [Int32] {
        let text = try open("/proc/\(pid)/status", .readOnly).readAll(limit: 65536)
        guard let line = text.split(separator: 10).first(where: { $0.starts(with: "NSpid:".utf8) }) else { return [] }
        return line.dropFirst(6).split(whereSeparator: { $0 == 9 || $0 == 32 })
            .compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
    }

    /// The words of a process's command line, at most 4096 bytes of it.
    public static func commandLine(of pid: Int32) throws(SysError) -> [String] {
        try open("/proc/\(pid)/cmdline", [.readOnly]).read(upTo: 4096).split(separator: 0)
            .map { String(decoding: $0, as: UTF8.self) }
    }
}

extension ProcFiles {
    /// Whether a process has ended and is not reaped yet.
    public static func isZombie(_ pid: Int32) throws(SysError) -> Bool {
        [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(try runState(of: pid))
    }

    /// Whether a signal has stopped it.
    public static func isStopped(_ pid: Int32) throws(SysError) -> Bool { try runState(of: pid) == UInt8(ascii: "T") }

    /// The letter of proc_pid_stat(5).
    private static func runState(of pid: Int32) throws(SysError) -> UInt8 {
        let text = try open("/proc/\(pid)/stat", .readOnly).read(upTo: 1024)
        // As in startTime(of:).
        guard let end = text.lastIndex(of: UInt8(ascii: ")")), end + 2 < text.count else {
            throw SysError("read", Errno.proto, "/proc/\(pid)/stat")
        }
        return text[end + 2]
    }

    /// Who traces a process (ptrace(2)); 0: nobody.
    public static func tracer(of pid: Int32) throws(SysError) -> Int32 {
        let text = try open("/proc/\(pid)/status", .readOnly).readAll(limit: 65536)
        let line = text.split(separator: 10).first { $0.starts(with: "TracerPid:".utf8) }
        let number = line?.dropFirst(10).filter { $0 != 9 && $0 != 32 }
        return number.flatMap { Int32(String(decoding: $0, as: UTF8.self)) } ?? 0
    }

    /// The children of a process with one thread.
    public static func children(of pid: Int32) throws(SysError) -> [Int32] {
        try open("/proc/\(pid)/task/\(pid)/children", [.readOnly]).readAll(limit: 1 << 20).split(separator: 32)
            .compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
    }
}
