internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr export`
struct ExportCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a VPS to an archive.",
        usage: "ctr export SRC[@SNAP] FILE [--snapshots]",
        discussion: """
            The archive holds all that ctr import needs on another host: configuration, template, and what the VPS \
            has written, or had at a snapshot; with a checksum. FILE is packed as its name ends: .tar.zst, .tar.gz, \
            .tar.xz or .tar; - is standard output, packed with zstd. A FILE that exists is not replaced, and it \
            appears whole or not at all.

            A VPS that runs goes on meanwhile, and the archive has its disk as of one moment; with a directory for a \
            disk (--disk none) it stands still until the archive is written. With --snapshots they are part of it, each \
            in whole: after the import files that are alike share their blocks again where the file system can.

            Examples:
              ctr export web /backup/web.tar.zst
              ctr export web@nightly - | ssh other ctr import -
            """)

    @Flag(help: "Its snapshots too.")
    var snapshots = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The VPS.", valueName: "src[@snap]"), completion: Completions.vpsNames)
    var source: String
    @Argument(help: "The archive to write.", completion: .file())
    var file: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let path = file == "-" ? file : try Caller.absolutePath(file)
        if path == "-", Caller.isTerminal(.output) {
            throw CtrError(.usage, "export to a terminal: an archive is nothing to look at (ctr export \(source) FILE)")
        }
        let parts = source.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        try Name.validate(parts[0], kind: "VPS")
        let line = ProgressLine("export \(source)", globals)
        defer { line.clear() }
        var export = Export(source: parts[0], snapshot: parts.count > 1 ? parts[1] : nil, file: path)
        export.snapshots = snapshots
        if snapshots, export.snapshot != nil {
            throw CtrError(.usage, "export \(source) --snapshots: it is for a VPS as it is (leave @SNAP out)")
        }
        try export.run(on: try globals.host(), progress: TemplateVerbs.progress(line.handle))
        line.clear()
        if path == "-" { return 0 }
        if globals.json {
            try Output.json(["file": path, "name": source])
        } else if !globals.quiet {
            try Output.print("\(source): \(path.escaped)")
        }
        return 0
    }
}

/// `ctr import`
struct ImportCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Make a VPS of an archive that ctr export wrote.",
        usage: "ctr import FILE [--name N] [--trust]",
        discussion: """
            The VPS is stopped. Its template comes along, unless this host has the very same. An archive that is \
            damaged, cut off or hostile leaves nothing behind. - is standard input, packed with zstd.

            What would open parts of this host to it (mounts, devices, capabilities, --seccomp, --userns host, \
            --net host, --nesting) is left out and told of; --trust takes it over.

            Examples:
              ctr import /backup/web.tar.zst --name web2
              ssh other ctr export web - | ctr import -
            """)

    @Option(help: ArgumentHelp("Its name; else the one that it had.", valueName: "n"))
    var name: String?
    @Flag(help: "Take over what opens parts of this host to it.")
    var trust = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The archive.", completion: .file())
    var file: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        if let name { try Name.validate(name, kind: "VPS") }
        let path = file == "-" ? file : try Caller.absolutePath(file)
        let line = ProgressLine("import \(file)", globals)
        defer { line.clear() }
        let made: Import.Made
        do throws(CtrError) {
            made = try Import(file: path, name: name, trusted: trust).run(
                on: try globals.host(), progress: TemplateVerbs.progress(line.handle))
        } catch {
            throw CtrError(error.code, "import \(file.escaped): \(error.message)", step: error.step, errno: error.errno)
        }
        line.clear()
        if globals.json {
            try Output.json(made)
        } else if !globals.quiet {
            try Output.print(made.name)
        }
        if !made.leftOut.isEmpty {
            Output.errorLine(
                "ctr: VPS \(made.name): left out \(made.leftOut.joined(separator: ", ")) (import --trust takes them over)"
            )
        }
        return 0
    }
}
