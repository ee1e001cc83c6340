internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr create`
struct CreateCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Create a VPS to keep, without starting it.",
        usage: "ctr create NAME --template T [OPTIONS]",
        discussion: """
            It boots the template's init (or --init) with ctr start. The options are kept with it; ctr set changes them.

            Sizes are bytes, or a number with K, M, G or T (powers of 1024).

            Examples:
              ctr create web --template debian-12 --memory 1G --cpus 2
              ctr create db --template debian-12 --profile large --onboot --restart always --label tier=db
            """)

    @Option(
        help: ArgumentHelp("The template to make it from.", valueName: "t"), completion: Completions.templates)
    var template: String
    @OptionGroup(title: "Identity") var identity: IdentityOptions
    @OptionGroup(title: "General") var general: GeneralOptions
    @OptionGroup(title: "Boot") var boot: BootOptions
    @OptionGroup(title: "Resources") var resources: ResourceOptions
    @OptionGroup(title: "Disk") var disk: DiskOptions
    @OptionGroup(title: "Network") var network: NetworkOptions
    @OptionGroup(title: "System") var system: SystemOptions
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "Its name: 1 to 63 of a-z, 0-9, '.', '_', '-'.")
    var name: String

    var given: Globals { global.globals }

    func options() throws(CtrError) -> VPSOptions {
        var options = VPSOptions()
        let given =
            identity.given + general.given + boot.given + resources.given + disk.given + network.given + system.given
        for (option, value) in given { try options.take(option, value) }
        return options
    }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        let options = try Profiles.resolve(try options())
        try Create(name: name, template: template, options: options).run(on: try globals.host())
        if globals.json {
            try Output.json(["name": name])
        } else if !globals.quiet {
            try Output.print(name)
        }
        return 0
    }
}
