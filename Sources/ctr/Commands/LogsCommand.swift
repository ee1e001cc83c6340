internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr logs`
struct LogsCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Print what a detached VPS has printed.",
        usage: "ctr logs NAME [-f]",
        discussion: """
            The bytes as they came, control characters included.

            Example:
              ctr logs -f web
            """)

    @Flag(name: .shortAndLong, help: "Go on until the VPS ends.")
    var follow = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        var failure: CtrError?
        try Logs(name: name, follow: follow).run(on: try globals.host()) { bytes in
            do throws(CtrError) {
                try Output.write(bytes)
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        return 0
    }
}
