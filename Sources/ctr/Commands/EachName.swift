internal import FoundationEssentials
internal import Model
internal import Runtime

/// Verbs that take several names: each is done, all at once, whatever happens to the others, and reported.
struct EachName {
    let names: [String]
    let globals: Globals
    /// The verb and its options, as for each name alone.
    let words: [String]
    /// How many at a time.
    var width = 8

    /// Those that mostly wait for what a guest does in its own time.
    static let waiting = 64

    /// What came of one name.
    enum Outcome {
        case done
        /// It was so already: `is running already`.
        case unchanged(String)
    }

    /// Prints the names that were done; failures go to standard error as they come.
    /// - Returns: the highest exit status of all.
    func run(_ body: (String) throws(CtrError) -> Outcome) throws(CtrError) -> Int32 {
        var report = Report()
        let status: Int32
        if names.count == 1 {
            status = try one(names[0], &report, body)
        } else {
            status = try all(&report)
        }
        if globals.json { try Output.json(report) }
        return status
    }

    private func one(
        _ name: String, _ report: inout Report, _ body: (String) throws(CtrError) -> Outcome
    ) throws(CtrError) -> Int32 {
        do throws(CtrError) {
            switch try body(name) {
            case .done: report.done.append(name)
            case .unchanged(let words):
                report.unchanged.append(name)
                if !globals.json, !globals.quiet { Output.errorLine("ctr: VPS \(name.escaped): \(words)") }
            }
            if !globals.json, !globals.quiet { try Output.print(name.escaped) }
            return 0
        } catch {
            report.failed.append(name)
            return Failure.report(error, globals)
        }
    }

    private func all(_ report: inout Report) throws(CtrError) -> Int32 {
        var status: Int32 = 0
        var merged = report
        let commands = names.map { (name) -> [String] in globals.words + words + [name] }
        try ParallelVerbs.run(commands, width: width) { (index, result) throws(CtrError) in
            status = max(status, result.status)
            if !globals.json { return try Output.write(result.output) }
            if let part = try? JSONDecoder().decode(Report.self, from: Data(result.output)) {
                merged.done += part.done
                merged.unchanged += part.unchanged
                merged.failed += part.failed
            } else {
                merged.failed.append(names[index])
            }
        }
        report = merged
        return status
    }

    private struct Report: Codable {
        var done: [String] = []
        var unchanged: [String] = []
        var failed: [String] = []
    }
}
