internal import CLinux
internal import Glibc

/// This program in memory, sealed against writing.
///
/// A guest that is the host's root (no user namespace) could open /proc/PID/exe of a ctr process for writing and so
/// replace the host's program (CVE-2019-5736). Before ctr enters such a guest it executes itself from a sealed copy.
public enum SealedProgram {
    /// Returns if this process already runs from a sealed copy; else it begins anew from one, with the same arguments
    /// and environment. Call it before anything is made. See memfd_create(2), F_ADD_SEALS in fcntl(2).
    public static func ensure() throws(SysError) {
        let running = try open("/proc/self/exe", .readOnly)
        let wanted = CTR_F_SEAL_SEAL | CTR_F_SEAL_SHRINK | CTR_F_SEAL_GROW | CTR_F_SEAL_WRITE
        if ctr_fcntl(running.rawValue, Int32(CTR_F_GET_SEALS), 0) == Int(wanted) { return }
        let flags = UInt32(CTR_MFD_CLOEXEC | CTR_MFD_ALLOW_SEALING)
        var number = ctr_memfd_create("ctr", flags | UInt32(CTR_MFD_EXEC))
        // Before Linux 6.3 there is no such flag, and every memory file is executable.
        if number == -Int(EINVAL) { number = ctr_memfd_create("ctr", flags) }
        let copy = FD(owning: Int32(try check(number, "memfd_create")))
        while try running.sendFile(to: copy, count: 1 << 30) > 0 {}
        try check(ctr_fcntl(copy.rawValue, Int32(CTR_F_ADD_SEALS), Int(wanted)), "fcntl", "F_ADD_SEALS")
        let arguments = CStrings(CommandLine.arguments)
        let result = ctr_execveat(copy.rawValue, "", arguments.pointers, ctr_environ(), Int32(CTR_AT_EMPTY_PATH))
        throw SysError("execveat", Int32(-result), "/proc/self/exe")
    }
}

extension FD {
    /// Copies at most `count` bytes of this file to another without passing through this process; returns the number.
    /// The corresponding call is `sendfile(2)`.
    public borrowing func sendFile(to target: borrowing FD, count: Int) throws(SysError) -> Int {
        let (from, to) = (rawValue, target.rawValue)
        return try checkRetrying("sendfile") { ctr_sendfile(to, from, count) }
    }
}
