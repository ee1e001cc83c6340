internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr clone`
struct CloneCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "clone",
        abstract: "Make a VPS with the data of another.",
        usage: "ctr clone SRC[@SNAP] DST [--full] [OPTIONS]",
        discussion: """
            Of a VPS that is stopped or runs, or of one of its snapshots. The clone is stopped, independent of its \
            source, and has its configuration, but for its name, hostname and ids, --protect and --onboot; the \
            options change more.

            Where the host's file system shares blocks (btrfs, xfs) it takes a moment; elsewhere, and with --full, \
            every file is copied. One that runs with a directory for a disk (--disk none) stands still meanwhile.

            Examples:
              ctr clone web web2 --memory 2G
              ctr clone web@before-upgrade test
            """)

    @Flag(help: "Share nothing with the source.")
    var full = false
    @OptionGroup(title: "Identity") var identity: IdentityOptions
    @OptionGroup(title: "General") var general: GeneralOptions
    @OptionGroup(title: "Boot") var boot: BootOptions
    @OptionGroup(title: "Resources") var resources: ResourceOptions
    @OptionGroup(title: "Network") var network: NetworkOptions
    @OptionGroup(title: "System") var system: SystemOptions
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("The VPS to clone.", valueName: "src[@snap]"), completion: Completions.vpsNames)
    var source: String
    @Argument(help: ArgumentHelp("The clone's name.", valueName: "dst"))
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        var options = VPSOptions()
        let given = identity.given + general.given + boot.given + resources.given + network.given + system.given
        for (option, value) in given { try options.take(option, value) }
        let parts = source.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        try Name.validate(parts[0], kind: "VPS")
        let clone = Clone(
            source: parts[0], snapshot: parts.count > 1 ? parts[1] : nil, name: name, full: full,
            options: try Profiles.resolve(options))
        let line = ProgressLine("clone \(source)", globals)
        defer { line.clear() }
        let made = try clone.run(on: try globals.host(), progress: TemplateVerbs.progress(line.handle))
        line.clear()
        if globals.json {
            try Output.json(made)
        } else if !globals.quiet {
            try Output.print(name)
        }
        return 0
    }
}
