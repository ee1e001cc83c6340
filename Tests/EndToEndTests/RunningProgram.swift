import Glibc
import Kernel
import Testing

/// How a program ended and what it printed.
struct Outcome {
    /// As a shell reports it: the exit status, or 128 + the signal; nil is a hang.
    let status: Int32?
    let out: String
    let err: String

    var both: String { out + err }
    /// Standard output without white space at its end.
    var line: String {
        var text = Substring(out)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return String(text)
    }
    var lines: [String] { out.split(whereSeparator: \.isNewline).map(String.init) }

    /// Expects status 0; returns itself.
    @discardableResult
    func succeeds(at location: SourceLocation = #_sourceLocation) throws -> Outcome {
        try #require(status == 0, "status \(status ?? -1), out: \(out), err: \(err)", sourceLocation: location)
        return self
    }

    /// Expects this status, one message `ctr: ...` of one line on standard error with these words, and no Swift trap.
    func fails(_ wanted: Int32..., words: String..., at location: SourceLocation = #_sourceLocation) {
        #expect(
            status.map { wanted.contains($0) } == true, "status \(status ?? -1), out: \(out), err: \(err)",
            sourceLocation: location)
        #expect(err.hasPrefix("ctr: "), "err: \(err)", sourceLocation: location)
        #expect(!err.contains("Fatal error"), "err: \(err)", sourceLocation: location)
        for word in words {
            #expect(err.lowercased().contains(word.lowercased()), "err: \(err)", sourceLocation: location)
        }
    }
}

/// A program that a test has started. It is killed when the value goes.
final class RunningProgram {
    let pid: Int32
    private var tool: ToolProcess?
    private let handle: ProcessHandle
    private let base: String

    /// - Parameters:
    ///   - base: its output goes to `base.out` and `base.err`.
    ///   - input: a file, nil for /dev/null.
    convenience init(
        _ program: String, _ arguments: [String], environment: [String], base: String, input: String?
    ) throws {
        let streams = try [".out", ".err"].map {
            SharedFD(try Kernel.open(base + $0, [.writeOnly, .create, .truncate, .append], mode: 0o600))
        }
        let stdin = try input.map { ToolProcess.Stream.file(SharedFD(try Kernel.open($0, [.readOnly]))) } ?? .null
        try self.init(
            program, arguments, environment: environment, stdin: stdin, stdout: .file(streams[0]),
            stderr: .file(streams[1]), base: base)
    }

    init(
        _ program: String, _ arguments: [String], environment: [String], stdin: ToolProcess.Stream,
        stdout: ToolProcess.Stream, stderr: ToolProcess.Stream, base: String
    ) throws {
        let started = try ToolProcess(
            program, arguments, environment: environment, stdin: stdin, stdout: stdout, stderr: stderr)
        pid = started.pid
        handle = try ProcessHandle(pid: started.pid)
        tool = consume started
        self.base = base
    }

    /// What it has printed by now.
    var out: String { read(".out") }
    var err: String { read(".err") }

    private func read(_ suffix: String) -> String {
        guard let bytes = try? Kernel.open(base + suffix, [.readOnly]).readAll() else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    func signal(_ number: Int32) throws { try handle.signal(number) }

    /// Waits until it has printed these words.
    func awaitOutput(_ words: String, _ seconds: Int = 20, at location: SourceLocation = #_sourceLocation) throws {
        let came = until(seconds) { out.contains(words) }
        try #require(came, "no '\(words)' in out: \(out), err: \(err)", sourceLocation: location)
    }

    var hasEnded: Bool {
        var poll = Poll()
        poll.add(handle.pidfd, .readable)
        return (try? poll.wait(milliseconds: 0))?[0].contains(.readable) == true
    }

    /// Waits for its end; after `seconds` it is killed and the test has failed.
    @discardableResult
    func wait(_ seconds: Int = 30, at location: SourceLocation = #_sourceLocation) throws -> Outcome {
        var poll = Poll()
        poll.add(handle.pidfd, .readable)
        if try poll.wait(milliseconds: Int32(seconds) * 1000)[0].isEmpty {
            Issue.record("still running after \(seconds) s; out: \(out), err: \(err)", sourceLocation: location)
            tool = nil
            return Outcome(status: nil, out: out, err: err)
        }
        guard let tool = tool.take() else { return Outcome(status: nil, out: out, err: err) }
        let status: Int32 =
            switch try tool.wait() {
            case .exited(let code): code
            case .signaled(let signal): 128 + signal
            }
        return Outcome(status: status, out: out, err: err)
    }
}
