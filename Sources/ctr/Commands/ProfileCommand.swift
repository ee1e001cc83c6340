internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr profile`
struct ProfileCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "profile", _superCommandName: "ctr",
        abstract: "Show named sets of options.",
        usage: "ctr profile list|show ...",
        discussion: """
            A profile is a file NAME.profile with lines option = value, the options those of create. They are looked \
            for in /etc/ctr/profiles (or where the setting profiles says), then among those that came with ctr.
            """,
        subcommands: [ProfileListCommand.self, ProfileShowCommand.self])
}

/// `ctr profile list`
struct ProfileListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the profiles.",
        usage: "ctr profile list [-q]",
        discussion: """
            Example:
              ctr profile list
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let list = try Profiles.list()
        if globals.json {
            if globals.quiet { try Output.json(list.map(\.name)) } else { try Output.json(list.map(ProfileFacts.init)) }
        } else if globals.quiet {
            if !list.isEmpty { try Output.print(list.map(\.name).joined(separator: "\n")) }
        } else {
            var table = Table("NAME", "OPTIONS", "FILE")
            for profile in list {
                let options = profile.lines.map { "\($0.option)=\($0.value)" }.joined(separator: " ")
                table.add([profile.name, options, profile.file])
            }
            try Output.print(table.text)
        }
        return 0
    }
}

/// `ctr profile show`
struct ProfileShowCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show the options of a profile.",
        usage: "ctr profile show NAME",
        discussion: """
            Example:
              ctr profile show small
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The profile.", completion: Completions.profiles)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let profile = try Profiles.find(name)
        if globals.json {
            try Output.json(ProfileFacts(profile))
        } else {
            // What is printed is itself a profile.
            let lines = profile.lines.map { "\($0.option) = \($0.value)".escaped }
            try Output.print((["# \(profile.file.escaped)"] + lines).joined(separator: "\n"))
        }
        return 0
    }
}

/// A profile for programs: each option with its values, in the order of the file.
private struct ProfileFacts: Encodable {
    let name: String
    let file: String
    let options: [String: [String]]

    init(_ profile: Profile) {
        name = profile.name
        file = profile.file
        options = Dictionary(grouping: profile.lines, by: \.option).mapValues { $0.map(\.value) }
    }
}
