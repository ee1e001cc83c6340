import Foundation
import Kernel
import Model
import NamespaceProbeRequest
import Testing

extension Trait where Self == ConditionTrait {
    static var requiresRoot: Self {
        .enabled(if: getuid() == 0, "needs root")
    }
}

/// A directory of one test with a small system in it, gone when `body` is left.
///
///     template/   busybox and what a test adds          outside/canary   must stay as it is
///     disk/       upper  work                           point/           where roots are attached
struct Fixture {
    let path: String
    static let base: UInt32 = 1_900_000_000
    static let maps = [IDMap(container: 0, host: base, size: 65536)]
    static let all: NamespaceFlags = [.mount, .pid, .uts, .ipc, .user, .network, .cgroup, .time]
    /// What a VPS has by default, in the host's user namespace.
    static let standard: NamespaceFlags = [.mount, .pid, .uts, .ipc, .network, .cgroup]

    static func with(_ body: (Fixture) throws -> Void) throws {
        let name = "ctr-namespace-test-" + String(UInt64.random(in: .min ... .max), radix: 16)
        let fixture = Fixture(path: "/tmp/\(name)")
        try Kernel.open("/tmp", [.directory]).makeDirectory(name, mode: 0o700)
        defer {
            do { try Kernel.open("/tmp", [.directory]).removeTree(name) } catch { Issue.record("left behind: \(error)") }
        }
        try fixture.fill()
        try body(fixture)
        #expect(try fixture.sh("ls -A outside; cat outside/canary; ls -A point") == "canary\nuntouched\n")
    }

    private func fill() throws {
        try sh(
            """
            umask 022
            mkdir -p template/bin template/etc disk/upper disk/work point outside
            echo untouched > outside/canary
            cp /bin/busybox template/bin/busybox
            for name in sh cat ls stat mount umount mkdir id readlink hostname sleep true echo touch chmod chown \
                head wc grep mknod test kill cut dd tty ln rm env ps rmdir date; do
                ln -s busybox template/bin/$name
            done
            """)
    }

    /// Runs a shell command of the host in the fixture's directory; returns both outputs.
    @discardableResult
    func sh(_ command: String) throws -> String {
        let (status, output) = try Fixture.run("/bin/sh", ["-c", "cd '\(path)' && { \(command)\n}"])
        if status != .exited(0) { throw Failure(text: "\(command): \(status.text): \(output)") }
        return output
    }

    static func run(_ tool: String, _ arguments: [String]) throws -> (ToolProcess.Status, String) {
        var pipe: Kernel.Pipe? = try Kernel.Pipe()
        let reading = pipe!.reading
        let process = try ToolProcess(
            tool, arguments, stdout: .file(pipe!.writing), stderr: .file(pipe!.writing))
        // The writing end is the tool's alone, so that its end is the end of the file.
        pipe = nil
        let output = try reading.fd.readAll()
        return (try process.wait(), String(decoding: output, as: UTF8.self))
    }

    struct Failure: Error { var text: String }

    // MARK: requests

    /// A VPS with this shell script as its program.
    func request(_ script: String, _ namespaces: NamespaceFlags = all) -> ProbeRequest {
        request(args: ["sh", "-c", script], namespaces)
    }

    func request(args: [String], _ namespaces: NamespaceFlags = all) -> ProbeRequest {
        var request = ProbeRequest(
            args: args, layers: ["\(path)/template"], disk: "\(path)/disk", mountPoint: "\(path)/point",
            namespaces: namespaces.rawValue)
        if namespaces.contains(.user) { request.maps = Fixture.maps }
        return request
    }

    /// Lets the probe do it.
    /// - Parameter prelude: shell commands before it, in a mount namespace that only they and the probe have.
    func launch(_ request: ProbeRequest, prelude: String? = nil) throws -> ProbeReply {
        let json = String(decoding: try JSONEncoder().encode(request), as: UTF8.self)
        let (status, output): (ToolProcess.Status, String)
        if let prelude {
            (status, output) = try Fixture.run(
                "unshare",
                ["-m", "sh", "-c", "cd '\(path)'; \(prelude)\n exec \"$@\"", "sh", Fixture.probe, "launch", json])
        } else {
            (status, output) = try Fixture.run(Fixture.probe, ["launch", json])
        }
        let dies = request.ending == .dieReady || request.ending == .dieRunning
        guard status == (dies ? .signaled(Signal.kill) : .exited(0)) else {
            throw Failure(text: "\(status.text): \(output)")
        }
        return try JSONDecoder().decode(ProbeReply.self, from: Data(output.utf8))
    }

    /// What a script prints in a VPS; it must succeed, and its starter be as before.
    func output(_ request: ProbeRequest, prelude: String? = nil) throws -> String {
        let reply = try launch(request, prelude: prelude)
        if let failure = reply.failure { throw Failure(text: failure.message) }
        expectUnchanged(reply)
        let ending = try #require(reply.ending)
        #expect(ending.exited == 0, "\(ending)")
        return ending.output
    }

    func output(_ script: String, _ namespaces: NamespaceFlags = all) throws -> String {
        try output(request(script, namespaces))
    }

    /// The probe's namespaces, directories, ids, mask, descriptors and mounts are the same, and it has no child.
    func expectUnchanged(_ reply: ProbeReply, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(here(reply.before) == here(reply.after), sourceLocation: sourceLocation)
        #expect(reply.after.children == [], sourceLocation: sourceLocation)
    }

    /// Other tests mount things too.
    func here(_ facts: CallerFacts) -> CallerFacts {
        var facts = facts
        facts.mounts = facts.mounts.filter { $0.contains(path) }
        return facts
    }

    /// Built beside the test bundle, or where Swift's own test helper was told to find the bundle.
    static let probe: String = {
        let own = (try? Kernel.open("/", [.directory]).readLink("/proc/self/exe").description) ?? ""
        let places = [own] + CommandLine.arguments.filter { $0.contains(".build/") }
        let candidates = places.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path + "/namespace-probe" }
        return candidates.first { FileManager.default.isExecutableFile(atPath: $0) } ?? "namespace-probe: not found"
    }()

    /// Waits until a process has ended, at most a minute.
    static func ends(_ pid: Int32) throws -> Bool {
        do throws(SysError) {
            let handle = try ProcessHandle(pid: pid)
            var poll = Poll()
            poll.add(handle.pidfd, .readable)
            return try poll.wait(milliseconds: 60_000)[0].contains(.readable)
        } catch {
            if error.errno == Errno.noProcess { return true }
            throw error
        }
    }
}
