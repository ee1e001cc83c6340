import Foundation

/// Starts `security-probe`, which binds itself: a test runner has threads, and must not.
enum SecurityProbe {
    struct Result {
        var status: Int32
        var signaled: Bool
        var output: String
        var errors: String
        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    /// Built beside the test bundle.
    static let path: String = {
        let executable = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = URL(fileURLWithPath: executable).deletingLastPathComponent().path + "/security-probe"
        if FileManager.default.isExecutableFile(atPath: beside) { return beside }
        // Swift's own test helper runs the bundle: the build directory is then that of the first argument that names it.
        let bundle = CommandLine.arguments.first { $0.contains(".build/") } ?? ""
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().path + "/security-probe"
    }()

    static func run(_ arguments: [String]) throws -> Result {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: "/")
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let errorText = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Result(
            status: process.terminationStatus, signaled: process.terminationReason == .uncaughtSignal,
            output: String(decoding: text, as: UTF8.self), errors: String(decoding: errorText, as: UTF8.self))
    }

    /// The five capability sets and what else /proc/self/status says of a program started so.
    static func status(_ options: [String]) throws -> [String: String] {
        let result = try run(["run"] + options + ["--", "cat", "/proc/self/status"])
        var fields: [String: String] = [:]
        for line in result.lines {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { fields[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces) }
        }
        if fields.isEmpty { throw Failure(text: result.errors) }
        return fields
    }

    struct Failure: Error { var text: String }
}
