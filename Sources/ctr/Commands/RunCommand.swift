internal import ArgumentParser
internal import Model

/// `ctr run`
struct RunCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a command in a new VPS that is removed at its end.",
        usage: "ctr run [OPTIONS] TEMPLATE [CMD ...]",
        discussion: """
            Without CMD the template's own command runs. Everything after TEMPLATE belongs to CMD. Standard input, \
            output and error pass through. Without --name the VPS gets a name of its own.

            Sizes are bytes, or a number with K, M, G or T (powers of 1024).

            Exit status: that of CMD, 128+N where signal N ended it, 127 where CMD was not found, 126 where it could \
            not be executed, and 125 for every failure of ctr itself: wrong usage, an unknown template, a host that \
            lacks something.

            Examples:
              ctr run minimal echo hello
              ctr run -t debian-12 bash
              ctr run -d --name db --memory 1G --cpus 2 -v /srv/db:/data debian-12 serve
            """)

    @OptionGroup(title: "Start") var start: StartOptions
    @OptionGroup(title: "Identity") var identity: IdentityOptions
    @OptionGroup(title: "General") var general: GeneralOptions
    @OptionGroup(title: "Resources") var resources: ResourceOptions
    @OptionGroup(title: "Disk") var disk: DiskOptions
    @OptionGroup(title: "Network") var network: NetworkOptions
    @OptionGroup(title: "System") var system: SystemOptions
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The template to make it from.", completion: Completions.templates)
    var template: String
    @Argument(parsing: .postTerminator, help: ArgumentHelp("The command and its words.", valueName: "cmd"))
    var command: [String] = []

    static func prepare(_ words: [String]) -> [String] { OptionTable.run.marking(words, optionsAfterName: false) }

    static func status(of error: CtrError) -> Int32 { ExitStatus.ofRun(error) }

    var given: Globals { global.globals }

    func request(_ globals: Globals) throws(CtrError) -> RunRequest {
        var request = RunRequest(globals: globals)
        let given =
            start.given + identity.given + general.given + resources.given + disk.given + network.given + system.given
        for (option, value) in given { try request.take(option, value) }
        request.template = template
        request.command = command
        return request
    }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try request(globals).execute()
    }
}
