internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template export`
struct TemplateExportCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a template to an archive.",
        usage: "ctr template export N FILE",
        discussion: """
            The archive imports again with its defaults, here or on another host. It appears whole or not at all; a \
            FILE that exists is not replaced.

            Example:
              ctr template export web /srv/web.tar.gz
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The template.", valueName: "n"), completion: Completions.templates)
    var name: String
    @Argument(help: "The archive to write.", completion: .file())
    var file: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let path = try Caller.absolutePath(file)
        let progress = ProgressLine("export", globals)
        defer { progress.clear() }
        try TemplateVerbs(host: try globals.host()).export(
            name, to: path, progress: TemplateVerbs.progress(progress.handle))
        progress.clear()
        if globals.json {
            try Output.json(["file": path, "name": name])
        } else if !globals.quiet {
            try Output.print("\(name): \(path.escaped)")
        }
        return 0
    }
}
