internal import Kernel
public import Model

/// What surrounds this process, for the command line, which makes no system call of its own: environment, working
/// directory, standard streams, and the end.
public enum Caller {
    /// A standard stream, by its number.
    public enum Stream: Int32, Sendable {
        case input = 0
        case output, error
    }

    /// A variable of the environment; nil also where it is empty.
    public static func environment(_ name: String) -> String? {
        guard let value = CurrentProcess.environment(name), !value.isEmpty else { return nil }
        return value
    }

    /// The absolute path of what the caller names relative to its working directory; an absolute path stays as it is.
    /// - Throws: `failed` where the working directory has been removed.
    public static func absolutePath(_ path: String) throws(CtrError) -> String {
        if path.hasPrefix("/") { return path }
        let directory = try describing("working directory", code: .failed) { () throws(SysError) in
            try CurrentProcess.workingDirectory().description
        }
        if path == "." { return directory }
        return directory == "/" ? "/\(path)" : "\(directory)/\(path)"
    }

    /// Whether a stream is a terminal. See isatty(3).
    public static func isTerminal(_ stream: Stream) -> Bool {
        guard let descriptor = try? FD.standard(stream.rawValue) else { return false }
        return descriptor.isTerminal
    }

    /// The columns of the terminal that a stream is; nil where it is none.
    public static func columns(of stream: Stream) -> Int? {
        guard let size = try? FD.standard(stream.rawValue).windowSize(), size.columns > 0 else { return nil }
        return Int(size.columns)
    }

    /// Writes all bytes, also to a pipe that another program made non-blocking.
    /// - Returns: false if nobody reads it any more (EPIPE).
    /// - Throws: `io`, for example on a full disk.
    public static func write(_ bytes: [UInt8], to stream: Stream) throws(CtrError) -> Bool {
        var failure: SysError?
        bytes.withUnsafeBytes { buffer in
            do throws(SysError) { try writeAll(buffer, to: stream) } catch { failure = error }
        }
        return try reader(of: stream, stayed: failure)
    }

    /// Writes constant text to standard output; as ``write(_:to:)`` otherwise.
    public static func write(_ text: StaticString) throws(CtrError) -> Bool {
        var failure: SysError?
        let buffer = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        do throws(SysError) { try writeAll(buffer, to: .output) } catch { failure = error }
        return try reader(of: .output, stayed: failure)
    }

    private static func reader(of stream: Stream, stayed failure: SysError?) throws(CtrError) -> Bool {
        guard let failure else { return true }
        if failure.errno == Errno.pipe { return false }
        throw CtrError(.io, stream == .output ? "standard output" : "standard error", cause: failure)
    }

    private static func writeAll(_ bytes: UnsafeRawBufferPointer, to stream: Stream) throws(SysError) {
        let descriptor = try FD.standard(stream.rawValue)
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            do throws(SysError) {
                done += try ignoringSIGPIPE { () throws(SysError) in try descriptor.write(rest) }
            } catch {
                if error.errno != Errno.again { throw error }
                var poll = Poll()
                poll.add(descriptor, .writable)
                _ = try poll.wait()
            }
        }
    }

    /// Waits.
    public static func sleep(seconds: Double) { CurrentProcess.sleep(milliseconds: Int((seconds * 1000).rounded())) }

    /// Ends this process with a status.
    public static func exit(_ status: Int32) -> Never { exitProcess(status) }
}
