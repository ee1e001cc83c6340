import Glibc
import Kernel
import Testing

/// The template `debian-12` for tests. It is built from its recipe by the program under test and kept as an archive in
/// `.lab/templates`, named after a hash of the recipe, so that later runs and the lab, which has no network, import it.
enum Distribution {
    /// The store that tests take their copy of the template from.
    private static let store = Result { try make() }

    /// Why the tests can't run here; nil if they can.
    static let lack: String? =
        getuid() != 0
        ? "needs root"
        : archive != nil || canReachMirror
            ? nil : "no archive of debian-12 in .lab/templates, and Debian's mirror can't be reached"

    /// Whether packages can be fetched, through a proxy where the environment names one.
    static let canReachMirror: Bool =
        shell(
            """
            python3 -c 'import urllib.request as r
            r.urlopen("http://deb.debian.org/debian/dists/bookworm/InRelease", timeout=10).read(1)'
            """) != nil

    private static let package = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
    private static let recipe = "\(package)/rootfs-templates/debian-12"
    private static let cache = "\(package)/.lab/templates"

    private static let key = shell(
        "cd '\(recipe)' && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16")

    /// The archive of the recipe as it is now, if there is one.
    private static var archive: String? {
        guard let key, case let path = "\(cache)/debian-12-\(key).tar", access(path, R_OK) == 0 else { return nil }
        return path
    }

    /// Puts the template into a test's own store: hard links, as with `minimal`.
    static func add(to f: Fixture) throws {
        let store = try store.get()
        try f.sh(
            """
            cp -al '\(store)/templates/debian-12' root/templates/
            rm root/templates/debian-12/lock && (umask 77; : > root/templates/debian-12/lock)
            """, timeout: 120
        ).succeeds()
    }

    private static func make() throws -> String {
        let shared = try SharedTemplate.get()
        let root = "\(shared.path)/distribution"
        func ctr(_ arguments: String..., seconds: Int) throws {
            let outcome = try RunningProgram(
                shared.program, arguments,
                environment: ToolProcess.cleanEnvironment + ToolProcess.proxyEnvironment + [
                    "CTR_ROOT=\(root)", "CTR_STATE=\(shared.path)/state", "CTR_CONFIG=\(shared.path)/config.json",
                ], base: "\(shared.path)/distribution-\(arguments[1])", input: nil
            ).wait(seconds)
            guard outcome.status == 0 else {
                throw SharedTemplate.Missing(
                    description:
                        "ctr \(arguments.joined(separator: " ")): status \(outcome.status ?? -1): \(outcome.both)")
            }
        }
        if let archive {
            try ctr("template", "import", archive, "--name", "debian-12", seconds: 300)
            return root
        }
        try ctr("template", "build", recipe, seconds: 600)
        // The next run's: whole or not at all, and no more than one.
        guard shell("mkdir -p '\(cache)' && rm -f '\(cache)'/*") != nil else { return root }
        try ctr("template", "export", "debian-12", "\(cache)/.new.tar", seconds: 120)
        _ = shell("mv '\(cache)/.new.tar' '\(cache)/debian-12-\(key ?? "unknown").tar'")
        return root
    }

    /// The line that a script prints; nil if it fails.
    private static func shell(_ script: String) -> String? {
        do { return try output(script) } catch { return nil }
    }

    private static func output(_ script: String) throws -> String? {
        var pipe: Kernel.Pipe? = try Kernel.Pipe()
        let reading = pipe!.reading
        let tool = try ToolProcess(
            "bash", ["-o", "pipefail", "-c", script],
            environment: ToolProcess.cleanEnvironment + ToolProcess.proxyEnvironment, stdout: .file(pipe!.writing),
            stderr: .null)
        // The writing end is the tool's alone, so that its end is the end of the file.
        pipe = nil
        let text = String(decoding: try reading.fd.readAll(), as: UTF8.self)
        return try tool.wait() == .exited(0) ? String(text.prefix { !$0.isNewline }) : nil
    }
}

/// A kept VPS whose init has been started.
struct BootedVPS {
    let f: Fixture
    let name: String

    /// Starts init of a template and waits until it says that the system is up.
    init(
        _ f: Fixture, template: String = "debian-12", options: [String] = [],
        at location: SourceLocation = #_sourceLocation
    ) throws {
        self.f = f
        name = f.name()
        try f.start(
            f.program, ["run", "-d", "--keep", "--name", name] + options + [template, "/sbin/init"]
        ).wait(60, at: location).succeeds(at: location)
        guard template != "minimal" else { return }
        // In the lab every process takes its time: few looks, and then systemd itself waits.
        var state = ""
        let booted = try until(300) {
            state = try sh("systemctl is-system-running --wait 2>&1", at: location).line
            if state == "running" || state == "degraded" { return true }
            CurrentProcess.sleep(milliseconds: 200)
            return false
        }
        try #require(booted, "\(state): \(log)", sourceLocation: location)
    }

    /// What its console has shown, for messages.
    private var log: String { (try? f.ctr("logs", name).both) ?? "" }

    /// Runs a script inside.
    @discardableResult
    func sh(
        _ script: String, timeout: Int = 300, at location: SourceLocation = #_sourceLocation
    ) throws -> Outcome {
        try f.start(f.program, ["exec", name, "--", "/bin/sh", "-c", script]).wait(timeout, at: location)
    }

    /// Waits until it has rebooted from inside, which its supervisor sees and starts it again for; then it is removed.
    func rebooted(at location: SourceLocation = #_sourceLocation) throws {
        let again = try until(120) {
            guard f.exists("root/vps/\(name)/last.json") else { return false }
            return try f.ctr("show", name).out.contains("rebooted from inside")
        }
        try #require(again, "not rebooted: \(log)", sourceLocation: location)
        try f.ctr("destroy", "--force", name, timeout: 90, at: location).succeeds(at: location)
    }

    /// Waits for the VPS's own end and expects how its first process ended, as a shell reports it; then it is removed.
    func ended(with status: Int, at location: SourceLocation = #_sourceLocation) throws {
        let ended = until(120) { !f.exists("state/\(name)") }
        try #require(ended, "still there: \(log)", sourceLocation: location)
        let last = try JSON(text: f.text("root/vps/\(name)/last.json"))
        #expect(last["exitStatus"]?.int == status, "\(last)", sourceLocation: location)
        try f.ctr("destroy", name, at: location).succeeds(at: location)
    }
}
