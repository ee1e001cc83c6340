import FoundationEssentials
import Kernel
import Model
import Runtime
import Testing

/// Runs `check-probe`, the report of `ctr host check` in a process of one thread, on directories of its own; perhaps
/// under a program that takes something away from it. Nothing of it may stay on the host.
final class HostCheckFixture {
    let path: String
    var root: String { "\(path)/root" }
    var state: String { "\(path)/state" }

    private init() throws {
        path = "/tmp/ctr-check-test-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try Kernel.open("/tmp", [.directory]).makeDirectory(path, mode: 0o711)
    }

    static func with(_ body: (HostCheckFixture) throws -> Void) throws {
        let fixture = try HostCheckFixture()
        defer { try? Kernel.open("/tmp", [.directory]).removeTree(String(fixture.path.dropFirst("/tmp/".count))) }
        try body(fixture)
        #expect(try fixture.leftovers() == [], "the tries left something behind")
    }

    /// What a check may have left where it was told to look; and mounts of it anywhere.
    func leftovers() throws -> [String] {
        var all = try Kernel.open(path, [.directory]).entries().map(\.name.description)
            .filter { $0.hasPrefix(".ctr-check") }
        let mounts = String(decoding: try Kernel.open("/proc/self/mountinfo", .readOnly).readAll(), as: UTF8.self)
        all += mounts.split(separator: "\n").map(String.init).filter { $0.contains(path) }
        return all
    }

    struct Outcome {
        var status: ToolProcess.Status
        var text: String
        var report: HostReport

        /// Recorded as an issue where there is no such feature.
        func feature(_ area: String, _ name: String) throws -> HostFeature {
            try #require(report.features.first { $0.area == area && $0.name == name }, "no feature \(area): \(name)")
        }

        func status(_ area: String, _ name: String) throws -> HostFeature.Status { try feature(area, name).status }
    }

    static var probe: String {
        get throws {
            let own = try Kernel.open("/", [.directory]).readLink("/proc/self/exe").description
            return own.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/check-probe"
        }
    }

    /// The report of the host as it is.
    func check() throws -> Outcome {
        let probe = try HostCheckFixture.probe
        return try run(probe, [root, state])
    }

    /// The report under another program, which gets the words and then the probe's own: `setpriv ...`.
    func check(under program: String, _ words: [String]) throws -> Outcome {
        let probe = try HostCheckFixture.probe
        return try run(program, words + [probe, root, state])
    }

    /// The report in a mount namespace of its own, in which a shell script changed something before.
    func check(after script: String, unsharing options: [String] = ["-m"]) throws -> Outcome {
        let words = ["/bin/sh", "-ec", "\(script)\nexec \"$@\"", "sh"]
        return try check(under: "unshare", options + words)
    }

    private func run(_ program: String, _ words: [String]) throws -> Outcome {
        let (status, output) = try HostCheckFixture.execute(program, words)
        let text = String(decoding: output, as: UTF8.self)
        let report = try? JSONDecoder().decode(HostReport.self, from: Data(output))
        return Outcome(
            status: status, text: text, report: try #require(report, "\(program): \(status.text), no report: \(text)"))
    }

    /// Runs a program; its output.
    static func execute(_ program: String, _ words: [String]) throws -> (ToolProcess.Status, [UInt8]) {
        let output = SharedFD(try Kernel.open("/tmp", [.readWrite, .temporary]))
        let status = try ToolProcess(program, words, stdout: .file(output)).wait()
        try output.fd.seek(.start, 0)
        return (status, try output.fd.readAll())
    }

    static func text(_ path: String) throws -> String {
        String(decoding: try Kernel.open(path, .readOnly).readAll(), as: UTF8.self)
    }
}
