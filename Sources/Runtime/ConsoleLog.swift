internal import Kernel

/// What a VPS printed: `log/console.log`, bounded; the part before it is `console.log.1`.
final class ConsoleLog {
    static let name = "console.log"
    private let directory: SharedFD
    private var file: SharedFD
    private var size: Int64
    private let limit: Int64

    /// - Parameter limit: bytes of one of the two files.
    init(in directory: SharedFD, limit: Int64 = 4 << 20) throws(SysError) {
        self.directory = directory
        self.limit = limit
        file = try ConsoleLog.open(in: directory)
        size = try file.fd.status().size
    }

    func append(_ bytes: [UInt8]) {
        do throws(SysError) {
            if size + Int64(bytes.count) > limit, size > 0 { try rotate() }
            try file.fd.writeAll(bytes)
            size += Int64(bytes.count)
        } catch {
            // A full disk, or a log that somebody removed, loses output; it must not end the supervisor.
        }
    }

    private func rotate() throws(SysError) {
        do throws(SysError) {
            try directory.fd.rename(ConsoleLog.name, to: directory.fd, ConsoleLog.name + ".1")
        } catch  where error.errno == Errno.noEntry {}
        file = try ConsoleLog.open(in: directory)
        size = 0
    }

    private static func open(in directory: SharedFD) throws(SysError) -> SharedFD {
        SharedFD(try directory.fd.open(name, [.create, .append, .writeOnly, .noFollow], mode: 0o600))
    }
}
