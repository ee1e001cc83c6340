import Foundation
import Kernel
import Model
import Synchronization
import Testing

@testable import Cgroups

/// What a test needs of the host. What is lacking is the reason why it is skipped.
struct HostNeed: Sendable {
    let lacking: @Sendable (CgroupHost) -> String?

    static let root = HostNeed { _ in getuid() == 0 ? nil : "needs root" }
    static let v2 = HostNeed { $0.v2 == nil ? "needs cgroup v2 mounted" : nil }
    /// v2 alone, with every controller.
    static let unified = HostNeed { $0.layout == .unified ? nil : "needs a unified host; this one is \($0.layout)" }

    static let disk = HostNeed { _ in diskNumber() == nil ? "needs a disk in /sys/block" : nil }

    static func controller(_ controller: CgroupController) -> HostNeed {
        HostNeed { $0.place(of: controller) == .absent ? "needs the cgroup controller \(controller)" : nil }
    }
    static func v1(_ controller: CgroupController) -> HostNeed {
        HostNeed {
            if case .v1 = $0.place(of: controller) { return nil }
            return "needs the cgroup v1 controller \(controller)"
        }
    }
    static func v1Mount(_ controller: CgroupController) -> HostNeed {
        HostNeed { $0.v1[controller] == nil ? "needs the cgroup v1 controller \(controller)" : nil }
    }
    static func file(_ controller: CgroupController, _ name: String) -> HostNeed {
        HostNeed { host in
            guard case .v1(let mount) = host.place(of: controller) else { return nil }
            return FileManager.default.fileExists(atPath: "\(mount)/\(name)") ? nil : "needs \(mount)/\(name)"
        }
    }
}

extension Trait where Self == ConditionTrait {
    static func requires(_ needs: HostNeed...) -> Self {
        let host = (try? CgroupHost.detect()) ?? CgroupHost(v2: nil, v2Controllers: [], v1: [:])
        let lacking = ([HostNeed.root] + needs).compactMap { $0.lacking(host) }
        return .enabled(if: lacking.isEmpty, Comment(rawValue: lacking.joined(separator: ", ")))
    }
}

/// The fixture of kernel tests: cgroups and processes made through it are gone when `body` is left, however that is.
final class Fixture: Sendable {
    let host: CgroupHost
    private let made = Mutex<[CgroupRecord]>([])
    private let processes = Mutex<[Running]>([])
    private static let counter = Atomic<Int>(0)

    private init(host: CgroupHost) { self.host = host }

    static func with(host: CgroupHost? = nil, _ body: (Fixture) throws -> Void) throws {
        let fixture = Fixture(host: try host ?? CgroupHost.detect())
        defer { fixture.clean() }
        try body(fixture)
    }

    /// A name that no other test uses.
    func path() -> String {
        "ctr-test-\(getpid())/t\(Fixture.counter.add(1, ordering: .relaxed).newValue)"
    }

    func create(
        _ resources: Resources = Resources(), devices: [DeviceRule]? = nil, owner: UInt32? = nil, path: String? = nil,
        guestControllers: Set<CgroupController> = [.memory, .pids]
    ) throws -> Cgroup {
        let cgroup = try Cgroup.create(
            host: host, path: path ?? self.path(), resources: resources, devices: devices, owner: owner,
            guestControllers: guestControllers)
        keep(cgroup)
        return cgroup
    }

    func keep(_ cgroup: Cgroup) { made.withLock { $0.append(cgroup.record) } }

    /// Starts a command in a cgroup, through the probe.
    @discardableResult
    func start(_ cgroup: Cgroup, userns: Bool = false, _ command: String) throws -> Running {
        let record = String(decoding: try JSONEncoder().encode(cgroup.record), as: UTF8.self)
        let pipe = try Kernel.Pipe()
        let output = ToolProcess.Stream.file(pipe.writing)
        let running = Running(
            try ToolProcess(
                Fixture.probe, (userns ? ["--userns"] : []) + [record, "/bin/sh", "-c", command], stdout: output,
                stderr: output), output: pipe.reading)
        processes.withLock { $0.append(running) }
        return running
    }

    /// Runs a command to its end.
    func run(_ cgroup: Cgroup, userns: Bool = false, _ command: String) throws -> (
        status: ToolProcess.Status?, output: String
    ) {
        try start(cgroup, userns: userns, command).finish()
    }

    private func clean() {
        for record in made.withLock({ $0 }) {
            let cgroup = try? Cgroup.openWhatIsThere(record)
            try? cgroup?.thaw()
            try? cgroup?.kill()
            do { try Cgroup.remove(record) } catch { Issue.record("left behind: \(error)") }
        }
        for process in processes.withLock({ $0 }) { process.end() }
        try? Cgroup.prune(host: host, path: "ctr-test-\(getpid())")
    }

    static let probe: String = {
        let environment = ProcessInfo.processInfo.environment["CTR_BUILD_DIR"]
        let bundle = CommandLine.arguments.first { $0.contains(".xctest") }
            .map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }
        let candidates = [
            environment, bundle,
            ProcessInfo.processInfo.arguments.first.map {
                URL(fileURLWithPath: $0).deletingLastPathComponent().path
            },
        ].compactMap { $0 }
        let found = candidates.map { "\($0)/cgroup-probe" }.first { FileManager.default.isExecutableFile(atPath: $0) }
        return found ?? "cgroup-probe: not found in \(candidates)"
    }()
}

/// A process that the fixture started.
final class Running: @unchecked Sendable {
    /// Used by one thread: that of the test which started it.
    private var process: ToolProcess?
    private let output: SharedFD

    init(_ process: consuming ToolProcess, output: SharedFD) {
        self.process = consume process
        self.output = output
    }

    /// What it printed since the last call; waits for something.
    func line() throws -> String { String(decoding: try output.fd.read(upTo: 4096), as: UTF8.self).trimmed }

    /// Waits until nobody holds its output open any more, and for its end.
    func finish() throws -> (status: ToolProcess.Status?, output: String) {
        let text = String(decoding: try output.fd.readAll(), as: UTF8.self)
        return (try process.take()?.wait(), text)
    }

    func end() { process = nil }
}

/// Waits for something that another process does; a bound, not a measurement.
func eventually(_ seconds: Double = 60, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date(timeIntervalSinceNow: seconds)
    while try !condition() {
        if Date() > end { return false }
        usleep(5000)
    }
    return true
}

/// A whole disk of this host, as MAJOR:MINOR.
func diskNumber() -> String? {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/sys/block").sorted()) ?? []
    return names.filter { !$0.hasPrefix("loop") && !$0.hasPrefix("ram") }.lazy
        .compactMap { try? String(contentsOfFile: "/sys/block/\($0)/dev", encoding: .utf8).trimmed }.first
}

/// The error that an expression throws.
func thrown<R>(_ body: () throws -> R) -> CtrError? {
    do {
        _ = try body()
        return nil
    } catch { return error as? CtrError }
}
