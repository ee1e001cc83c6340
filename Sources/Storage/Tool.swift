internal import Kernel
internal import Model

/// An external program that Storage runs: its complaints are caught and become part of the error.
struct Tool: ~Copyable {
    private let process: ToolProcess
    private let name: String
    private let complaints: SharedFD

    /// Throws `unavailable`, naming the Debian package, where the host lacks a program.
    static func require(_ name: String, package: String) throws(CtrError) {
        if ToolProcess.find(name) == nil {
            throw CtrError(.unavailable, "\(name): not on this host (install the package \(package))")
        }
    }

    /// Starts a program.
    /// - Parameter scratch: a directory whose file system takes the program's stderr, in a file without a name.
    init(
        _ name: String, package: String, _ arguments: [String], environment: [String] = ToolProcess.cleanEnvironment,
        stdin: ToolProcess.Stream = .null, stdout: ToolProcess.Stream = .null, scratch: SharedFD
    ) throws(CtrError) {
        try Tool.require(name, package: package)
        let output = SharedFD(
            try describing("start \(name)") { () throws(SysError) in
                try scratch.fd.open(".", [.readWrite, .temporary], mode: 0o600)
            })
        let started = try describing("start \(name)") { () throws(SysError) in
            try ToolProcess(
                name, arguments, environment: environment, stdin: stdin, stdout: stdout, stderr: .file(output))
        }
        self.name = name
        complaints = output
        process = started
    }

    /// Starts a program whose stdout is read through the returned descriptor.
    static func reading(
        _ name: String, package: String, _ arguments: [String], environment: [String] = ToolProcess.cleanEnvironment,
        stdin: ToolProcess.Stream = .null, scratch: SharedFD, output: inout SharedFD?
    ) throws(CtrError) -> Tool {
        let pipe = try describing("start \(name)") { () throws(SysError) in try Pipe() }
        output = pipe.reading
        // The pipe's writing end is dropped with this scope: the program alone holds it.
        return try Tool(
            name, package: package, arguments, environment: environment, stdin: stdin, stdout: .file(pipe.writing),
            scratch: scratch)
    }

    /// Starts a program whose stdin is written through the returned descriptor, until that is closed.
    static func writing(
        _ name: String, package: String, _ arguments: [String], stdout: ToolProcess.Stream, scratch: SharedFD,
        input: inout SharedFD?
    ) throws(CtrError) -> Tool {
        let pipe = try describing("start \(name)") { () throws(SysError) in try Pipe() }
        input = pipe.writing
        return try Tool(
            name, package: package, arguments, stdin: .file(pipe.reading), stdout: stdout, scratch: scratch)
    }

    /// Asks it to end, and waits until it has removed what it made. The caller has closed its end of any pipe.
    consuming func stop() { _ = try? process.stop() }

    /// Waits for its end. Throws `code` with the last line of its complaints unless it ended with status 0.
    consuming func finish(_ code: CtrError.Code) throws(CtrError) {
        let (name, complaints) = (name, complaints)
        let status: ToolProcess.Status
        do { status = try process.wait() } catch { throw CtrError(.io, "wait for \(name)", cause: error) }
        if status.succeeded { return }
        let words = Tool.lastWords(complaints)
        throw CtrError(code, "\(name) failed (\(status.text))" + (words.isEmpty ? "" : ": \(words)"))
    }

    /// The last lines of what the program wrote, at most 600 bytes, safe for a terminal.
    private static func lastWords(_ file: SharedFD) -> String {
        guard let size = try? file.fd.seek(.end, 0), (try? file.fd.seek(.start, max(0, size - 600))) != nil,
            let tail = try? file.fd.read(upTo: 600)
        else { return "" }
        let lines = tail.split { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }.suffix(3)
        return lines.map { String(decoding: $0, as: UTF8.self).escaped }.joined(separator: "; ")
    }
}
