import FoundationEssentials
import Kernel
import Model
import Testing

@testable import Runtime

/// The event log: what is written, what is read back, and what it bears.
@Suite struct EventLogTests {
    private static func with(_ body: (Host) throws -> Void) throws {
        let path = "/tmp/ctr-event-test-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        defer { try? Kernel.open("/tmp", [.directory]).removeTree(String(path.dropFirst("/tmp/".count))) }
        try Kernel.open("/tmp", [.directory]).makeDirectory(path, mode: 0o700)
        try body(Host(root: path, state: "\(path)/state"))
    }

    private func events(_ host: Host, names: [String] = [], since: Int64? = nil) throws -> [EventRecord] {
        var all: [EventRecord] = []
        try Events(names: names, since: since, follow: false).run(on: host) { all.append($0) }
        return all
    }

    private func add(_ bytes: String, to file: String = "events.jsonl", _ host: Host) throws {
        let log = try Host.ensure("\(host.root)/log")
        try log.open(file, [.writeOnly, .create, .append], mode: 0o600).writeAll(Array(bytes.utf8))
    }

    private func text(_ host: Host, _ file: String = "events.jsonl") throws -> String {
        String(decoding: try Kernel.open("\(host.root)/log/\(file)", [.readOnly]).readAll(), as: UTF8.self)
    }

    @Test func whatIsWrittenIsReadBack() throws {
        try Self.with { (host) throws in
            let log = EventLog(host)
            for kind in EventLog.Kind.allCases { log.append(kind, vps: "web") }
            log.append(.stopped, vps: "db", detail: ["exitStatus": 137, "cause": "oom", "last": true])
            let all = try events(host)
            #expect(all.map(\.event) == EventLog.Kind.allCases.map(\.rawValue) + ["stopped"])
            #expect(all.last?.detail == ["exitStatus": 137, "cause": "oom", "last": true])
            #expect(all.allSatisfy { TimeText.milliseconds(rfc3339: $0.time) != nil })
            #expect(try events(host, names: ["db"]).count == 1)
            #expect(try events(host, names: ["db", "web"]).count == all.count)
            let directory = try Kernel.open("\(host.root)/log", [.directory])
            #expect(try directory.status(of: "events.jsonl").permissions == 0o600)
            #expect(try directory.status().permissions == 0o700)
            // Programs that are no ctr read it line by line.
            #expect(try text(host).split(separator: "\n").count == all.count)
        }
    }

    @Test func controlCharactersStayInTheirLine() throws {
        try Self.with { (host) throws in
            EventLog(host).append(.changed, vps: "a", detail: ["text": "x\n{\"vps\":\"b\"}\u{0}\u{1b}"])
            EventLog(host).append(.changed, vps: "a", detail: ["text": .text(String(repeating: "é", count: 5000))])
            let all = try events(host)
            #expect(all.first?.detail["text"] == "x\n{\"vps\":\"b\"}\u{0}\u{1b}")
            #expect(all.last?.detail["text"] == .text(String(repeating: "é", count: 1024)))
            #expect(try text(host).split(separator: "\n").count == 2)
        }
    }

    @Test func garbageIsPassedOver() throws {
        try Self.with { (host) throws in
            let log = EventLog(host)
            log.append(.started, vps: "a")
            try add(
                "garbage\n{\"time\":1}\n\u{0}\u{0}\n[]\n\n{\"time\":\"x\",\"vps\":\"a\",\"event\":\"odd\",\"detail\":{}}\n",
                host)
            try add(String(repeating: "x", count: 200_000) + "\n", host)
            log.append(.paused, vps: "a")
            // A line that was cut short spoils itself and no other.
            try add("{\"time\":\"2026-", host)
            log.append(.unpaused, vps: "a")
            #expect(try events(host).map(\.event) == ["started", "odd", "paused", "unpaused"])
            // One without a time is never since then.
            #expect(try events(host, since: 0).map(\.event) == ["started", "paused", "unpaused"])
        }
    }

