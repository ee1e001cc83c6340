import Glibc
import Kernel
import Testing

/// The built `ctr` on a root, state and cgroup parent of one test's own, with the template `minimal` in it.
///
/// `Fixture.with { (f) throws in ... }` removes all of it on every way out, last made first gone, and before that shows that the
/// VPSs of the test left nothing on the host: mounts, cgroups, processes, id ranges, directories.
final class Fixture {
    /// Holds everything of this test; no path of the host contains its name otherwise.
    let path: String
    var root: String { "\(path)/root" }
    var state: String { "\(path)/state" }
    /// Before every VPS's name, so that two tests never mean the same.
    let prefix: String
    let program: String
    private var undo: [() -> Void] = []
    private var scripts = 0

    static func with(leftovers: Bool = true, _ body: (Fixture) throws -> Void) throws {
        let fixture = try Fixture()
        defer { fixture.cleanUp() }
        try body(fixture)
        if leftovers { try fixture.expectNothingLeft() }
    }

    /// As ``with(leftovers:_:)`` for tests whose VPSs are kept: they are destroyed at the end, as an operator would.
    static func withServers(_ body: (Fixture) throws -> Void) throws {
        try with { (f) throws in
            try body(f)
            for name in try f.ctr("list", "-q").lines where !name.isEmpty {
                _ = try f.ctr("unpause", name)
                _ = try f.ctr("set", name, "--no-protect")
                try f.ctr("destroy", "--force", name).succeeds()
            }
        }
    }

    private init() throws {
        let shared = try SharedTemplate.get()
        program = shared.program
        prefix = "t\(String(UInt32.random(in: 0x100_0000 ... .max), radix: 36))"
        path = "\(shared.path)/\(prefix)"
        try Kernel.open("/", [.directory]).makeDirectory(path, mode: 0o700)
        try write("config.json", "{\"idRegistry\": \"\(shared.path)/ids\", \"disk\": \"none\", \"net\": \"none\"}")
        // Hard links: a template is never written to, so all tests can have the same files. Its lock is each test's own.
        try sh(
            """
            mkdir -p -m 700 root && cp -al '\(shared.path)/root/templates' root/
            rm root/templates/minimal/lock && (umask 77; : > root/templates/minimal/lock)
            """
        ).succeeds()
    }

    /// Runs `body` when the test ends, before what was asked for earlier.
    func atEnd(_ body: @escaping () -> Void) { undo.append(body) }

    private func cleanUp() {
        for body in undo.reversed() { body() }
        // Only what carries this test's name in its environment, or is in its cgroup, is ours to kill.
        for pid in processes() { kill(pid, SIGKILL) }
        for cgroup in cgroups() {
            try? Kernel.open("\(cgroup)/cgroup.kill", [.writeOnly]).writeAll([UInt8(ascii: "1")])
            for pid in (try? numbers(in: "\(cgroup)/cgroup.procs")) ?? [] { kill(pid, SIGKILL) }
            until(5) { rmdir(cgroup) == 0 || errno != EBUSY }
        }
        _ = try? sh("umount -R -l '\(path)' 2>/dev/null; rm -rf --one-file-system '\(path)'", directory: "/tmp")
    }

    // MARK: names and files

    /// A VPS's name of this test.
    func name(_ word: String = "a") -> String { "\(prefix)-\(word)" }

    func write(_ name: String, _ text: String, mode: UInt32 = 0o644) throws {
        let directory = try Kernel.open(path, [.directory])
        try directory.open(name, [.writeOnly, .create, .truncate], mode: mode).writeAll(Array(text.utf8))
    }

    /// A file's text; a relative path is below the test's directory.
    func text(_ name: String) throws -> String {
        String(
            decoding: try Kernel.open(name.hasPrefix("/") ? name : "\(path)/\(name)", [.readOnly]).readAll(),
            as: UTF8.self)
    }

    func exists(_ name: String) -> Bool {
        (try? Kernel.open(name.hasPrefix("/") ? name : "\(path)/\(name)", [.path, .noFollow])) != nil
    }

    // MARK: programs

    /// What every program of a test finds in its environment. `$CTR` is the program under test.
    var environment: [String] {
        ToolProcess.cleanEnvironment + [
            "CTR=\(program)", "CTR_ROOT=\(root)", "CTR_STATE=\(state)", "CTR_CONFIG=\(path)/config.json",
            "CTR_TEST=\(path)", "TERM=xterm", "N=\(prefix)",
        ]
    }

    /// Runs ctr to its end, at most `timeout` seconds: a hang is a failure that shows what was printed.
    @discardableResult
    func ctr(
        _ arguments: String..., input: String? = nil, timeout: Int = 30, at location: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        try start(program, arguments, input: input).wait(timeout, at: location)
    }

