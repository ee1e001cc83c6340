import Kernel
import Testing

/// A terminal made by the test, with a shell script as the session on it.
final class Pty {
    private let master: SharedFD
    /// Held, so that the master can be read while nobody else has the terminal open.
    private let peer: SharedFD
    let program: RunningProgram
    private var bytes: [UInt8] = []

    /// All that was printed.
    var seen: String { String(decoding: bytes, as: UTF8.self) }

    /// Starts `script` with this terminal as its controlling one.
    init(_ f: Fixture, _ script: String, rows: UInt16 = 24, columns: UInt16 = 80) throws {
        master = SharedFD(try Kernel.open("/dev/ptmx", [.readWrite, .noControllingTerminal]))
        peer = SharedFD(try master.fd.openTerminalPeer())
        try master.fd.setWindowSize(WindowSize(rows: rows, columns: columns))
        try master.fd.setNonBlocking(true)
        program = try RunningProgram(
            "/usr/bin/setsid", ["--ctty", "/bin/bash", "-c", "cd '\(f.path)'\n\(script)"], environment: f.environment,
            stdin: .file(peer), stdout: .file(peer), stderr: .file(peer), base: "\(f.path)/.pty")
    }

    /// Types keys.
    func type(_ text: String) throws { try master.fd.writeAll(Array(text.utf8)) }

    func resize(rows: UInt16, columns: UInt16) throws {
        try master.fd.setWindowSize(WindowSize(rows: rows, columns: columns))
    }

    /// Reads until these words have been printed, `times` times.
    func expect(
        _ words: String, times: Int = 1, _ seconds: Int = 20, at location: SourceLocation = #_sourceLocation
    ) throws {
        let came = try until(seconds) {
            try read()
            return seen.split(separator: words, omittingEmptySubsequences: false).count > times
        }
        try #require(came, "no '\(words)' on the terminal, but: \(seen)", sourceLocation: location)
    }

    /// Reads on until the script has ended.
    @discardableResult
    func finish(_ seconds: Int = 30, at location: SourceLocation = #_sourceLocation) throws -> Int32? {
        try until(seconds) {
            try read()
            return program.hasEnded
        }
        let outcome = try program.wait(1, at: location)
        try read()
        if outcome.status == nil { Issue.record("the terminal showed: \(seen)", sourceLocation: location) }
        return outcome.status
    }

    private func read() throws {
        while let part = try? master.fd.read(upTo: 65536), !part.isEmpty { bytes += part }
    }
}
