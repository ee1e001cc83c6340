internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr kill`
struct KillCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "kill",
        abstract: "Send a signal to the first process of VPSs; KILL ends all of a VPS at once.",
        usage: "ctr kill NAME [SIGNAL], ctr kill [--signal SIGNAL] NAME...",
        discussion: """
            SIGNAL is a name or a number (TERM, SIGTERM, 15, SIGRTMIN+3); KILL where none is given. A last word that \
            is a signal is taken as one; with --signal all words are names.

            Examples:
              ctr kill web HUP
              ctr kill --signal USR1 web db
            """)

    @Option(help: ArgumentHelp("The signal.", valueName: "signal"))
    var signal: String?
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The VPSs, and the signal.", valueName: "name"), completion: Completions.vpsNames)
    var words: [String]

    var given: Globals { global.globals }

    /// The names and the signal's number.
    func meaning() throws(CtrError) -> (names: [String], signal: Int32) {
        if let signal { return (words, try SignalName.parse(signal, option: "--signal")) }
        guard words.count > 1, let last = words.last else { return (words, 9) }
        if let number = try? SignalName.parse(last, option: "") { return (words.dropLast(), number) }
        // Names are never written with capitals, so this was meant as a signal.
        if last.contains(where: \.isUppercase) { _ = try SignalName.parse(last, option: "signal") }
        return (words, 9)
    }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let (names, signal) = try meaning()
        let host = try globals.host()
        let each = EachName(names: names, globals: globals, words: ["kill", "--signal", "\(signal)"])
        return try each.run { (name) throws(CtrError) in
            try Kill(name: name, signal: signal).run(on: host)
            return .done
        }
    }
}
