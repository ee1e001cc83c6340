internal import CLinux
internal import Glibc

/// What the running kernel calls itself. The corresponding call is `uname(2)`.
public struct SystemName: Sendable, Equatable {
    /// `Linux`
    public let system: String
    /// `6.12.43+deb12-cloud-amd64`
    public let release: String
    /// `x86_64`, `aarch64`
    public let machine: String

    public init() throws(SysError) {
        var names = utsname()
        try check(ctr_ret(Int(uname(&names))), "uname")
        func text<Field>(_ field: Field) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        system = text(names.sysname)
        release = text(names.release)
        machine = text(names.machine)
    }
}

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
        try check(ctr_ioctl(rawValue, UInt(CTR_FICLONE), Int(source.rawValue)), "ioctl", "FICLONE")
    }
}
