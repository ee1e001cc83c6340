internal import ArgumentParser
internal import Model

/// `ctr exec`
struct ExecCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a command inside a VPS.",
        usage: "ctr exec NAME [-t] [-u USER] [-w DIR] [-e K=V] [--offline] [--] CMD ...",
        discussion: """
            The command has the VPS's namespaces, limits, capabilities and system call filter. Options stand before \
            or after NAME; the -- is needed only where CMD begins with a dash. While the VPS's memory is being written down \
            (suspend, hibernate, snapshot create --memory) it waits, ten seconds at most.

            --offline is for a VPS that is stopped: the command runs on its disk, alone, with its limits, and the VPS \
            is stopped again afterwards.

            Exit status: that of CMD, 128+N where signal N ended it, 127 where CMD was not found, 126 where it could \
            not be executed, and 125 for every failure of ctr itself: wrong usage, a VPS that does not run.

            Examples:
              ctr exec web ps
              ctr exec web -t -u www-data -w /srv -- sh -l
            """)

    @OptionGroup(title: "Start") var options: ExecOptions
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String
    @Argument(parsing: .postTerminator, help: ArgumentHelp("The command and its words.", valueName: "cmd"))
    var command: [String] = []

    static func prepare(_ words: [String]) -> [String] { OptionTable.exec.marking(words, optionsAfterName: true) }

    static func status(of error: CtrError) -> Int32 { ExitStatus.ofRun(error) }

    var given: Globals { global.globals }

    func request(_ globals: Globals) throws(CtrError) -> ExecRequest {
        if command.isEmpty { throw CtrError(.usage, "exec: no command given (ctr exec --help shows the usage)") }
        var request = try options.request(globals)
        request.name = name
        request.command = command
        return request
    }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 { try request(globals).execute() }
}

/// The options of `exec`; text, as those of `run` are.
struct ExecOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Give the command a terminal.")
    var terminal = false
    @Flag(name: .shortAndLong, help: "Does nothing: standard input always passes through.")
    var interactive = false
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Who it runs as: names or numbers of the VPS's own.", valueName: "user[:group]"))
    var user: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("Where it starts.", valueName: "dir"))
    var workdir: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("A variable of its environment (repeat).", valueName: "k=v"))
    var env: [String] = []
    @Flag(help: "On the disk of a VPS that is stopped.")
    var offline = false

    func request(_ globals: Globals) throws(CtrError) -> ExecRequest {
        var request = ExecRequest(globals: globals)
        request.terminal = terminal
        request.offline = offline
        if let user { try request.take("--user", user) }
        if let workdir { try request.take("--workdir", workdir) }
        for value in env { try request.take("--env", value) }
        return request
    }
}