    /// Runs a shell script in the test's directory. `$CTR` is the program, `$N` the prefix of names.
    @discardableResult
    func sh(
        _ script: String, timeout: Int = 30, directory: String? = nil, at location: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        try startScript(script, directory: directory).wait(timeout, at: location)
    }

    func startScript(_ script: String, directory: String? = nil) throws -> RunningProgram {
        try start("/bin/bash", ["-c", "cd '\(directory ?? path)' || exit 99\n\(script)"])
    }

    /// Starts ctr and returns.
    func start(_ arguments: String...) throws -> RunningProgram { try start(program, arguments) }

    func start(_ program: String, _ arguments: [String], input: String? = nil) throws -> RunningProgram {
        scripts += 1
        let base = "\(path)/.run\(scripts)"
        if let input { try write(".run\(scripts).in", input) }
        return try RunningProgram(
            program, arguments, environment: environment, base: base, input: input == nil ? nil : "\(base).in")
    }

    // MARK: templates

    /// Makes a template out of `minimal`, changed by a shell script that runs in its root, and imports it as a user would.
    @discardableResult
    func template(
        _ name: String, _ script: String, at location: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        try sh(
            """
            set -e
            mkdir -p made && rm -rf made/\(name) && cp -a root/templates/minimal/rootfs made/\(name)
            (cd made/\(name); \(script))
            "$CTR" template import "$PWD/made/\(name)" --name \(name)
            """, at: location)
    }

    /// A template that is already in the store, whatever an import would have said to it.
    func plantTemplate(_ name: String, _ script: String = ":", json: String? = nil) throws {
        try sh(
            """
            set -e
            mkdir root/templates/\(name)
            cp -al root/templates/minimal/rootfs root/templates/\(name)/rootfs
            : > root/templates/\(name)/lock
            sed 's/"name" : "minimal"/"name" : "\(name)"/' root/templates/minimal/template.json > root/templates/\(name)/template.json
            cd root/templates/\(name)/rootfs; \(script)
            """
        ).succeeds()
        if let json { try write("root/templates/\(name)/template.json", json) }
    }
}

/// The template `minimal`, built once in each test process by the program under test.
struct SharedTemplate: Sendable {
    let path: String
    let program: String

    private static let made = Result { try make() }
    static func get() throws -> SharedTemplate { try made.get() }

    struct Missing: Error, CustomStringConvertible { let description: String }

    private static func make() throws -> SharedTemplate {
        // Tests/EndToEndTests/Fixture.swift
        let package = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
        let program = getenv("CTR_BIN").map { String(cString: $0) } ?? "\(package)/bin/ctr"
        guard access(program, X_OK) == 0 else {
            throw Missing(description: "\(program): no program to test: run 'make build' first, or set CTR_BIN")
        }
        sweepOld()
        let path = "/tmp/ctr-e2e-\(getpid())"
        try Kernel.open("/tmp", [.directory]).makeDirectory(path, mode: 0o700)
        atexit {
            let path = "/tmp/ctr-e2e-\(getpid())"
            for cgroup in Fixture.cgroups(ofState: "\(path)/state") { rmdir(cgroup) }
            removeTree(path)
        }
        try Kernel.open(path, [.directory]).open("config.json", [.writeOnly, .create], mode: 0o600)
            .writeAll(Array("{\"idRegistry\": \"\(path)/ids\", \"net\": \"none\"}".utf8))
        let built = try RunningProgram(
            program, ["template", "build", "\(package)/rootfs-templates/minimal"],
            environment: ToolProcess.cleanEnvironment + ToolProcess.proxyEnvironment + [
                "CTR_ROOT=\(path)/root", "CTR_STATE=\(path)/state", "CTR_CONFIG=\(path)/config.json",
            ], base: "\(path)/build", input: nil
        ).wait(120)
        guard built.status == 0 else {
            throw Missing(
                description: "template build rootfs-templates/minimal: status \(built.status ?? -1): \(built.both)")
        }
        return SharedTemplate(path: path, program: program)
    }

    /// What a test process that was killed left.
    private static func sweepOld() {
        guard let names = try? Kernel.open("/tmp", [.directory]).entries().map(\.name.description) else { return }
        for name in names where name.hasPrefix("ctr-e2e-") {
            guard let pid = Int32(name.dropFirst("ctr-e2e-".count)), kill(pid, 0) != 0 else { continue }
            removeTree("/tmp/\(name)")
        }
    }
}

private func removeTree(_ path: String) {
    do { _ = try ToolProcess("/bin/rm", ["-rf", "--one-file-system", path]).wait() } catch {}
}

/// Looks again until a condition holds, at most so many seconds; returns whether it did.
@discardableResult
func until(_ seconds: Int, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Timestamp.monotonic() + UInt64(seconds) * 1_000_000_000
    while true {
        if try condition() { return true }
        if Timestamp.monotonic() > end { return false }
        CurrentProcess.sleep(milliseconds: 10)
    }
}
