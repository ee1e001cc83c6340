internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template list`
struct TemplateListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the templates.",
        usage: "ctr template list [-q]",
        discussion: """
            Example:
              ctr template list --json
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let list = try TemplateVerbs(host: try globals.host()).list()
        if globals.json {
            if globals.quiet { try Output.json(list.map(\.name)) } else { try Output.json(list) }
        } else if globals.quiet {
            if !list.isEmpty { try Output.print(list.map(\.name).joined(separator: "\n")) }
        } else {
            try Output.print(table(list))
        }
        return 0
    }

    private func table(_ list: [Template]) -> String {
        var table = Table([
            ("NAME", .left), ("SIZE", .right), ("ARCH", .left), ("CREATED", .left), ("DESCRIPTION", .left),
        ])
        for template in list {
            table.add([
                template.name, Size.format(template.size), template.architecture, template.created,
                template.description ?? template.source ?? "",
            ])
        }
        return table.text
    }
}
