internal import FoundationEssentials
internal import Kernel
public import Model
internal import Namespaces

extension Run {
    /// Starts the VPS with a supervisor of its own, a fresh process of this program, and returns when its command
    /// executes.
    /// - Returns: the VPS's name.
    public func detached(on host: Host) throws(CtrError) -> String {
        // The supervisor is spawned from what this process runs.
        try Isolation.guardProgram(options.userns ?? .auto)
        let request = try JSONText.encode(self)
        let answer: [UInt8]
        do throws(SysError) {
            let ends = try Run.spawnSupervisor(on: host)
            try ends.request.fd.writeAll(request)
            answer = try ends.answer.fd.readAll(limit: 1 << 20)
        } catch { throw CtrError(.failed, "start the supervisor", cause: error) }
        guard let reply = try? JSONDecoder().decode(Reply.self, from: Data(answer)) else {
            throw CtrError(.failed, "start the supervisor: it ended without a word (out of memory?)")
        }
        if let error = reply.error { throw error.value }
        return reply.name ?? ""
    }

    /// Returns our ends of its pipes; the others are closed here when this function has returned.
    private static func spawnSupervisor(on host: Host) throws(SysError) -> (request: SharedFD, answer: SharedFD) {
        let input = try Pipe()
        let output = try Pipe()
        // The settings are the caller's; nothing else of its environment concerns a supervisor.
        let settings = CurrentProcess.environment("CTR_CONFIG").map { ["CTR_CONFIG=\($0)"] } ?? []
        let supervisor = try ToolProcess(
            "/proc/self/exe", ["--root", host.root, "--state", host.state, "supervise"],
            environment: ToolProcess.cleanEnvironment + settings, stdin: .file(input.reading),
            stdout: .file(output.writing),
            stderr: .null)
        supervisor.detach()
        return (input.writing, output.reading)
    }
}

/// What the supervisor says of the start.
private struct Reply: Codable {
    var name: String?
    var error: Failure?

    struct Failure: Codable {
        var code: CtrError.Code
        var message: String
        var step: String?
        var errno: Int32?
        var value: CtrError { CtrError(code, message, step: step, errno: errno) }
        init(_ error: CtrError) {
            code = error.code
            message = error.message
            step = error.step
            errno = error.errno
        }
    }
}

/// The hidden verb `supervise`: the supervisor of one detached VPS. It reads the request from standard input, says on
/// standard output how the start went, and stays until the VPS ends.
public enum SuperviseMain {
    public static func main(on host: Host) -> Int32 {
        do throws(CtrError) {
            return try supervise(on: host)
        } catch {
            return error.code.exitStatus
        }
    }

    private static func supervise(on host: Host) throws(CtrError) -> Int32 {
        let signals = try Supervisor.queue()
        let vps: RunningVPS
        let relay: Relay
        do throws(CtrError) {
            let request = try readRequest()
            try describing("session of the supervisor") { () throws(SysError) in
                try CurrentProcess.startSession()
                try CurrentProcess.changeDirectory("/")
            }
            let output = try describing("output of the VPS") { () throws(SysError) in try Pipe() }
            vps = try request.start(on: host, streams: try Streams.detached(into: output))
            relay = try self.relay(vps, output: output)
        } catch {
            try reply(Reply(name: nil, error: .init(error)))
            throw error
        }
        try reply(Reply(name: vps.config.name, error: nil))
        return try vps.supervise(signals: signals, relay: relay)
    }

    private static func relay(_ vps: RunningVPS, output: Pipe) throws(CtrError) -> Relay {
        let directory = vps.place.directory
        return try describing("log of VPS \(vps.config.name)") { () throws(SysError) in
            let log = try ConsoleLog(in: SharedFD(try directory.fd.ensureDirectory("log", mode: 0o700)))
            return Relay(output: vps.process.terminal ?? output.reading, log: log)
        }
    }

    private static func readRequest() throws(CtrError) -> Run {
        let bytes = try describing("request") { () throws(SysError) in try FD.standard(0).readLine(limit: 4 << 20) }
        do { return try JSONDecoder().decode(Run.self, from: Data(bytes)) } catch {
            throw CtrError(.usage, "supervise: only ctr itself starts this verb")
        }
    }

    /// Says how it went and lets go of what the caller waits on.
    private static func reply(_ reply: Reply) throws(CtrError) {
        let bytes = try JSONText.encode(reply)
        try describing("reply") { () throws(SysError) in
            // The caller may have been killed; the VPS does not care.
            try? FD.standard(1).writeAll(bytes)
            try CurrentProcess.pointStandardStreamsAtNull()
        }
    }
}

extension Streams {
    /// No input, both outputs into the pipe.
    fileprivate static func detached(into pipe: Pipe) throws(CtrError) -> Streams {
        let null = try describing("/dev/null") { () throws(SysError) in SharedFD(try open("/dev/null", .readWrite)) }
        return Streams([null, pipe.writing, pipe.writing])
    }
}
