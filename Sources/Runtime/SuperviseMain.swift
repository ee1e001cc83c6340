internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces

/// The hidden verb `supervise`: the supervisor of one detached VPS. It reads from standard input what to do, says on
/// standard output how the start went, and stays until the VPS has ended for good.
public enum SuperviseMain {
    public static func main(on host: Host) -> Int32 {
        // Whoever started it may be gone before it answers. What it executes gets default signals again.
        CurrentProcess.ignoreBrokenPipes()
        do throws(CtrError) {
            let signals = try describing("signals") { () throws(SysError) in
                try SignalQueue([
                    Signal.terminate, Signal.interrupt, Signal.hangup, Signal.quit, Signal.windowChange, Signal.user1,
                    Signal.user2,
                ])
            }
            let watched: WatchedVPS
            do throws(CtrError) {
                let request = try SupervisorRequest.read()
                try describing("session of the supervisor") { () throws(SysError) in
                    try CurrentProcess.startSession()
                    try CurrentProcess.changeDirectory("/")
                }
                watched = try begin(request, on: host)
            } catch {
                try SupervisorReply.failed(error).send()
                throw error
            }
            try SupervisorReply.done(watched.config.name).send()
            // What it was made of: the kernel takes some milliseconds for it.
            if case .restored = watched.process { CheckpointFiles.removeAside(in: watched.place.directory) }
            try DetachedSupervisor(watched, signals: signals).run()
            return 0
        } catch {
            return error.code.exitStatus
        }
    }

    private static func begin(_ request: SupervisorRequest, on host: Host) throws(CtrError) -> WatchedVPS {
        switch request {
        case .run(let run):
            let output = try VPSOutput()
            let vps = try run.start(on: host, streams: try output.streams())
            do throws(CtrError) { try vps.process.requireExecuted() } catch {
                vps.place.removeAfterFailure()
                throw error
            }
            return try WatchedVPS(vps, output: output, hub: nil)
        case .start(let start): return try start.begin(on: host)
        case .resume(let resume): return try resume.begin(on: host)
        case .adopt(let name): return try WatchedVPS(adopting: VPSFiles(name, host: host))
        }
    }
}

/// Where a detached VPS without a terminal prints.
struct VPSOutput {
    let pipe: Pipe

    init() throws(CtrError) { pipe = try describing("output of the VPS") { () throws(SysError) in try Pipe() } }

    /// No input, both outputs into the pipe. They are open for reading too: so the VPS's own hold keeps the pipe alive
    /// when its supervisor is killed, and nobody gets SIGPIPE.
    func streams() throws(CtrError) -> Streams {
        let pipe = pipe
        return try describing("output of the VPS") { () throws(SysError) in
            let null = SharedFD(try open("/dev/null", .readWrite))
            let writing = SharedFD(try open(pipe.writing.fd.procPath, .readWrite))
            return Streams([null, writing, writing])
        }
    }
}

/// A VPS that a detached supervisor waits for.
struct WatchedVPS {
    let place: VPSPlace
    let config: VPSConfig
    let cgroup: Cgroup
    let process: WatchedProcess
    let state: VPSState
    let hub: ConsoleHub
    /// nil where nothing can be watched.
    let limits: LimitWatch?
    /// Until init has said that the system is up.
    var listener: ReadyListener?
    /// The fifo into which its root asks to be hibernated.
    var asks: SharedFD?
    /// Held so that the template can't be removed.
    let template: SealedTemplate?

    /// - Parameter hub: that of its run before, to which clients may be attached.
    init(_ vps: RunningVPS, output: VPSOutput, hub: ConsoleHub?) throws(CtrError) {
        place = vps.place
        config = vps.config
        cgroup = vps.cgroup
        state = vps.state
        template = vps.template
        process = .child(vps.process)
        limits = try? LimitWatch(vps.cgroup)
        listener = vps.process.takeNotifySocket().map(ReadyListener.init)
        asks = vps.process.takeAsks()
        let console: ConsoleHub
        if let hub { console = hub } else { console = try WatchedVPS.makeHub(vps.place) }
        self.hub = console
        try describing("console of VPS \(vps.config.name)") { () throws(SysError) in
            if let terminal = vps.process.terminal {
                try console.attach(terminal: terminal)
            } else {
                try console.attach(output.pipe)
            }
        }
    }

