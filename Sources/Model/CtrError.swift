public import Kernel

/// What went wrong, for people and for programs. The one error type above the kernel floor.
///
/// `message` reads `what failed: why (and what to do)`. Programs branch on ``code``; nobody branches on text.
public struct CtrError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. Its exit status is that of `sysexits.h` where one fits.
    public enum Code: String, Codable, Sendable {
        /// Wrong usage: unknown option, bad value.
        case usage
        /// A bad input file: archive, recipe, seccomp profile.
        case badInput
        /// An unknown VPS, template or snapshot.
        case notFound
        /// The host lacks something.
        case unavailable
        /// It exists already, or can't be created.
        case cannotCreate
        /// An I/O error of the host.
        case io
        /// Locked by another verb; try again.
        case busy
        /// A bad configuration.
        case config
        /// The command is there but can't be executed.
        case notExecutable
        /// The command is not there.
        case commandNotFound
        /// Any other failure.
        case failed

        /// The exit status of a verb that fails so.
        public var exitStatus: Int32 {
            switch self {
            case .usage: 64
            case .badInput: 65
            case .notFound: 66
            case .unavailable: 69
            case .cannotCreate: 73
            case .io: 74
            case .busy: 75
            case .config: 78
            case .notExecutable: 126
            case .commandNotFound: 127
            case .failed: 1
            }
        }
    }

    public var code: Code
    public var message: String
    /// The step that failed, where it has a name: `mount root`, `load seccomp filter`.
    public var step: String?
    /// The kernel's error number, where one is behind it.
    public var errno: Int32?

    public init(_ code: Code, _ message: String, step: String? = nil, errno: Int32? = nil) {
        self.code = code
        self.message = message
        self.step = step
        self.errno = errno
    }

    /// `what: the kernel's reason`, with the errno kept.
    public init(_ code: Code, _ what: String, step: String? = nil, cause: SysError) {
        self.init(code, "\(what): \(cause)", step: step, errno: cause.errno)
    }

    public var description: String { message }
}

/// Runs `body` and turns a kernel error into a ``CtrError`` that says what was being done.
public func describing<R: ~Copyable>(
    _ what: @autoclosure () -> String, code: CtrError.Code = .io, step: String? = nil,
    _ body: () throws(SysError) -> R
) throws(CtrError) -> R {
    do { return try body() } catch { throw CtrError(code, what(), step: step, cause: error) }
}
