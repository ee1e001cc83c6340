internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template create`
struct TemplateCreateCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Turn a VPS into a template.",
        usage: "ctr template create N --from VPS",
        discussion: """
            The VPS must be stopped. Its files become the template, but for what is personal: machine-id, ssh host \
            keys, random seeds, logs, shell history, leases, /tmp and more (the setting personal adds to them). The \
            VPS is sealed then: it can't be started any more, keeps its data and snapshots, and goes on with ctr \
            template unseal. ctr destroy removes it; the template does not need it.

            Examples:
              ctr template create web-2026 --from web
              ctr create shop --template web-2026
            """)

    @Option(help: ArgumentHelp("The VPS to turn into it.", valueName: "vps"), completion: Completions.vpsNames)
    var from: String
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The template's name.", valueName: "n"))
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let progress = ProgressLine("template create", globals)
        defer { progress.clear() }
        let template = try Seal(vps: from, template: name).run(
            on: try globals.host(), progress: TemplateVerbs.progress(progress.handle))
        progress.clear()
        try TemplateCommand.report(template, globals)
        return 0
    }
}

/// `ctr template unseal`
struct TemplateUnsealCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "unseal",
        abstract: "Turn a template back into a VPS, to update it.",
        usage: "ctr template unseal N --to VPS",
        discussion: """
            The VPS that was sealed as N goes on where it was; if it has gone, a new one is made with its configuration \
            from the template. The template stays as it is, and so do all VPSs that were made from it: an update \
            becomes another template.

            Example:
              ctr template unseal web-2026 --to web && ctr start web
              ctr template create web-2027 --from web
            """)

    @Option(help: ArgumentHelp("The VPS's name.", valueName: "vps"), completion: Completions.vpsNames)
    var to: String
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The template.", valueName: "n"), completion: Completions.templates)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let isOld = try Unseal(template: name, vps: to).run(on: try globals.host())
        if globals.json {
            try Output.json(["name": to, "template": name])
        } else if !globals.quiet {
            try Output.print(isOld ? "\(to): goes on where it was" : "\(to): made from template \(name)")
        }
        return 0
    }
}
