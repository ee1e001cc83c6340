internal import Glibc

/// The running kernel.
public enum KernelRelease {
    /// The release, for example `6.18.4`. The corresponding call is `uname(2)`.
    public static var text: String {
        var name = utsname()
        // EFAULT is its only error.
        uname(&name)
        return withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

/// The calling process's number, for names of temporary files.
public enum CurrentProcessID {
    /// The corresponding call is `getpid(2)`.
    public static var number: Int32 { getpid() }
}
