import FoundationEssentials
import Glibc
import Kernel
import Model
import NamespaceProbeRequest
import Namespaces

/// Does what one request says.
final class Launching {
    private let request: ProbeRequest
    private var reply = ProbeReply()
    private let input: Kernel.Pipe
    private let output: Kernel.Pipe
    private let null: SharedFD
    /// What a guest would like to get hold of: the host's root (CVE-2024-21626).
    private let hostRoot: SharedFD

    init(_ request: ProbeRequest) throws {
        self.request = request
        input = try Kernel.Pipe()
        output = try Kernel.Pipe()
        null = SharedFD(try open("/dev/null", .readWrite))
        hostRoot = SharedFD(try open("/", [.readOnly, .directory]))
        try output.reading.fd.setNonBlocking(true)
    }

    func run() throws {
        CurrentProcess.keepEndedChildren()
        CurrentProcess.setFileModeMask(request.callerUmask)
        if request.thread { try startThread() }
        reply.before = try CallerFacts.now()
        do { try start() } catch let error as CtrError { reply.failure = .init(error) }
        if reply.failure != nil, reply.afterStart == CallerFacts() { reply.afterStart = try CallerFacts.now() }
        reply.after = try CallerFacts.now()
        try answer()
    }

    private func answer() throws {
        try say(String(decoding: try JSONEncoder().encode(reply), as: UTF8.self))
    }

