internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template`
struct TemplateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "template", _superCommandName: "ctr",
        abstract: "Build, import and manage templates.",
        usage: "ctr template build|import|create|unseal|list|show|export|remove ...",
        discussion: """
            A template is a sealed root file system that VPSs share. It is never written to again.
            """,
        subcommands: [
            TemplateBuildCommand.self, TemplateImportCommand.self, TemplateCreateCommand.self,
            TemplateUnsealCommand.self, TemplateListCommand.self, TemplateShowCommand.self,
            TemplateExportCommand.self, TemplateRemoveCommand.self,
        ])

    /// Says that a template is there now.
    static func report(_ template: Template, _ globals: Globals) throws(CtrError) {
        if globals.json {
            try Output.json(template)
        } else if !globals.quiet {
            try Output.print("\(template.name): \(Size.format(template.size))")
        }
    }
}
