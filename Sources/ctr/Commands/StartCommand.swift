internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr start`
struct StartCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "start",
        abstract: "Start VPSs that are stopped.",
        usage: "ctr start NAME...|--all|--onboot [--wait] [--rescue]",
        discussion: """
            Each gets a supervisor of its own and runs on in the background; what its init prints is in ctr logs. \
            Starting what runs succeeds. Several are started at once.

            --onboot starts those that were made with --onboot, the highest --boot-priority first: for a boot script.
            --rescue starts a shell on the VPS's disk instead of its init; on a terminal, you are in it (^] leaves).

            Examples:
              ctr start web db --wait
              ctr start web --rescue
            """)

    static let patience = 120

    @Flag(help: "Every VPS that is stopped.")
    var all = false
    @Flag(help: "Every VPS that is to run from the host's boot on.")
    var onboot = false
    @Flag(help: "Return when init says that the system is up.")
    var wait = false
    @Option(help: ArgumentHelp("With --wait: seconds to wait at most.", valueName: "s"))
    var timeout = patience
    @Flag(help: "A shell on its disk instead of its init.")
    var rescue = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPSs.", completion: Completions.vpsNames)
    var names: [String] = []

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let host = try globals.host()
        if [all, onboot, !names.isEmpty].count(where: { $0 }) != 1 {
            throw CtrError(.usage, "start: name the VPSs, or give one of --all and --onboot")
        }
        guard (1...86_400).contains(timeout) else {
            throw CtrError(.usage, "--timeout \(timeout): out of range (1 to 86400 seconds)")
        }
        if rescue { return try rescue(globals, host) }
        var status: Int32 = 0
        for group in try groups(host) {
            let each = EachName(
                names: group, globals: globals,
                words: ["start"] + (wait ? ["--wait", "--timeout", "\(timeout)"] : []))
            status = max(status, try each.run { (name) throws(CtrError) in try start(name, host, globals) })
        }
        return status
    }

    private func start(
        _ name: String, _ host: Host, _ globals: Globals
    ) throws(CtrError) -> EachName.Outcome {
        let line = ProgressLine(name, globals)
        defer { line.clear() }
        let started = try Start(name: name).run(on: host, progress: line.isShown ? line.handle : nil)
        line.clear()
        if wait { try Start(name: name).waitUntilReady(on: host, seconds: timeout) }
        return started ? .done : .unchanged("runs already")
    }

    /// Names that are started at once; one group after the other.
    private func groups(_ host: Host) throws(CtrError) -> [[String]] {
        if onboot { return try VPSList.onBoot(on: host) }
        if all { return [try VPSList.all(on: host).filter { $0.status == .stopped }.map(\.name)] }
        return [names]
    }

    private func rescue(_ globals: Globals, _ host: Host) throws(CtrError) -> Int32 {
        guard names.count == 1, let name = names.first, !wait else {
            throw CtrError(.usage, "start --rescue: one VPS at a time, without --wait")
        }
        _ = try Start(name: name, rescue: true).run(on: host)
        guard Caller.isTerminal(.input), Caller.isTerminal(.output), !globals.json else {
            if globals.json { try Output.json(["name": name]) } else { try Output.print(name) }
            if !globals.quiet { Output.errorLine("ctr: VPS \(name): rescue shell: ctr console \(name), or ctr exec") }
            return 0
        }
        return try ConsoleCommand.attach(name, host, globals)
    }
}
