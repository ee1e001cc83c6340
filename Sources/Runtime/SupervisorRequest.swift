internal import FoundationEssentials
internal import Kernel
public import Model

/// What a supervisor is to do: the one line that it reads from standard input, a word and a name. Only `run`, which makes
/// a VPS of all its options, is a word and JSON: that costs a start half a millisecond at each end.
enum SupervisorRequest {
    /// Makes a VPS and keeps it company.
    case run(Run)
    /// Starts a kept VPS.
    case start(Start)
    /// Lets a suspended VPS go on.
    case resume(Resume)
    /// Takes the place of a supervisor that was killed.
    case adopt(String)
}

extension SupervisorRequest {
    /// Starts a supervisor, a fresh process of this program, and returns when it has done what it was asked to.
    /// - Parameters:
    ///   - lock: the VPS's, which the supervisor holds too until it has answered.
    ///   - meanwhile: called ten times a second until it has.
    /// - Returns: the VPS's name.
    func spawn(on host: Host, lock: VerbLock? = nil, meanwhile: (() -> Void)? = nil) throws(CtrError) -> String {
        let request = try line()
        let answer: [UInt8]
        do throws(SysError) {
            let ends = try spawnProcess(on: host, lock)
            try ends.request.fd.writeAll(request)
            if let meanwhile {
                var poll = Poll()
                poll.add(ends.answer.fd, .readable)
                while try poll.wait(milliseconds: 100)[0].isEmpty { meanwhile() }
            }
            answer = try ends.answer.fd.readAll(limit: 1 << 20)
        } catch { throw CtrError(.failed, "start the supervisor", cause: error) }
        return try SupervisorReply.name(answer)
    }

    private func line() throws(CtrError) -> [UInt8] {
        switch self {
        case .run(let run): Array("run ".utf8) + (try JSONText.encode(run))
        case .start(let start): Array("\(start.rescue ? "rescue" : "start") \(start.name)\n".utf8)
        case .resume(let resume): Array("resume \(resume.name)\n".utf8)
        case .adopt(let name): Array("adopt \(name)\n".utf8)
        }
    }

    private init?(_ line: [UInt8]) {
        guard let space = line.firstIndex(of: UInt8(ascii: " ")) else { return nil }
        let rest = line[(space + 1)...]
        let name = String(decoding: rest.prefix { $0 != 10 }, as: UTF8.self)
        switch String(decoding: line[..<space], as: UTF8.self) {
        case "run":
            guard let run = try? JSONDecoder().decode(Run.self, from: Data(rest)) else { return nil }
            self = .run(run)
        case "start": self = .start(Start(name: name))
        case "rescue": self = .start(Start(name: name, rescue: true))
        case "resume": self = .resume(Resume(name: name))
        case "adopt": self = .adopt(name)
        default: return nil
        }
    }

    /// Returns our ends of its pipes; the others are closed here when this function has returned.
    private func spawnProcess(
        on host: Host, _ lock: VerbLock?
    ) throws(SysError) -> (request: SharedFD, answer: SharedFD) {
        let input = try Pipe()
        let output = try Pipe()
        // The settings are the caller's; nothing else of its environment concerns a supervisor.
        let supervisor = try ToolProcess(
            "/proc/self/exe", ["--root", host.root, "--state", host.state, "supervise"],
            environment: Settings.environment, stdin: .file(input.reading),
            stdout: .file(output.writing), stderr: .null, handed: lock?.directory)
        supervisor.detach()
        return (input.writing, output.reading)
    }

    /// In the supervisor.
    static func read() throws(CtrError) -> SupervisorRequest {
        let bytes = try describing("request") { () throws(SysError) in try FD.standard(0).readLine(limit: 4 << 20) }
        if let request = SupervisorRequest(bytes) { return request }
        throw CtrError(.usage, "supervise: only ctr itself starts this verb")
    }
}

/// What the supervisor says of the start: `done NAME`, or why not, in JSON.
enum SupervisorReply {
    case done(String)
    case failed(CtrError)

    private struct Failure: Codable {
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

    private static let word = Array("done ".utf8)

    /// The VPS's name, as the supervisor answered.
    static func name(_ answer: [UInt8]) throws(CtrError) -> String {
        if answer.starts(with: word), answer.last == 10 {
            return String(decoding: answer.dropFirst(word.count).dropLast(), as: UTF8.self)
        }
        guard let failure = try? JSONDecoder().decode(Failure.self, from: Data(answer)) else {
            throw CtrError(.failed, "start the supervisor: it ended without a word (out of memory?)")
        }
        throw failure.value
    }

    /// Says how it went and lets go of what the caller waits on.
    func send() throws(CtrError) {
        let bytes: [UInt8]
        switch self {
        case .done(let name): bytes = SupervisorReply.word + Array("\(name)\n".utf8)
        case .failed(let error): bytes = try JSONText.encode(Failure(error))
        }
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
