internal import FoundationEssentials
internal import Kernel
internal import Model
internal import Runtime

// Prints the report of `ctr host check` as JSON: check-probe ROOT STATE. It has one thread, which a test runner has not.
let words = CommandLine.arguments
do {
    let report = try HostCheck.report(on: Host(root: words[1], state: words[2]))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    try FD.standard(1).writeAll(Array(try encoder.encode(report)) + [10])
    CurrentProcess.exitNow(report.canRun ? 0 : 69)
} catch {
    try FD.standard(2).writeAll(Array("check-probe: \(error)\n".utf8))
    CurrentProcess.exitNow(1)
}
