internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr pause`
struct PauseCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Make all processes of VPSs stand still.",
        usage: "ctr pause NAME...",
        discussion: """
            They keep their memory and connections, and go on with ctr unpause. Pausing what is paused succeeds.

            Example:
              ctr pause web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String]

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let host = try globals.host()
        return try EachName(names: names, globals: globals, words: ["pause"]).run { (name) throws(CtrError) in
            try Pause(name: name).pause(on: host) ? .done : .unchanged("is paused already")
        }
    }
}

/// `ctr unpause`
struct UnpauseCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "unpause",
        abstract: "Let VPSs that are paused go on.",
        usage: "ctr unpause NAME...",
        discussion: """
            One that is not paused runs on.

            Example:
              ctr unpause web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String]

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let host = try globals.host()
        return try EachName(names: names, globals: globals, words: ["unpause"]).run { (name) throws(CtrError) in
            try Pause(name: name).unpause(on: host) ? .done : .unchanged("is not paused")
        }
    }
}
