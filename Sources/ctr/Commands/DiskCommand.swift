internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr disk`
struct DiskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "disk", _superCommandName: "ctr",
        abstract: "The size, the space and the health of a VPS's disk.",
        usage: "ctr disk resize|compact|check ...",
        subcommands: [DiskResizeCommand.self, DiskCompactCommand.self, DiskCheckCommand.self])
}

/// `ctr disk resize`
struct DiskResizeCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "resize",
        abstract: "Give a disk another size, also while the VPS runs.",
        usage: "ctr disk resize NAME SIZE",
        discussion: """
            It grows and shrinks; below what is in use it is refused. A thick disk stays thick: what is added is \
            taken from the host at once.

            Example:
              ctr disk resize web 20G
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String
    @Argument(help: "Its new size: 20G.")
    var size: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        guard case .image(let bytes) = try DiskChoice.parse(size, option: "size") else {
            throw CtrError(.usage, "size '\(size.escaped)': not a size (20G)")
        }
        let done = try DiskVerbs(vps: name).resize(to: bytes, on: try globals.host())
        if globals.json {
            try Output.json(done)
        } else if !globals.quiet {
            try Output.print(
                done.before == done.size
                    ? "disk of VPS \(name): has \(Size.format(done.size)) already"
                    : "disk of VPS \(name): \(Size.format(done.size)), was \(Size.format(done.before))")
        }
        return 0
    }
}

/// `ctr disk compact`
struct DiskCompactCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Give free blocks of a disk back to the host.",
        usage: "ctr disk compact NAME",
        discussion: """
            A disk does so by itself, by and by; this does it at once and says how much it was.

            Example:
              ctr disk compact web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        let done = try DiskVerbs(vps: name).compact(on: try globals.host())
        if globals.json {
            try Output.json(done)
        } else if !globals.quiet {
            let bytes = max(0, done.before - done.after)
            try Output.print(
                "disk of VPS \(name): gave back \(bytes) bytes (\(Size.format(bytes))), takes \(Size.format(done.after))"
            )
        }
        return 0
    }
}

/// `ctr disk check`
struct DiskCheckCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Read a disk and check it by its checksums.",
        usage: "ctr disk check NAME",
        discussion: """
            Also while the VPS runs. What a second copy can mend is mended. Damaged files are named as the VPS names \
            them, those of a snapshot after its name; the exit status is 1 then.

            Example:
              ctr disk check web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        let found = try DiskVerbs(vps: name).check(on: try globals.host())
        if globals.json {
            try Output.json(found)
        } else if !globals.quiet || found.uncorrectable > 0 {
            var lines = ["disk of VPS \(name): \(Size.format(Int64(clamping: found.read))) read, "]
            lines[0] +=
                found.uncorrectable > 0
                ? "\(found.uncorrectable) errors that can't be mended"
                : found.corrected > 0 ? "\(found.corrected) errors mended" : "no errors"
            lines += found.damaged.map { "damaged: \($0.escaped)" }
            try Output.print(lines.joined(separator: "\n"))
        }
        return found.uncorrectable > 0 ? 1 : 0
    }
}
