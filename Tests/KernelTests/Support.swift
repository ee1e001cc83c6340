import Foundation
import Kernel
import Testing

extension Trait where Self == ConditionTrait {
    static var requiresRoot: Self { .enabled(if: getuid() == 0, "needs root") }
}

/// The errno of what an expression throws, nil for none.
func thrown(_ body: () throws -> Void) -> Int32? {
    do {
        try body()
        return nil
    } catch { return (error as? SysError)?.errno ?? -1 }
}

/// A directory of one test, gone when `body` is left.
struct Place {
    let path: String

    static func with(_ body: (Place, borrowing FD) throws -> Void) throws {
        let name = "ctr-kernel-test-" + String(UInt64.random(in: .min ... .max), radix: 16)
        try Kernel.open("/tmp", [.directory]).makeDirectory(name, mode: 0o700)
        // By another hand than the one that is tested.
        defer { try? FileManager.default.removeItem(atPath: "/tmp/\(name)") }
        try body(Place(path: "/tmp/\(name)"), try Kernel.open("/tmp/\(name)", [.directory]))
    }

    /// Runs a shell command in it; returns both outputs.
    @discardableResult
    func sh(_ command: String) throws -> String {
        let (status, output) = try run("/bin/sh", ["-c", "cd '\(path)' && { \(command)\n}"])
        #expect(status == .exited(0), "\(command): \(output)")
        return output
    }
}

func run(_ tool: String, _ arguments: [String]) throws -> (ToolProcess.Status, String) {
    var pipe: Kernel.Pipe? = try Kernel.Pipe()
    let reading = pipe!.reading
    let process = try ToolProcess(tool, arguments, stdout: .file(pipe!.writing), stderr: .file(pipe!.writing))
    // The writing end is the tool's alone, so that its end is the end of the file.
    pipe = nil
    let output = try reading.fd.readAll()
    return (try process.wait(), String(decoding: output, as: UTF8.self))
}

/// What `namespace-probe floor` prints: for what needs a process of its own.
func floor(_ words: String...) throws -> String { try floor(words) }

func floor(_ words: [String], ends wanted: ToolProcess.Status = .exited(0)) throws -> String {
    let (status, output) = try run(probe, ["floor"] + words)
    #expect(status == wanted, "\(output)")
    return output
}

/// Built beside the test bundle, or where Swift's own test helper was told to find the bundle.
private let probe: String = {
    let own = (try? Kernel.open("/", [.directory]).readLink("/proc/self/exe").description) ?? ""
    let places = [own] + CommandLine.arguments.filter { $0.contains(".build/") }
    let candidates = places.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path + "/namespace-probe" }
    return candidates.first { FileManager.default.isExecutableFile(atPath: $0) } ?? "namespace-probe: not found"
}()
