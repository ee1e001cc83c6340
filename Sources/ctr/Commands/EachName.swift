internal import Model

/// Verbs that take several names: each is done, whatever happens to the others, and reported.
enum EachName {
    /// Prints the names that were done; failures go to standard error as they come.
    /// - Returns: the highest exit status of all.
    static func run(_ names: [String], _ globals: Globals, _ body: (String) throws(CtrError) -> Void)
        throws(CtrError) -> Int32
    {
        var report = Report(done: [], failed: [])
        var status: Int32 = 0
        for name in names {
            do throws(CtrError) {
                try body(name)
                report.done.append(name)
                if !globals.json, !globals.quiet { try Output.print(name.escaped) }
            } catch {
                status = max(status, Failure.report(error, globals))
                report.failed.append(name)
            }
        }
        if globals.json { try Output.json(report) }
        return status
    }

    private struct Report: Encodable {
        var done: [String]
        var failed: [String]
    }
}
