internal import CLinux
internal import Glibc

/// Resource limits of getrlimit(2).
public enum ResourceLimits {
    /// How many there are: their numbers are 0 to 15.
    public static let count: Int32 = 16

    /// A limit of the calling process; `UInt64.max` is unlimited. The corresponding call is `prlimit(2)`.
    public static func current(_ resource: Int32) throws(SysError) -> (soft: UInt64, hard: UInt64) {
        var limit = rlimit()
        try check(ctr_prlimit(0, resource, nil, &limit), "prlimit", "\(resource)")
        return (UInt64(limit.rlim_cur), UInt64(limit.rlim_max))
    }
}

extension CurrentProcess {
    /// Whether the kernel has keyrings at all. The corresponding call is `keyctl(2)` with KEYCTL_GET_KEYRING_ID.
    public static func keyringsExist() -> Bool {
        let sessionKeyring = -3
        return ctr_keyctl(Int32(KEYCTL_GET_KEYRING_ID), sessionKeyring, 0, 0, 0) != -Int(ENOSYS)
    }
}

extension FD {
    /// This empty file gets the data of `source` without copying them: both share the blocks until one is written to.
    /// EOPNOTSUPP where the file system can't share, EXDEV across file systems. The corresponding call is
    /// `ioctl_ficlone(2)`.
    public borrowing func shareData(of source: borrowing FD) throws(SysError) {
        try check(ctr_ioctl(rawValue, UInt(CTR_FICLONE), UInt(source.rawValue)), "ioctl", "FICLONE")
    }
}

extension SealedProgram {
    /// Throws where ``ensure()`` could not make its copy: EACCES where the host's vm.memfd_noexec forbids programs in
    /// memory.
    public static func tryCopying() throws(SysError) {
        let flags = UInt32(CTR_MFD_CLOEXEC | CTR_MFD_ALLOW_SEALING)
        var number = ctr_memfd_create("ctr", flags | UInt32(CTR_MFD_EXEC))
        // Before Linux 6.3 there is no such flag, and every memory file is executable.
        if number == -Int(EINVAL) { number = ctr_memfd_create("ctr", flags) }
        let copy = FD(owning: Int32(try check(number, "memfd_create")))
        try check(ctr_fcntl(copy.rawValue, Int32(CTR_F_ADD_SEALS), Int(CTR_F_SEAL_WRITE)), "fcntl", "F_ADD_SEALS")
    }
}

extension KernelRelease {
    /// The kind of processor, for example `x86_64`. The corresponding call is `uname(2)`.
    public static var machine: String {
        var name = utsname()
        // EFAULT is its only error.
        uname(&name)
        return withUnsafeBytes(of: &name.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
