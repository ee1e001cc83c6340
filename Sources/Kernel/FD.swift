internal import CLinux
internal import Glibc

/// An open file descriptor with one owner: close-on-exec, closed when it goes out of scope.
public struct FD: ~Copyable, Sendable {
    /// The number, for the kernel floor and for C libraries that take one. Never kept beyond the descriptor's life.
    package let rawValue: Int32

    /// Takes ownership of a descriptor number.
    package init(owning rawValue: Int32) { self.rawValue = rawValue }

    deinit { if rawValue >= 0 { _ = Glibc.close(rawValue) } }

    /// A second descriptor for the same open file. The corresponding call is `fcntl(2)` with F_DUPFD_CLOEXEC.
    public borrowing func duplicate(minimum: Int = 3) throws(SysError) -> FD {
        FD(owning: Int32(try check(ctr_fcntl(rawValue, Int32(CTR_F_DUPFD_CLOEXEC), minimum), "fcntl")))
    }

    /// Gives up ownership: the number stays open and the caller must see to it.
    package consuming func release() -> Int32 {
        let number = rawValue
        discard self
        return number
    }

    /// Makes this descriptor (not) survive an exec. The corresponding call is `fcntl(2)` with F_SETFD.
    public borrowing func setCloseOnExec(_ on: Bool) throws(SysError) {
        try check(ctr_fcntl(rawValue, Int32(CTR_F_SETFD), on ? Int(CTR_FD_CLOEXEC) : 0), "fcntl")
    }

    /// The path `/proc/self/fd/N`, for calls that take no descriptor.
    public var procPath: String { "/proc/self/fd/\(rawValue)" }

    /// The same for a program that this process starts and waits for.
    public var pathForOthers: String { "/proc/\(CurrentProcess.pid)/fd/\(rawValue)" }

    /// Reads at most `count` bytes; an empty result is the end of the file. The corresponding call is `read(2)`.
    public borrowing func read(upTo count: Int) throws(SysError) -> [UInt8] {
        let number = rawValue
        var failure: SysError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            do throws(SysError) {
                used = try checkRetrying("read") { ctr_ret(Glibc.read(number, buffer.baseAddress!, count)) }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Reads into a buffer; returns the number of bytes, 0 at the end of the file.
    public borrowing func read(into buffer: UnsafeMutableRawBufferPointer) throws(SysError) -> Int {
        let number = rawValue
        return try checkRetrying("read") { ctr_ret(Glibc.read(number, buffer.baseAddress, buffer.count)) }
    }

    /// Writes what the kernel takes of the bytes; returns how many. The corresponding call is `write(2)`.
    public borrowing func write(_ bytes: [UInt8]) throws(SysError) -> Int {
        let number = rawValue
        return try checkRetrying("write") {
            bytes.withUnsafeBytes { ctr_ret(Glibc.write(number, $0.baseAddress, $0.count)) }
        }
    }

    /// As ``write(_:)``, from memory of the caller's.
    public borrowing func write(_ buffer: UnsafeRawBufferPointer) throws(SysError) -> Int {
        let number = rawValue
        return try checkRetrying("write") { ctr_ret(Glibc.write(number, buffer.baseAddress, buffer.count)) }
    }

    /// Writes all bytes, in as many calls as it takes.
    public borrowing func writeAll(_ bytes: [UInt8]) throws(SysError) {
        let number = rawValue
        var failure: SysError?
        bytes.withUnsafeBytes { all in
            var rest = all[...]
            while !rest.isEmpty, failure == nil {
                do throws(SysError) {
                    let part = UnsafeRawBufferPointer(rebasing: rest)
                    let n = try checkRetrying("write") { ctr_ret(Glibc.write(number, part.baseAddress, part.count)) }
                    rest = rest.dropFirst(n)
                } catch { failure = error }
            }
        }
        if let failure { throw failure }
    }

    /// Reads to the end of the file, at most `limit` bytes; more than that is EFBIG.
    public borrowing func readAll(limit: Int = 64 << 20) throws(SysError) -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let part = try read(upTo: 65536)
            if part.isEmpty { return all }
            if all.count + part.count > limit { throw SysError("read", Errno.fileTooBig) }
            if all.isEmpty { all = part } else { all += part }
        }
    }

    /// Reads to the end of a line that is the last thing its writer has to say, without the need of an end of file.
    public borrowing func readLine(limit: Int) throws(SysError) -> [UInt8] {
        var all: [UInt8] = []
        while all.last != 10 {
            let part = try read(upTo: 65536)
            if part.isEmpty { break }
            all += part
            if all.count > limit { throw SysError("read", Errno.fileTooBig) }
        }
        return all
    }

    /// The corresponding call is `fsync(2)`.
    public borrowing func sync() throws(SysError) {
        try check(ctr_ret(Int(Glibc.fsync(rawValue))), "fsync")
    }

    /// Takes or gives up a whole-file lock. EAGAIN where `wait` is false and another holds it. See `flock(2)`.
    public borrowing func lock(_ mode: LockMode, wait: Bool) throws(SysError) {
        let number = rawValue
        try checkRetrying("flock") { ctr_flock(number, mode.rawValue | (wait ? 0 : Int32(CTR_LOCK_NB))) }
    }

    public enum LockMode: Sendable {
        case shared, exclusive, unlock
        var rawValue: Int32 {
            switch self {
            case .shared: Int32(CTR_LOCK_SH)
            case .exclusive: Int32(CTR_LOCK_EX)
            case .unlock: Int32(CTR_LOCK_UN)
            }
        }
    }

    /// Reads and writes return EAGAIN instead of waiting. The corresponding call is `fcntl(2)` with F_SETFL.
    public borrowing func setNonBlocking(_ on: Bool) throws(SysError) {
        let flags = try check(ctr_fcntl(rawValue, Int32(CTR_F_GETFL), 0), "fcntl")
        let wanted = on ? flags | Int(O_NONBLOCK) : flags & ~Int(O_NONBLOCK)
        try check(ctr_fcntl(rawValue, Int32(CTR_F_SETFL), wanted), "fcntl")
    }
}

/// A shared ``FD``, for collections and closures, which can't hold values with one owner.
public final class SharedFD: Sendable {
    public let fd: FD
    public init(_ fd: consuming FD) { self.fd = fd }
}
