internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr stats`
struct StatsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Show what running VPSs use, against their limits, and how often those were met.",
        usage: "ctr stats [NAME ...] [--net] [-f [--interval S]]",
        discussion: """
            All running ones where none is named. HITS counts how often a limit was met: memory that could not grow \
            before something was reclaimed, swap that was full, a fork that failed, a period in which the quota of \
            processor time was used up. "Waited for" is the share of time in which some, or all, processes were held \
            up for want of processor time, memory or disk. --json has every detail; with -f one document a line.

            Examples:
              ctr stats web
              ctr stats --net
              ctr stats -f --interval 10 --json web db
            """)

    @Flag(name: .shortAndLong, help: "Print again each interval, with rates, until no VPS runs any more.")
    var follow = false
    @Flag(help: "What went over their networks.")
    var net = false
    @Option(help: ArgumentHelp("Seconds from one reading to the next, with -f (2).", valueName: "s"))
    var interval: Double?
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String] = []

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        if interval != nil, !follow { throw CtrError(.usage, "--interval: only with --follow") }
        let pause = try Self.check(interval ?? 2, option: "--interval")
        var stats = try Stats(names, on: try globals.host())
        while true {
            let reading = try stats.read()
            try print(reading, globals)
            if !follow || !reading.isAnyRunning { return 0 }
            Caller.sleep(seconds: pause)
        }
    }

    private func print(_ reading: StatsReading, _ globals: Globals) throws(CtrError) {
        if globals.json {
            try Output.print(JSONOutput.text(reading, pretty: !follow))
        } else if reading.vps.isEmpty {
            if !globals.quiet { Output.errorLine("ctr: no VPS is running") }
        } else {
            try Output.print((net ? NetworkText.text(reading) : StatsText.text(reading)) + (follow ? "\n" : ""))
        }
    }

    /// - Throws: `usage` for an interval that makes no sense.
    static func check(_ seconds: Double, option: String) throws(CtrError) -> Double {
        guard seconds >= 0.1, seconds <= 86_400 else {
            throw CtrError(.usage, "\(option) \(seconds): not from 0.1 to 86400 seconds")
        }
        return seconds
    }
}
