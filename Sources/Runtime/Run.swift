public import Model
internal import Namespaces

/// `ctr run`: an ephemeral VPS (or, with `--keep`, one that stays) that executes one command.
public struct Run: Codable, Sendable {
    public var template: String
    /// Empty: the template's own command.
    public var command: [String]
    public var options: VPSOptions

    public init(template: String, command: [String], options: VPSOptions) {
        self.template = template
        self.command = command
        self.options = options
    }

    /// Runs in the foreground until the command ends.
    /// - Returns: its status as a shell reports it.
    public func foreground(on host: Host) throws(CtrError) -> Int32 {
        try Isolation.guardProgram(options.userns ?? .auto)
        // Before the start: a signal that comes during it waits here.
        let signals = try Supervisor.queue()
        let vps = try start(on: host, streams: Streams())
        let relay = try vps.process.terminal.map { (terminal) throws(CtrError) in try Relay.user(of: terminal) }
        return try vps.supervise(signals: signals, relay: relay)
    }

    /// The steps of a start, each undone if a later one fails.
    func start(on host: Host, streams: Streams) throws(CtrError) -> RunningVPS {
        let sealed = try SealedTemplate(template, on: host)
        let place = try VPSPlace.make(options.name, on: host)
        do throws(CtrError) {
            let builder = try ConfigBuilder(options: options, template: sealed.manifest, name: place.files.name)
            var config = try builder.build(command: command, ephemeral: !options.keep)
            try config.checkUlimits(code: .usage)
            try config.checkIdentity(sealed)
            try place.makeDisk(config)
            if config.identity != nil { try place.writeIdentity(&config, sealed) }
            var starting = Starting(place: place, template: sealed, config: config)
            starting.isNew = true
            let started = try starting.started(streams: streams)
            if config.disk != nil { SpaceGuard.ensure(on: host) }
            return started
        } catch {
            place.removeAfterFailure()
            throw error
        }
    }
}
