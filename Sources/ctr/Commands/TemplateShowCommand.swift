internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template show`
struct TemplateShowCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show a template and its defaults.",
        usage: "ctr template show N",
        discussion: """
            Example:
              ctr template show minimal
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The template.", valueName: "n"), completion: Completions.templates)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let template = try TemplateVerbs(host: try globals.host()).show(name)
        if globals.json { try Output.json(template) } else { try Output.print(Table.facts(facts(template))) }
        return 0
    }

    private func facts(_ template: Template) -> [(String, String?)] {
        func words(_ list: [String]?) -> String? { list.map { $0.joined(separator: " ") } }
        let labels = (template.labels ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return [
            ("name", template.name), ("description", template.description), ("created", template.created),
            ("architecture", template.architecture), ("size", Size.format(template.size)),
            ("source", template.source), ("digest", template.digest), ("layers", "\(template.layers.count)"),
            ("entrypoint", words(template.entrypoint)), ("command", words(template.command)),
            ("init", words(template.initCommand)), ("stop signal", template.stopSignal),
            ("ready", template.ready?.rawValue),
            ("environment", template.env.isEmpty ? nil : template.env.joined(separator: ", ")),
            ("user", template.user), ("workdir", template.workdir),
            ("labels", labels.isEmpty ? nil : labels.joined(separator: ", ")),
        ]
    }
}
