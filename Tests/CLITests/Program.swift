import Kernel
import Testing

/// The built program, on directories of one test's own; removed at the end.
final class Program {
    let path: String

    private init() throws {
        path = "/tmp/ctr-cli-test-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try Kernel.open("/tmp", [.directory]).makeDirectory(path, mode: 0o700)
    }

    static func with(_ body: (Program) throws -> Void) throws {
        let program = try Program()
        defer { try? Kernel.open("/tmp", [.directory]).removeTree(String(program.path.dropFirst("/tmp/".count))) }
        try body(program)
    }

    /// The program that was built with these tests.
    static var executable: String {
        get throws {
            let own = try Kernel.open("/", [.directory]).readLink("/proc/self/exe").description
            return own.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/ctr"
        }
    }

    struct Outcome {
        /// As a shell reports it.
        let status: Int32
        let out: String
        let err: String

        func expectSuccess(at location: SourceLocation = #_sourceLocation) {
            #expect(status == 0, "\(err)", sourceLocation: location)
        }
    }

    /// Writes a file below this test's directory.
    func write(_ name: String, _ text: String) throws {
        let directory = try Kernel.open(path, [.directory])
        try directory.open(name, [.writeOnly, .create, .truncate], mode: 0o644).writeAll(Array(text.utf8))
    }

    /// Runs ctr with nothing to read.
    func ctr(_ arguments: String...) throws -> Outcome {
        try run(try Program.executable, arguments)
    }

    /// Runs a shell script; `$CTR` is the program.
    func sh(_ script: String, shell: String = "/bin/bash") throws -> Outcome { try run(shell, ["-c", script]) }

    private func run(_ program: String, _ arguments: [String]) throws -> Outcome {
        let out = SharedFD(try Kernel.open("/tmp", [.readWrite, .temporary]))
        let err = SharedFD(try Kernel.open("/tmp", [.readWrite, .temporary]))
        let environment =
            ToolProcess.cleanEnvironment + [
                "CTR_ROOT=\(path)/root", "CTR_STATE=\(path)/state", "CTR_CONFIG=\(path)/none.json",
                "CTR=\(try Program.executable)", "PROBE=\(try Program.executable.dropLast(3))event-probe",
            ]
        let status = try ToolProcess(
            program, arguments, environment: environment, stdout: .file(out), stderr: .file(err)
        ).wait()
        let code: Int32 =
            switch status {
            case .exited(let code): code
            case .signaled(let signal): 128 + signal
            }
        return Outcome(status: code, out: try text(out), err: try text(err))
    }

    private func text(_ file: SharedFD) throws -> String {
        _ = try file.fd.seek(.start, 0)
        return String(decoding: try file.fd.readAll(), as: UTF8.self)
    }
}
