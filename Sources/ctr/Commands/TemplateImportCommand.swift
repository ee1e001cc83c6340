internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr template import`
struct TemplateImportCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Make a template from an archive, a directory or an OCI image.",
        usage: "ctr template import FILE|DIR --name N",
        discussion: """
            Takes a tar (plain, gz, xz or zst), a directory, and an OCI image as a layout directory or an archive, \
            as skopeo and podman write them. A bad archive is refused, and leaves nothing behind. The template \
            appears whole or not at all.

            Examples:
              ctr template import rootfs.tar.xz --name web
              skopeo copy docker://docker.io/library/nginx:latest oci-archive:nginx.tar
              ctr template import nginx.tar --name nginx
            """)

    @Option(help: ArgumentHelp("The template's name.", valueName: "n"))
    var name: String
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("What to import.", valueName: "file|dir"), completion: .file())
    var source: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let path = try Caller.absolutePath(source)
        let progress = ProgressLine("import", globals)
        defer { progress.clear() }
        let template = try TemplateVerbs(host: try globals.host()).importing(
            from: path, name: name, progress: TemplateVerbs.progress(progress.handle))
        progress.clear()
        try TemplateCommand.report(template, globals)
        return 0
    }
}
