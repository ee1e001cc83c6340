internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template remove`
struct TemplateRemoveCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "remove",
        abstract: "Remove a template that no VPS uses.",
        usage: "ctr template remove N",
        discussion: """
            One in use is refused, naming the VPSs.

            Example:
              ctr template remove web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The template.", valueName: "n"), completion: Completions.templates)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try TemplateVerbs(host: try globals.host()).remove(name)
        if globals.json {
            try Output.json(["removed": name])
        } else if !globals.quiet {
            try Output.print(name)
        }
        return 0
    }
}
