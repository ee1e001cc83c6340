internal import Glibc

/// A file name or path as the kernel has it: bytes without NUL, not necessarily UTF-8.
public struct Path: Sendable, Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The bytes, without the final NUL.
    public let bytes: [UInt8]

    public init(_ string: String) { bytes = Array(string.utf8) }
    public init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
    public init(stringLiteral value: String) { self.init(value) }

    /// The path as text; bytes that are not UTF-8 show as U+FFFD.
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

/// What can name a file: `String`, or ``Path`` where bytes matter.
public protocol PathConvertible {
    /// Calls `body` with the NUL-terminated bytes. Throws EINVAL for a NUL inside: the kernel would cut the path there.
    func withCPath<R>(_ body: (UnsafePointer<CChar>) throws(SysError) -> R) throws(SysError) -> R
    /// For messages.
    var description: String { get }
}

extension String: PathConvertible {
    public func withCPath<R>(_ body: (UnsafePointer<CChar>) throws(SysError) -> R) throws(SysError) -> R {
        if utf8.contains(0) { throw SysError("path", Errno.invalid, self) }
        var result: Result<R, SysError>?
        withCString { pointer in
            do throws(SysError) { result = .success(try body(pointer)) } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}

extension Path: PathConvertible {
    public func withCPath<R>(_ body: (UnsafePointer<CChar>) throws(SysError) -> R) throws(SysError) -> R {
        if bytes.contains(0) { throw SysError("path", Errno.invalid, description) }
        var result: Result<R, SysError>?
        (bytes + [0]).withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { chars in
                do throws(SysError) { result = .success(try body(chars.baseAddress!)) } catch {
                    result = .failure(error)
                }
            }
        }
        return try result!.get()
    }
}
