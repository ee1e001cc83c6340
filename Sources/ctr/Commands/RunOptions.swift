internal import ArgumentParser

/// How `run` starts it: what `create` and `set` do not have.
struct StartOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Its name: 1 to 63 of a-z, 0-9, '.', '_', '-'.", valueName: "name"))
    var name: String?
    @Flag(name: .shortAndLong, help: "Return when the command runs, and print the name; output goes to the log.")
    var detach = false
    @Flag(name: .shortAndLong, help: "Give the command a terminal.")
    var terminal = false
    @Flag(name: .shortAndLong, help: "Does nothing: standard input always passes through.")
    var interactive = false
    @Flag(help: "Keep the VPS and its disk when the command ends.")
    var keep = false
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Who the command runs as: names or numbers of the VPS's own.", valueName: "user[:group]"))
    var user: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("Where the command starts.", valueName: "dir"))
    var workdir: String?

    var given: [GivenOption] {
        option("--name", name) + option("--detach", detach) + option("--terminal", terminal)
            + option("--keep", keep) + option("--user", user) + option("--workdir", workdir)
    }
}
