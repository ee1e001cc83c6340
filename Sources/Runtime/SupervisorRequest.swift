internal import FoundationEssentials
internal import Kernel
public import Model

/// What a supervisor is to do: the one line that it reads from standard input.
enum SupervisorRequest: Codable {
    /// Makes a VPS and keeps it company.
    case run(Run)
    /// Starts a kept VPS.
    case start(Start)
    /// Takes the place of a supervisor that was killed.
    case adopt(String)
}

extension SupervisorRequest {
    /// Starts a supervisor, a fresh process of this program, and returns when it has done what it was asked to.
    /// - Parameter lock: the VPS's, which the supervisor holds too until it has answered.
    /// - Returns: the VPS's name.
    func spawn(on host: Host, lock: VerbLock? = nil) throws(CtrError) -> String {
        let request = try JSONText.encode(self)
        let answer: [UInt8]
        do throws(SysError) {
            let ends = try spawnProcess(on: host, lock)
            try ends.request.fd.writeAll(request)
            answer = try ends.answer.fd.readAll(limit: 1 << 20)
        } catch { throw CtrError(.failed, "start the supervisor", cause: error) }
        guard let reply = try? JSONDecoder().decode(SupervisorReply.self, from: Data(answer)) else {
            throw CtrError(.failed, "start the supervisor: it ended without a word (out of memory?)")
        }
        if let error = reply.error { throw error.value }
        return reply.name ?? ""
    }

    /// Returns our ends of its pipes; the others are closed here when this function has returned.
    private func spawnProcess(
        on host: Host, _ lock: VerbLock?
    ) throws(SysError) -> (request: SharedFD, answer: SharedFD) {
        let input = try Pipe()
        let output = try Pipe()
        // The settings are the caller's; nothing else of its environment concerns a supervisor.
        let settings = CurrentProcess.environment("CTR_CONFIG").map { ["CTR_CONFIG=\($0)"] } ?? []
        let supervisor = try ToolProcess(
            "/proc/self/exe", ["--root", host.root, "--state", host.state, "supervise"],
            environment: ToolProcess.cleanEnvironment + settings, stdin: .file(input.reading),
            stdout: .file(output.writing), stderr: .null, handed: lock?.directory)
        supervisor.detach()
        return (input.writing, output.reading)
    }

    /// In the supervisor.
    static func read() throws(CtrError) -> SupervisorRequest {
        let bytes = try describing("request") { () throws(SysError) in try FD.standard(0).readLine(limit: 4 << 20) }
        do { return try JSONDecoder().decode(SupervisorRequest.self, from: Data(bytes)) } catch {
            throw CtrError(.usage, "supervise: only ctr itself starts this verb")
        }
    }
}

/// What the supervisor says of the start.
struct SupervisorReply: Codable {
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

    /// Says how it went and lets go of what the caller waits on.
    func send() throws(CtrError) {
        let bytes = try JSONText.encode(self)
        try describing("reply") { () throws(SysError) in
            // The caller may have been killed; the VPS does not care.
            try? FD.standard(1).writeAll(bytes)
            try CurrentProcess.pointStandardStreamsAtNull()
        }
    }
}

extension Run {
    /// Starts the VPS with a supervisor of its own and returns when its command executes.
    /// - Returns: the VPS's name.
    public func detached(on host: Host) throws(CtrError) -> String {
        // The supervisor is spawned from what this process runs.
        try Isolation.guardProgram(options.userns ?? .auto)
        return try SupervisorRequest.run(self).spawn(on: host)
    }
}