    @Test func sinceThen() throws {
        try Self.with { (host) throws in
            for (second, event) in [(10, "a"), (20, "b"), (30, "c")] {
                try add(
                    "{\"time\":\"2026-01-01T00:00:\(second).500Z\",\"vps\":\"v\",\"event\":\"\(event)\",\"detail\":{}}\n",
                    host)
            }
            let at = try #require(TimeText.milliseconds(rfc3339: "2026-01-01T00:00:20.500Z"))
            #expect(try events(host, since: at).map(\.event) == ["b", "c"])
            #expect(try events(host, since: at + 1).map(\.event) == ["c"])
        }
    }

    @Test func aRenameBelongsToBothNames() throws {
        try Self.with { (host) throws in
            EventLog(host).append(.renamed, vps: "old", detail: ["to": "new"])
            #expect(try events(host, names: ["new"]).count == 1)
            #expect(try events(host, names: ["old"]).count == 1)
            #expect(try events(host, names: ["other"]).isEmpty)
        }
    }

    @Test func rotation() throws {
        try Self.with { (host) throws in
            let log = EventLog(host)
            log.append(.created, vps: "first")
            // As big as it may get; the lines are none, which is cheaper to write.
            try add(String(repeating: "x\n", count: 2 << 20), host)
            log.append(.started, vps: "second")
            log.append(.ready, vps: "second")
            #expect(try text(host, "events.jsonl.1").hasPrefix("{"))
            #expect(try text(host).split(separator: "\n").count == 2)
            #expect(try events(host).map(\.event) == ["created", "started", "ready"])
            try add(String(repeating: "x\n", count: 2 << 20), host)
            log.append(.paused, vps: "second")
            #expect(try events(host).map(\.event) == ["started", "ready", "paused"])
        }
    }

    @Test func nothingFailsForIt() throws {
        try Self.with { (host) throws in
            // In the place of its directory and of its file: something else, and a link out of the root.
            try Kernel.open(host.root, [.directory]).open("log", [.writeOnly, .create], mode: 0o600).writeAll([120])
            EventLog(host).append(.started, vps: "a")
            try Kernel.open(host.root, [.directory]).unlink("log")
            let log = try Host.ensure("\(host.root)/log")
            try log.symlink("events.jsonl", to: "\(host.root)/outside")
            EventLog(host).append(.started, vps: "a")
            #expect((try? Kernel.open("\(host.root)/outside", [.readOnly])) == nil)
            try log.unlink("events.jsonl")
            // Somebody holds the lock and sleeps: the event is written all the same.
            let other = try Kernel.open("\(host.root)/log", [.directory])
            try other.lock(.exclusive, wait: false)
            EventLog(host).append(.started, vps: "a")
            #expect(try events(host).count == 1)
        }
        // A root that can't be written to.
        EventLog(try Host(root: "/proc/ctr", state: "/proc/ctr")).append(.started, vps: "a")
    }

    @Test func manyProcessesAtOnce() throws {
        try Self.with { (host) throws in
            let own = try Kernel.open("/proc/self", [.path, .directory]).readLink("exe").description
            let probe = own.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/event-probe"
            // Together more than one file holds: the rotation happens while all of them write.
            let words = String(repeating: "w", count: 900)
            let tools = try (0..<8).map { (number) throws in
                Box(
                    try ToolProcess(
                        probe, [host.root, "vps-\(number)", "700", words], environment: ToolProcess.cleanEnvironment))
            }
            for tool in tools { #expect(try tool.wait() == .exited(0)) }
            let all = try events(host)
            #expect(all.count == 5600)
            #expect(try !text(host, "events.jsonl.1").isEmpty)
            for number in 0..<8 {
                let numbers = all.filter { $0.vps == "vps-\(number)" }.map { $0.detail["number"] }
                #expect(numbers == (0..<700).map { EventDetail.number($0) })
            }
        }
    }

    /// Values with one owner can't lie in an array.
    private final class Box {
        private var tool: ToolProcess?
        init(_ tool: consuming ToolProcess) { self.tool = consume tool }
        func wait() throws -> ToolProcess.Status? { try tool.take()?.wait() }
    }
}