    private func startThread() throws {
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { _ in
                while true { pause() }
            }, nil)
        if status != 0 { throw SysError("pthread_create", status) }
    }

    private func start() throws {
        let process = try launch().start()
        reply.pid = process.handle.pid
        reply.afterStart = try CallerFacts.now()
        try process.waitUntilReady()
        if request.ending == .abandon { return }
        for command in request.hostBeforeExecute { reply.host.append(try onHost(command)) }
        if request.ending == .dieReady { return try die() }
        try process.execute()
        try follow(process)
    }

    private func follow(_ process: StartedProcess) throws {
        var seen = ""
        if let wanted = request.awaiting {
            seen = try read(until: wanted)
            reply.namespaces = try namespaceLinks(of: "\(process.handle.pid)")
        }
        for join in request.joins { reply.joins.append(try enter(join, process)) }
        for command in request.hostWhileRunning {
            reply.host.append(try onHost(command.replacing("PID", with: "\(process.handle.pid)")))
        }
        if request.ending == .dieRunning { return try die() }
        if request.ending == .joinLate { try joinLate(process) }
        try input.writing.fd.writeAll([10])
        if let terminal = process.terminal { seen += readTerminal(terminal) }
        reply.ending = ended(try process.handle.wait(), seen + (try read(until: nil)))
        if request.ending == .joinLate { reply.joins.append(try enter(ProbeJoin(["true"]), process)) }
        guard let socket = process.takeNotifySocket() else { return }
        reply.notified = []
        while let datagram = try socket.fd.receiveDatagram(limit: 64) {
            reply.notified?.append(String(decoding: datagram, as: UTF8.self))
        }
    }

    private func joinLate(_ process: StartedProcess) throws {
        try process.handle.signal(Signal.kill)
        var poll = Poll()
        poll.add(process.handle.pidfd, .readable)
        _ = try poll.wait()
        reply.joins.append(try enter(ProbeJoin(["true"]), process))
    }

    private func die() throws {
        try answer()
        CurrentProcess.dieBySignal(Signal.kill)
    }

    private func launch() throws -> Launch {
        var process = ProcessSpec(args: request.args)
        process.env = request.env
        process.cwd = request.cwd
        process.user.uid = request.uid
        process.user.gid = request.gid
        process.user.additionalGids = request.groups
        process.user.umask = request.umask
        process.terminal = request.terminal
        process.rlimits = request.rlimits
        process.oomScoreAdj = request.oomScoreAdj
        var root = RootSpec(layers: request.layers, disk: request.disk, mountPoint: request.mountPoint)
        root.volatile = request.volatile
        var spec = Spec(process: process, root: root)
        spec.hostname = request.hostname
        spec.domainname = request.domainname
        spec.mounts = request.mounts
        spec.linux.namespaces = NamespaceFlags(rawValue: request.namespaces)
        spec.linux.idMappings = request.maps
        spec.linux.timeOffsets = request.timeOffsets
        spec.linux.devices = request.devices
        spec.linux.maskedPaths = request.maskedPaths
        spec.linux.readonlyPaths = request.readonlyPaths
        spec.ready = request.ready
        var entry = try entry(process)
        entry.parentDeathSignal = request.parentDeathSignal
        var launch = Launch(
            spec: spec, entry: entry, streams: Streams([input.reading, output.writing, output.writing]))
        launch.userName = request.userName
        launch.layersByPath = request.layersByPath
        return launch
    }

    private func entry(_ process: ProcessSpec) throws -> Entry {
        let own = NamespaceFlags(rawValue: request.namespaces).contains(.user)
        let plan = try CapabilityPlan(own ? .system : .hostUser, userns: own ? .own : .host)
        return Entry(process: process, capabilities: plan, seccomp: nil)
    }

    private func enter(_ wanted: ProbeJoin, _ target: StartedProcess) throws -> ProbeReply.Joined {
        var process = ProcessSpec(args: wanted.args)
        process.env = request.env
        process.cwd = wanted.cwd
        let pipe = try Kernel.Pipe()
        try pipe.reading.fd.setNonBlocking(true)
        var flags = NamespaceFlags(rawValue: request.namespaces)
        flags.insert(.mount)
        if request.timeOffsets != nil { flags.insert(.time) }
        var join = Join(
            namespaces: flags, entry: try entry(process), cgroup: CgroupJoin(),
            streams: Streams([null, pipe.writing, pipe.writing]), terminal: wanted.terminal, rlimits: wanted.rlimits)
        join.userName = wanted.userName
        do {
            let process = try join.start(target.handle)
            try process.execute()
            var seen = ""
            if let terminal = process.terminal {
                try terminal.fd.setNonBlocking(false)
                seen = readTerminal(terminal)
            }
            let status = try process.handle.wait()
            return .init(failure: nil, ended: ended(status, seen + (try drain(pipe.reading))))
        } catch let error as CtrError { return .init(failure: .init(error), ended: nil) }
    }

    private func onHost(_ command: String) throws -> ProbeReply.Ended {
        let pipe = try Kernel.Pipe()
        try pipe.reading.fd.setNonBlocking(true)
        let tool = try ToolProcess("sh", ["-c", command], stdout: .file(pipe.writing), stderr: .file(pipe.writing))
        let status = try tool.wait()
        let seen = try drain(pipe.reading)
        switch status {
        case .exited(let number): return .init(exited: number, signaled: nil, output: seen)
        case .signaled(let number): return .init(exited: nil, signaled: number, output: seen)
        }
    }

    private func ended(_ status: ExitStatus, _ output: String) -> ProbeReply.Ended {
        switch status {
        case .exited(let number): .init(exited: number, signaled: nil, output: output)
        case .signaled(let number): .init(exited: nil, signaled: number, output: output)
        }
    }

    /// What the program has written up to a text; up to now for nil.
    private func read(until wanted: String?) throws -> String {
        guard let wanted else { return try drain(output.reading) }
        var seen = ""
        while !seen.contains(wanted) {
            var poll = Poll()
            poll.add(output.reading.fd, .readable)
            if try poll.wait(milliseconds: 60_000)[0].isEmpty { break }
            seen += try drain(output.reading)
        }
        return seen
    }

    private func drain(_ end: SharedFD) throws -> String {
        var all: [UInt8] = []
        while true {
            do throws(SysError) {
                let part = try end.fd.read(upTo: 65536)
                if part.isEmpty { break }
                all += part
            } catch {
                if error.errno == Errno.again { break }
                throw error
            }
        }
        return String(decoding: all, as: UTF8.self)
    }

    /// A master reads EIO when nobody has the terminal open any more.
    private func readTerminal(_ master: SharedFD) -> String {
        var all: [UInt8] = []
        while let part = try? master.fd.read(upTo: 65536), !part.isEmpty { all += part }
        return String(decoding: all, as: UTF8.self)
    }
}
