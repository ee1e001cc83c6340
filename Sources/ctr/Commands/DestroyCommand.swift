internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr destroy`
struct DestroyCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "destroy",
        abstract: "Remove VPSs and all their data.",
        usage: "ctr destroy NAME... [--force]",
        discussion: """
            There is no way back. A running VPS is refused unless --force is given; a protected one (set --protect) always \
            is. One with a snapshot that is mounted is refused too; with --force that is unmounted.

            Example:
              ctr destroy --force web
            """)

    @Flag(help: "Also those that run: they are killed first.")
    var force = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String]

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let host = try globals.host()
        let each = EachName(names: names, globals: globals, words: ["destroy"] + (force ? ["--force"] : []))
        return try each.run { (name) throws(CtrError) in
            try Destroy(name: name, force: force).run(on: host)
            return .done
        }
    }
}
