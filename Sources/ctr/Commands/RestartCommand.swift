internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr restart`
struct RestartCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "restart",
        abstract: "Stop VPSs and start them again.",
        usage: "ctr restart NAME... [--timeout S]",
        discussion: """
            As stop and start, with no other verb between. One that is stopped is started.

            Example:
              ctr restart web
            """)

    @Option(help: ArgumentHelp("Seconds between asking init to halt and killing.", valueName: "s"))
    var timeout = 10
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String]

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        guard (0...2_147_483).contains(timeout) else {
            throw CtrError(.usage, "--timeout \(timeout): out of range (0 to 2147483 seconds)")
        }
        let host = try globals.host()
        let each = EachName(
            names: names, globals: globals, words: ["restart", "--timeout", "\(timeout)"], width: EachName.waiting)
        return try each.run { (name) throws(CtrError) in
            try Restart(name: name, timeout: timeout).run(on: host)
            return .done
        }
    }
}
