internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr host`
struct HostCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "host", _superCommandName: "ctr",
        abstract: "What this host offers, and mending it after crashes.",
        usage: "ctr host check|recover",
        subcommands: [HostCheckCommand.self, HostRecoverCommand.self])
}

/// `ctr host check`
struct HostCheckCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check what this host offers, feature by feature.",
        usage: "ctr host check",
        discussion: """
            For each feature: whether it is there, why not, and what it costs to be without. Exit status 69 where \
            ctr run could not work at all.

            Example:
              ctr host check --json
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let report = try HostCheck.report(on: try globals.host())
        if globals.json {
            try Output.json(report)
        } else {
            try Output.print(text(report, all: !globals.quiet))
        }
        return report.canRun ? 0 : CtrError.Code.unavailable.exitStatus
    }

    private func text(_ report: HostReport, all: Bool) -> String {
        var table = Table("AREA", "FEATURE", "HERE", "WHY, AND WHAT IT COSTS")
        for feature in report.features where all || feature.status != .yes {
            let remarks = [feature.why, feature.cost].compactMap { $0 }.filter { !$0.isEmpty }
            table.add([feature.area, feature.name, feature.status.rawValue, remarks.joined(separator: "; ")])
        }
        return table.text + (report.canRun ? "\n\nctr run works here" : "\n\nctr run can't work here")
    }
}

/// `ctr host recover`
struct HostRecoverCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Finish or undo what crashes left.",
        usage: "ctr host recover",
        discussion: """
            Every verb does so for the VPS that it is about; this does it for all, and prints what it did.

            Example:
              ctr host recover
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let mended = try Recovery(host: try globals.host()).sweepAll()
        if globals.json {
            try Output.json(["recovered": mended])
        } else if !mended.isEmpty, !globals.quiet {
            try Output.print(mended.map(\.escaped).joined(separator: "\n"))
        }
        return 0
    }
}
