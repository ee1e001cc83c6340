internal import CLinux
internal import Glibc

/// A system call that failed: which call, with which errno, on which path.
///
/// This is the only error that ``Kernel`` throws. Nobody branches on its text; compare ``errno`` with the constants
/// of ``Errno``.
public struct SysError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The name of the call as its man page spells it: `openat2`, `mount_setattr`.
    public let call: String
    /// The error number, positive. See errno(3).
    public let errno: Int32
    /// The path or object that the call was about, if it has one.
    public let path: String?

    public init(_ call: String, _ errno: Int32, _ path: String? = nil) {
        self.call = call
        self.errno = errno
        self.path = path
    }

    public var description: String {
        let reason = SysError.text(errno)
        guard let path else { return "\(call): \(reason)" }
        return "\(call) \(path): \(reason)"
    }

    /// What strerror(3) says of an error number, for example `No such file or directory`.
    public static func text(_ errno: Int32) -> String { String(cString: strerror(errno)) }
}

/// Error numbers of errno(3), those that this project compares with.
public enum Errno {
    public static let perm = EPERM, noEntry = ENOENT, noProcess = ESRCH, interrupted = EINTR, io = EIO
    public static let badFile = EBADF, noChild = ECHILD, again = EAGAIN, noMemory = ENOMEM, access = EACCES
    public static let busy = EBUSY, exists = EEXIST, crossDevice = EXDEV, noDevice = ENODEV, notDirectory = ENOTDIR
    public static let isDirectory = EISDIR, invalid = EINVAL, noSpace = ENOSPC, readOnly = EROFS, pipe = EPIPE
    public static let nameTooLong = ENAMETOOLONG, notImplemented = ENOSYS, notEmpty = ENOTEMPTY, loop = ELOOP
    public static let overflow = EOVERFLOW, notSupported = EOPNOTSUPP, noData = ENODATA, quota = EDQUOT
    public static let tooBig = E2BIG, noExec = ENOEXEC, tooManyFiles = EMFILE, notTerminal = ENOTTY, fileTooBig = EFBIG
    public static let textBusy = ETXTBSY, proto = EPROTO, connectionReset = ECONNRESET, timedOut = ETIMEDOUT,
        refused = ECONNREFUSED, range = ERANGE, restart = ERESTART
}

/// Turns a shim's result (the value or -errno) into a value or a ``SysError``.
@discardableResult
func check(_ result: Int, _ call: String, _ path: @autoclosure () -> String? = nil) throws(SysError) -> Int {
    if result >= 0 { return result }
    throw SysError(call, Int32(-result), path())
}

/// As ``check(_:_:_:)``, calling again while the result is -EINTR.
@discardableResult
func checkRetrying(
    _ call: String, _ path: @autoclosure () -> String? = nil, _ body: () -> Int
) throws(SysError) -> Int {
    while true {
        let result = body()
        if result != -Int(EINTR) { return try check(result, call, path()) }
    }
}
