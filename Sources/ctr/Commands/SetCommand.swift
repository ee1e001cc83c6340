internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr set`
struct SetCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Change the options of a VPS.",
        usage: "ctr set NAME [OPTIONS] [--unset OPTION[=KEY] ...]",
        discussion: """
            Resources of a running VPS change at once; what acts only after a restart is said. Options that can be \
            given more than once add to what is there: variables, labels, mounts and limits of the same name are \
            replaced. --unset takes an option back to its default, or one of its entries away. Of a suspended VPS \
            --publish, --rate-in and --rate-out can be changed.

            Examples:
              ctr set web --memory 2G --cpus 4
              ctr set web --label tier=front --unset label=old --unset mount=/data --unset swap
            """)

    @Option(
        help: ArgumentHelp(
            "Take an option back to its default, or what has this key away: memory, label=tier (repeat).",
            valueName: "option[=key]"))
    var unset: [String] = []
    @OptionGroup(title: "Identity") var identity: IdentityOptions
    @OptionGroup(title: "General") var general: GeneralOptions
    @OptionGroup(title: "Boot") var boot: BootOptions
    @OptionGroup(title: "Resources") var resources: ResourceOptions
    @OptionGroup(title: "Disk") var disk: DiskOptions
    @OptionGroup(title: "Network") var network: NetworkOptions
    @OptionGroup(title: "System") var system: SystemOptions
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    var given: Globals { global.globals }

    func options() throws(CtrError) -> VPSOptions {
        var options = VPSOptions()
        let given =
            identity.given + general.given + boot.given + resources.given + disk.given + network.given + system.given
        if given.isEmpty, unset.isEmpty {
            throw CtrError(.usage, "set: nothing to change (ctr set --help shows the options)")
        }
        if !disk.given.isEmpty {
            throw CtrError(.usage, "set: a disk is given another size by ctr disk resize \(name) SIZE")
        }
        for (option, value) in given { try options.take(option, value) }
        return options
    }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        let options = try Profiles.resolve(try options())
        let late = try Change(name: name, options: options, unset: unset).run(on: try globals.host())
        if globals.json {
            try Output.json(Report(name: name, needsRestart: late))
        } else if !globals.quiet, !late.isEmpty {
            Output.errorLine(
                "ctr: VPS \(name): \(late.joined(separator: ", ")) will act from its next start on (ctr restart \(name))"
            )
        }
        return 0
    }

    private struct Report: Encodable {
        let name: String
        /// Options that a running VPS does not see before it is started again.
        let needsRestart: [String]
    }
}
