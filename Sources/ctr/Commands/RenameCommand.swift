internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr rename`
struct RenameCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "rename",
        abstract: "Give a stopped VPS another name.",
        usage: "ctr rename OLD NEW",
        discussion: """
            Its host name follows where it was the old name. Its data and ids stay.

            Example:
              ctr rename web www
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var old: String
    @Argument(help: "Its new name.")
    var new: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Rename(name: old, newName: new).run(on: try globals.host())
        if globals.json { try Output.json(["name": new]) } else if !globals.quiet { try Output.print(new) }
        return 0
    }
}
