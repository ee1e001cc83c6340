internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr enter`
struct EnterCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "enter",
        abstract: "Open a login shell in a running VPS.",
        usage: "ctr enter NAME",
        discussion: """
            Runs /bin/sh -l of the VPS as its root, with a terminal where standard input is one. The exit status is \
            the shell's; 125 where ctr failed.

            Example:
              ctr enter web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    static func status(of error: CtrError) -> Int32 { ExitStatus.ofRun(error) }

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        var request = ExecRequest(globals: globals)
        request.name = name
        request.command = ["/bin/sh", "-l"]
        request.terminal = Caller.isTerminal(.input)
        try request.take("--user", "root")
        return try request.execute()
    }
}
