internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr stop`
struct StopCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "Ask VPSs to halt, then kill what has not.",
        usage: "ctr stop NAME...|--all [--timeout S]",
        discussion: """
            An ephemeral VPS is gone afterwards. Stopping what is stopped succeeds. Several are stopped at once. A \
            paused one goes on to halt in order.

            Example:
              ctr stop web db --timeout 30
            """)

    static let patience = 10

    @Option(help: ArgumentHelp("Seconds between asking and killing.", valueName: "s"))
    var timeout = patience
    @Flag(help: "Every VPS that runs.")
    var all = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String] = []

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        // The most that poll(2) can wait, in whole seconds.
        guard (0...2_147_483).contains(timeout) else {
            throw CtrError(.usage, "--timeout \(timeout): out of range (0 to 2147483 seconds)")
        }
        let host = try globals.host()
        if all == !names.isEmpty { throw CtrError(.usage, "stop: name the VPSs, or give --all") }
        let wanted = all ? try VPSList.all(on: host).filter { $0.status != .stopped }.map(\.name) : names
        let each = EachName(
            names: wanted, globals: globals, words: ["stop", "--timeout", "\(timeout)"], width: EachName.waiting)
        return try each.run { (name) throws(CtrError) in
            try Stop(name: name, timeout: timeout).run(on: host) ? .done : .unchanged("is stopped already")
        }
    }
}
