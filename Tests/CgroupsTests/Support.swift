import Cgroups
import Foundation
import Kernel
import Model
import Synchronization
import Testing

/// What a test needs of the host. What is lacking is the reason why it is skipped.
struct HostNeed: Sendable {
    let lacking: @Sendable (CgroupHost) -> String?

    static let root = HostNeed { _ in getuid() == 0 ? nil : "needs root" }
    static let v2 = HostNeed { $0.v2 == nil ? "needs cgroup v2 mounted" : nil }
    /// v2 alone, with every controller.
    static let unified = HostNeed { $0.layout == .unified ? nil : "needs a unified host; this one is \($0.layout)" }

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
    private let processes = Mutex<[Process]>([])
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
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Fixture.probe)
        let record = String(decoding: try JSONEncoder().encode(cgroup.record), as: UTF8.self)
        process.arguments = (userns ? ["--userns"] : []) + [record, "/bin/sh", "-c", command]
        let pipe = Foundation.Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        processes.withLock { $0.append(process) }
        return Running(process: process, output: pipe.fileHandleForReading)
    }

    /// Runs a command to its end.
    func run(_ cgroup: Cgroup, userns: Bool = false, _ command: String) throws -> (status: Int32, output: String) {
        try start(cgroup, userns: userns, command).finish()
    }

    private func clean() {
        for record in made.withLock({ $0 }) {
            let cgroup = try? Cgroup.openWhatIsThere(record)
            try? cgroup?.thaw()
            try? cgroup?.kill()
            do { try Cgroup.remove(record) } catch { Issue.record("left behind: \(error)") }
        }
        for process in processes.withLock({ $0 }) {
            if process.isRunning { process.terminate() }
            process.waitUntilExit()
        }
        try? Cgroup.prune(host: host, path: "ctr-test-\(getpid())")
    }

    private static let probe: String = {
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

struct Running {
    let process: Process
    let output: FileHandle

    /// What it printed so far, up to a line's end at least.
    func line() -> String {
        String(decoding: output.availableData, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func finish() -> (status: Int32, output: String) {
        let data = output.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }
}

/// Waits for something that another process does; a bound, not a measurement.
func eventually(_ seconds: Double = 20, _ condition: () throws -> Bool) rethrows -> Bool {
    let end = Date(timeIntervalSinceNow: seconds)
    while try !condition() {
        if Date() > end { return false }
        usleep(5000)
    }
    return true
}

/// The error that an expression throws.
func thrown<R>(_ body: () throws -> R) -> CtrError? {
    do {
        _ = try body()
        return nil
    } catch { return error as? CtrError }
}