    /// One that goes on from a checkpoint, its first process a child of ours.
    /// - Parameter output: what it prints into, if it has no terminal.
    init(
        resumed process: consuming ProcessHandle, _ state: VPSState, in place: VPSPlace, cgroup: Cgroup,
        template: SealedTemplate, terminal: SharedFD?, output: VPSOutput?
    ) throws(CtrError) {
        self.place = place
        self.state = state
        self.cgroup = cgroup
        self.template = template
        config = state.config
        self.process = .restored(SharedProcess(process))
        limits = try? LimitWatch(cgroup)
        hub = try WatchedVPS.makeHub(place)
        asks = HostPath.asks(of: state)
        // What was asked for before is done.
        if let asks { _ = HibernateAsks.take(asks, atMost: HibernateAsks.largest) }
        let hub = hub
        try describing("console of VPS \(config.name)") { () throws(SysError) in
            if let terminal {
                try hub.attach(terminal: terminal)
            } else if let output {
                try hub.attach(output.pipe)
            }
        }
    }

    /// A kept VPS whose supervisor was killed. Its terminal's master died with that one; a pipe lives on in the VPS.
    init(adopting files: VPSFiles) throws(CtrError) {
        place = try VPSPlace.reopen(files)
        guard let running = try RunningInit.find(files) else {
            throw CtrError(.failed, "VPS \(files.name): not running")
        }
        var state = running.state
        state.supervisor = CurrentProcess.pid
        // The one before was killed while a script ran inside.
        if state.status == .starting { state.status = .running }
        config = state.config
        guard let record = state.cgroup else { throw CtrError(.config, "state.json of VPS \(files.name): no cgroup") }
        cgroup = try Cgroup.openWhatIsThere(record)
        limits = try? LimitWatch(cgroup)
        template = try SealedTemplate(config.template, on: files.host)
        try place.write(state)
        self.state = state
        hub = try WatchedVPS.makeHub(place)
        if !config.terminal, let output = try? WatchedVPS.outputPipe(of: state.pid) { try? hub.attach(reading: output) }
        asks = HostPath.asks(of: state)
        process = .adopted(SharedProcess(running.handle))
    }

    /// The pipe into which a VPS without a terminal prints, if it still has it. What the guest has in its place is left
    /// alone: only pipes without a name lie on that file system.
    private static func outputPipe(of pid: Int32) throws(SysError) -> SharedFD? {
        let output = try open("/proc/\(pid)/fd/1", [.path])
        let own = try Pipe()
        guard try output.status().type == .fifo, try output.status().device == own.reading.fd.status().device else {
            return nil
        }
        return SharedFD(try open(output.procPath, [.readOnly, .nonBlocking]))
    }

    private static func makeHub(_ place: VPSPlace) throws(CtrError) -> ConsoleHub {
        try describing("log of VPS \(place.files.name)") { () throws(SysError) in
            let log = try ConsoleLog(in: SharedFD(try place.directory.fd.ensureDirectory("log", mode: 0o700)))
            return try ConsoleHub(log: log, state: place.state)
        }
    }
}

/// The first process of a watched VPS.
enum WatchedProcess {
    case child(StartedProcess)
    case adopted(SharedProcess)
    /// A child that criu made.
    case restored(SharedProcess)

    func add(to poll: inout Poll) {
        switch self {
        case .child(let process): poll.add(process.handle.pidfd, .readable)
        case .adopted(let process), .restored(let process): poll.add(process.handle.pidfd, .readable)
        }
    }

    /// Sends a signal; one that has ended gets none.
    func signal(_ number: Int32) {
        switch self {
        case .child(let process): try? process.handle.signal(number)
        case .adopted(let process), .restored(let process): try? process.handle.signal(number)
        }
    }

    var pid: Int32 {
        switch self {
        case .child(let process): process.handle.pid
        case .adopted(let process), .restored(let process): process.handle.pid
        }
    }

    /// How it ended; nil where the kernel does not tell whoever is not its parent.
    func status() throws(SysError) -> ExitStatus? {
        switch self {
        case .child(let process): return try process.handle.wait()
        case .restored(let process): return try process.handle.wait()
        case .adopted(let process):
            // Its parent, the host's init, may take a moment to reap it.
            for _ in 0..<100 {
                if let status = process.handle.exitInfo() { return status }
                CurrentProcess.sleep(milliseconds: 5)
            }
            return nil
        }
    }
}

/// A process's handle that several can hold.
final class SharedProcess {
    let handle: ProcessHandle
    init(_ handle: consuming ProcessHandle) { self.handle = handle }
}
