internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr events`
struct EventsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Print what has happened to VPSs.",
        usage: "ctr events [-f] [--since TIME|DURATION] [NAME...]",
        discussion: """
            Each line has the time, the VPS, the event and its details; with --json it is an object. The log is of a \
            bounded size (8 MiB): what is oldest goes.

            Events: \(EventLog.Kind.allCases.map(\.rawValue).joined(separator: ", ")).

            Examples:
              ctr events --since 1h30m web
              ctr events -f --json
            """)

    @Flag(name: .shortAndLong, help: "Go on with what happens from now on.")
    var follow = false
    @Option(
        help: ArgumentHelp(
            "Only what happened since: 2026-11-23T05:14:52Z, 2026-11-23, 90s, 15m, 1h30m, 2d.",
            valueName: "time|duration"))
    var since: String?
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "Only these VPSs.", completion: Completions.vpsNames)
    var names: [String] = []

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let since = try since.map { (text) throws(CtrError) in
            try TimeText.since(text, option: "--since", now: Events.now)
        }
        try Events(names: names, since: since, follow: follow).run(on: try globals.host()) {
            (event) throws(CtrError) in
            try Output.print(globals.json ? JSONOutput.text(event, pretty: false) : Self.line(event))
        }
        // Who follows goes on as long as somebody reads.
        return follow ? ExitStatus.outputClosed : 0
    }

    private static func line(_ event: EventRecord) -> String {
        func padded(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        let detail = event.detail.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.description)" }
        let columns = [event.time, padded(event.vps, 16), padded(event.event, 14)] + detail
        let text = columns.joined(separator: "  ").escaped
        return String(text.reversed().drop { $0 == " " }.reversed())
    }
}
