internal import Cgroups
internal import Kernel
public import Model
internal import Namespaces
internal import Storage

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
            let builder = ConfigBuilder(options: options, template: sealed.manifest, name: place.files.name)
            var config = try builder.build(command: command, ephemeral: !options.keep)
            let isolation = try Isolation(&config, place: place)
            try place.makeDisk(ephemeral: config.ephemeral)
            let spec = try config.spec(
                layers: sealed.layers, disk: place.files.diskPath(ephemeral: config.ephemeral),
                mountPoint: place.files.statePath)
            var entry = try Isolation.entry(config, process: spec.process, host: host)
            if config.ephemeral { entry.parentDeathSignal = Signal.kill }
            var launch = Launch(
                spec: spec, entry: entry, cgroup: try isolation.cgroup.joinForEngine(), streams: streams)
            launch.userName = config.user
            launch.views = isolation.views
            let process = try launch.start()
            // While the child builds its side on another processor.
            try place.record(config, process: process, cgroup: isolation.cgroup)
            try process.execute()
            return RunningVPS(
                place: place, config: config, template: sealed, cgroup: isolation.cgroup, process: process)
        } catch {
            place.removeAfterFailure()
            throw error
        }
    }
}

/// A template in use: while this lives, it can't be removed.
final class SealedTemplate {
    let manifest: Template
    /// Absolute paths, lowest first.
    let layers: [String]
    private let held: OpenTemplate

    init(_ name: String, on host: Host) throws(CtrError) {
        let store = TemplateStore(root: host.root)
        held = try store.open(name)
        manifest = held.manifest
        // A layer is a directory of the template itself, whatever its manifest or a link says (CVE-2026-48749).
        for index in manifest.layers.indices { _ = try held.openLayer(index) }
        layers = held.manifest.layers.map { "\(store.path)/\(name)/\($0)" }
    }
}

/// The directories and locks of a VPS that this process is starting and will supervise.
final class VPSPlace {
    let files: VPSFiles
    let state: SharedFD
    let directory: SharedFD

    private init(files: VPSFiles, state: SharedFD, directory: SharedFD) {
        self.files = files
        self.state = state
        self.directory = directory
    }

    /// Takes a name and makes its directories.
    /// - Throws: `cannotCreate` if a VPS of that name exists.
    static func make(_ wanted: String?, on host: Host) throws(CtrError) -> VPSPlace {
        while true {
            let name: String
            if let wanted { name = wanted } else { name = try randomName() }
            if wanted != nil { try Recovery(host: host).sweep(name) }
            let files = try VPSFiles(name, host: host)
            do throws(SysError) {
                try files.states.fd.makeDirectory(name, mode: 0o700)
            } catch {
                if error.errno != Errno.exists { throw CtrError(.cannotCreate, "VPS \(name)", cause: error) }
                if wanted == nil { continue }
                throw CtrError(
                    .cannotCreate, "VPS \(name): exists already (choose another --name, or ctr destroy \(name))")
            }
            if let place = try fill(files) { return place }
        }
    }

    /// nil if another ctr took the directory, as yet unlocked, for a leftover and removed it.
    private static func fill(_ files: VPSFiles) throws(CtrError) -> VPSPlace? {
        guard let state = try files.stateDirectory() else { return nil }
        try Locks.becomeSupervisor(state, of: files.name)
        do throws(SysError) {
            if try state.fd.status().links == 0 { return nil }
            try files.all.fd.makeDirectory(files.name, mode: 0o700)
            let directory = SharedFD(try files.all.fd.open(files.name, [.directory, .noFollow]))
            return VPSPlace(files: files, state: state, directory: directory)
        } catch {
            try? files.states.fd.removeTree(files.name)
            if error.errno == Errno.exists {
                throw CtrError(
                    .cannotCreate,
                    "VPS \(files.name): exists already (choose another --name, or ctr destroy \(files.name))")
            }
            throw CtrError(.cannotCreate, "VPS \(files.name)", cause: error)
        }
    }

    /// Makes the disk: a directory whose `upper` is what the guest sees as its root's own files, `/` included.
    func makeDisk(ephemeral: Bool) throws(CtrError) {
        let directory = directory
        try describing("disk of VPS \(files.name)", code: .cannotCreate) { () throws(SysError) in
            var disk = directory
            if !ephemeral { disk = SharedFD(try directory.fd.ensureDirectory("disk", mode: 0o700)) }
            let mask = CurrentProcess.setFileModeMask(0)
            defer { CurrentProcess.setFileModeMask(mask) }
            for name in ["upper", "work"] { try disk.fd.makeDirectory(name, mode: 0o755) }
        }
    }

    /// Writes what other verbs need to find it.
    func record(_ config: VPSConfig, process: StartedProcess, cgroup: Cgroup) throws(CtrError) {
        let name = files.name
        if !config.ephemeral { try VPSFiles.write(config, "config.json", in: directory, of: name, durable: true) }
        let pid = process.handle.pid
        let value = try describing("state of VPS \(name)") { () throws(SysError) in
            VPSState(
                status: .running, bootID: try ProcFiles.bootID(), pid: pid, startTime: try ProcFiles.startTime(of: pid),
                supervisor: CurrentProcess.pid, started: Timestamp.now(), namespaces: config.namespaces.rawValue,
                cgroup: cgroup.record, config: config.ephemeral ? config : nil)
        }
        try VPSFiles.write(value, "state.json", in: state, of: name, durable: false)
    }

    /// Removes all of it; the start's own failure is what is reported.
    func removeAfterFailure() {
        try? Recovery(host: files.host).removeAll(files)
        // The first start of all may leave nothing either.
        try? Cgroup.prune(host: .detect(), path: files.host.cgroupParent)
    }

    /// Eight letters and digits that no one has yet, most likely.
    private static func randomName() throws(CtrError) -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        let bytes = try describing("random name") { () throws(SysError) in try randomBytes(8) }
        return "run-" + String(decoding: bytes.map { letters[Int($0 % 32)] }, as: UTF8.self)
    }
}
