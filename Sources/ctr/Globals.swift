internal import ArgumentParser
internal import Model
internal import Runtime

/// The options that every verb has, as given: nil and false where they were not.
struct Globals: Equatable {
    var root: String?
    var state: String?
    var json = false
    var quiet = false
    var debug = false

    /// Where this call of ctr keeps things: the options, else the environment, else the standard directories.
    func host() throws(CtrError) -> Host {
        try Host(
            root: root ?? Caller.environment("CTR_ROOT") ?? Host.standardRoot,
            state: state ?? Caller.environment("CTR_STATE") ?? Host.standardState)
    }

    /// As words before a verb, for a call of this program that is to mean the same.
    var words: [String] {
        var words: [String] = []
        let places = [
            ("--root", root ?? Caller.environment("CTR_ROOT")), ("--state", state ?? Caller.environment("CTR_STATE")),
        ]
        for (option, value) in places { if let value { words += [option, value] } }
        for (option, given) in [("--json", json), ("--quiet", quiet), ("--debug", debug)] where given {
            words.append(option)
        }
        return words
    }

    /// Takes one option. False if it is none of these.
    mutating func take(_ option: String, _ value: String) -> Bool {
        switch option {
        case "--root": root = value
        case "--state": state = value
        case "--json": json = true
        case "--quiet": quiet = true
        case "--debug": debug = true
        default: return false
        }
        return true
    }

    /// Takes the options before the verb off `words`. False if something else is there.
    mutating func takeLeading(_ words: inout ArraySlice<String>) -> Bool {
        while let word = words.first, word.hasPrefix("-"), word != "---completion" {
            guard let (option, value) = OptionTable.globals.take(&words), take(option.long, value) else { return false }
        }
        return true
    }

    /// These, then what was given later.
    func with(_ later: Globals) -> Globals {
        Globals(
            root: later.root ?? root, state: later.state ?? state, json: json || later.json,
            quiet: quiet || later.quiet, debug: debug || later.debug)
    }
}

/// ``Globals`` as ArgumentParser reads them after a verb.
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Where templates and VPSs are kept (CTR_ROOT; /var/lib/ctr).", valueName: "dir"),
        completion: .directory)
    var root: String?
    @Option(
        help: ArgumentHelp("Where running VPSs are recorded (CTR_STATE; /run/ctr).", valueName: "dir"),
        completion: .directory)
    var state: String?
    @OptionGroup var output: OutputOptions

    var globals: Globals {
        Globals(root: root, state: state, json: output.json, quiet: output.quiet, debug: output.debug)
    }
}

/// The part of ``Globals`` that says how results and errors look.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print one JSON document; errors too.")
    var json = false
    @Flag(name: .shortAndLong, help: "Print no progress and no remarks; of lists the names alone.")
    var quiet = false
    @Flag(help: "Say with an error at which step it came and the kernel's error number.")
    var debug = false
}
