internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr suspend`
struct SuspendCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "suspend",
        abstract: "Put the memory of running VPSs into files and give back all that they held.",
        usage: "ctr suspend NAME... [--keep-running | --compress zstd]",
        discussion: """
            Memory, processes and open files go to the VPS's directory; ctr resume (or start) lets it go on from there. \
            What fails leaves the VPS running as before, and says why. Suspending what is suspended succeeds.

            Examples:
              ctr suspend web
              ctr suspend --compress zstd web      less of the host's disk, longer to come back
            """)

    enum Compression: String, CaseIterable, ExpressibleByArgument { case zstd }

    @Flag(help: "Write the checkpoint (as checkpoint.kept) and let it run on.")
    var keepRunning = false
    @Option(
        help: ArgumentHelp(
            "Pack the memory when the VPS has ended. A resume unpacks it first, and needs room for that.",
            valueName: "method"))
    var compress: Compression?
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String]

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let host = try globals.host()
        if keepRunning, compress != nil {
            throw CtrError(.usage, "suspend: --compress is for a VPS that ends (leave --keep-running out)")
        }
        let words =
            ["suspend"] + (keepRunning ? ["--keep-running"] : [])
            + (compress.map { ["--compress", $0.rawValue] } ?? [])
        return try EachName(names: names, globals: globals, words: words).run { (name) throws(CtrError) in
            let line = ProgressLine(name, globals)
            defer { line.clear() }
            var verb = Suspend(name: name, keepRunning: keepRunning)
            verb.packed = compress != nil
            return try verb.run(on: host) { line.handle($0) } ? .done : .unchanged("is suspended already")
        }
    }
}

/// `ctr hibernate`
struct HibernateCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "hibernate",
        abstract: "Put the memory of running VPSs on their own disks and turn them off.",
        usage: "ctr hibernate NAME...",
        discussion: """
            As ctr suspend, but memory, processes and open files go into the image that is the VPS's disk, within its \
            size. ctr start (or resume) lets it go on from there. A disk without enough room is refused with the \
            numbers. Hibernating what is hibernated succeeds.

            Example:
              ctr hibernate web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String]

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let host = try globals.host()
        return try EachName(names: names, globals: globals, words: ["hibernate"]).run { (name) throws(CtrError) in
            let line = ProgressLine(name, globals)
            defer { line.clear() }
            var verb = Suspend(name: name)
            verb.onDisk = true
            return try verb.run(on: host) { line.handle($0) } ? .done : .unchanged("is suspended already")
        }
    }
}

/// `ctr resume`
struct ResumeCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Let suspended VPSs go on.",
        usage: "ctr resume NAME... [--discard]",
        discussion: """
            Each goes on from the instruction at which it was suspended, under a supervisor of its own. A checkpoint \
            that is damaged, or whose disk has changed since, is refused before any process goes on; what fails leaves \
            it whole. Resuming what runs succeeds.

            Examples:
              ctr resume web
              ctr resume --discard web      its memory is given up: it is stopped, and starts from its disk
            """)

    @Flag(help: "Give the memory up: the VPS is stopped then.")
    var discard = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String]

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let host = try globals.host()
        let words = ["resume"] + (discard ? ["--discard"] : [])
        return try EachName(names: names, globals: globals, words: words).run { (name) throws(CtrError) in
            if discard {
                try Resume(name: name).discard(on: host)
                return .done
            }
            let line = ProgressLine(name, globals)
            defer { line.clear() }
            return try Resume(name: name).run(on: host, progress: line.isShown ? line.handle : nil)
                ? .done : .unchanged("runs already")
        }
    }
}
