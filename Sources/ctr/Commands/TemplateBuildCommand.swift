internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template build`
struct TemplateBuildCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Build a template from a recipe.",
        usage: "ctr template build DIR [--name N]",
        discussion: """
            DIR holds the recipe and the files that it lays over. The template appears whole or not at all.

            Example:
              ctr template build rootfs-templates/minimal
            """)

    @Option(help: ArgumentHelp("The template's name; else the recipe's.", valueName: "n"))
    var name: String?
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The recipe's directory.", valueName: "dir"), completion: .directory)
    var directory: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let path = try Caller.absolutePath(directory)
        let progress = ProgressLine("build", globals)
        defer { progress.clear() }
        let template = try TemplateVerbs(host: try globals.host()).build(
            directory: path, name: name, progress: TemplateVerbs.progress(progress.handle))
        progress.clear()
        try TemplateCommand.report(template, globals)
        return 0
    }
}
