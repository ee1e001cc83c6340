internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr console`
struct ConsoleCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "console",
        abstract: "Attach to the console of a running VPS; ^] leaves.",
        usage: "ctr console NAME",
        discussion: """
            What its first process prints is shown, what you type goes to it. Several can be attached at once. The VPS \
            runs on when you leave. What was printed before is in ctr logs.

            Example:
              ctr console web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Self.attach(name, try globals.host(), globals)
    }

    static func attach(_ name: String, _ host: Host, _ globals: Globals) throws(CtrError) -> Int32 {
        if Caller.isTerminal(.input), !globals.quiet {
            Output.errorLine("ctr: console of \(name.escaped): ^] leaves")
        }
        switch try Console(name: name).run(on: host) {
        case .left: if !globals.quiet, Caller.isTerminal(.input) { Output.errorLine("\r\nctr: left the console") }
        case .closed: if !globals.quiet { Output.errorLine("\r\nctr: console of \(name.escaped): closed") }
        }
        return 0
    }
}
