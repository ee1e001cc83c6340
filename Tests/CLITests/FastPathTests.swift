import ArgumentParser
import FoundationEssentials
import Model
import Testing

@testable import ctr

/// The fast path and ArgumentParser read the same command lines, and mean the same by them.
@Suite struct FastPathTests {
    // MARK: the table against ArgumentParser's own dump

    private struct Dump: Decodable {
        let command: Command

        struct Command: Decodable {
            let commandName: String
            let subcommands: [Command]?
            let arguments: [Argument]?
        }

        struct Argument: Decodable {
            let kind: String
            let names: [Name]?
        }

        struct Name: Decodable {
            let kind: String
            let name: String
        }
    }

    private struct Missing: Error {}

    static func dumped(_ verb: String) throws -> [OptionName] {
        let dump = try JSONDecoder().decode(Dump.self, from: Data(Ctr._dumpHelp().utf8)).command
        guard let command = dump.subcommands?.first(where: { $0.commandName == verb }) else { throw Missing() }
        let options = (command.arguments ?? []).filter { $0.kind != "positional" }.map { argument in
            let long = argument.names?.first { $0.kind == "long" }?.name ?? ""
            let short = argument.names?.first { $0.kind == "short" }?.name
            return OptionName("--\(long)", short.map { "-\($0)" }, value: argument.kind == "option")
        }
        return options.filter { $0.long != "--help" && $0.long != "--version" }
    }

    private func text(_ options: [OptionName]) -> [String] {
        options.map { "\($0.long) \($0.short ?? "") \($0.takesValue)" }.sorted()
    }

    @Test func tableOfRunIsArgumentParsers() throws {
        #expect(try text(Self.dumped("run")) == text(OptionTable.run.options))
    }

    @Test func tableOfExecIsArgumentParsers() throws {
        #expect(try text(Self.dumped("exec")) == text(OptionTable.exec.options))
    }

    // MARK: both read the same

    private func slow(_ verb: String, _ words: [String]) throws -> Invocation {
        switch verb {
        case "run":
            let parsed = try #require(try Parsing.parse(RunCommand.self, RunCommand.prepare(words)) as? RunCommand)
            return .run(try parsed.request(Globals().with(parsed.given)))
        default:
            let parsed = try #require(try Parsing.parse(ExecCommand.self, ExecCommand.prepare(words)) as? ExecCommand)
            return .exec(try parsed.request(Globals().with(parsed.given)))
        }
    }

    private func expectSame(_ verb: String, _ words: [String]) throws -> Invocation {
        let fast = try #require(FastPath.parse(verb, words, Globals()), "not fast: \(words)")
        #expect(try fast == slow(verb, words), "\(words)")
        return fast
    }

    /// A value that each option of `run` takes.
    static let values = [
        "--name": "web-1", "--user": "www-data:33", "--workdir": "/srv", "--env": "A=b=c d",
        "--hostname": "web.example",
        "--domain": "example", "--dns": "192.0.2.1", "--timezone": "UTC", "--ssh-key": "key.pub",
        "--password-hash": "$5$saltsalt$0123456789012345678901234567890123456789012", "--description": "what it is for",
        "--label": "tier=", "--cpus": "1.5",
        "--cpu-weight": "200", "--cpuset": "0-3,5", "--memory": "512M", "--memory-high": "256M", "--swap": "0",
        "--pids": "100", "--io-read-bps": "8:0:10M", "--io-write-bps": "1G", "--io-read-iops": "100",
        "--io-write-iops": "8:16:5", "--ulimit": "nofile=1024:4096", "--disk": "none", "--mount": "/srv/db:/data:ro",
        "--device": "/dev/fuse", "--cap-add": "SYS_TIME,NET_RAW", "--cap-drop": "MKNOD", "--seccomp": "unconfined",
        "--userns": "host", "--net": "host", "--ip": "10.0.0.7", "--gateway": "10.0.0.1",
        "--mac": "02:00:00:00:00:07", "--publish": "80:8080", "--rate-in": "100M", "--rate-out": "1G",
        "--interface": "eth1:bridge=lan0,ip=10.0.0.7/24",
        "--stop-signal": "SIGRTMIN+3", "--profile": "small", "--root": "/r",
        "--state": "/s",
    ]

    private func forms(_ option: OptionName) throws -> [[String]] {
        if !option.takesValue { return [[option.long]] + (option.short.map { [[$0]] } ?? []) }
        let value = try #require(Self.values[option.long], "no value for \(option.long)")
        return [[option.long, value], ["\(option.long)=\(value)"]] + (option.short.map { [[$0, value]] } ?? [])
    }

    /// Every value of a command, whichever way it was read: `_names` is its property wrapper's.
    private func values(_ verb: any Verb) -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: Mirror(reflecting: verb).children.compactMap { child in
                guard let label = child.label, label != "_global" else { return nil }
                // What a wrapper holds before it is read is no value.
                let text = String(describing: child.value)
                return (label, text.contains("definition") ? "unset" : text)
            })
    }

    @Test(arguments: ["start", "stop", "kill", "destroy", "suspend", "hibernate", "resume"])
    func namesAlone(verb: String) throws {
        let fast = try #require(FastPath.named(verb, ["web", "db"]), "not fast")
        let command = try #require(Ctr.verb(verb))
        let slow = try #require(try Parsing.parse(command, ["web", "db"]))
        #expect(values(fast) == values(slow))
        #expect(!values(fast).values.contains("unset"), "\(values(fast))")
        #expect(FastPath.named(verb, []) == nil && FastPath.named(verb, ["web", "--help"]) == nil)
    }

    @Test func everyOptionOfRunInEveryForm() throws {
        let bare = try expectSame("run", ["web"])
        for option in OptionTable.run.options {
            for form in try forms(option) {
                let read = try expectSame("run", form + ["web", "ls", "-l"])
                // What is always so needs no remembering.
                let isUsual = option.long == "--interactive" || option.long == "--disk"
                #expect(read != (try expectSame("run", ["web", "ls", "-l"])) || isUsual)
                #expect(read != bare)
            }
        }
    }

    @Test func everyOptionOfExecInEveryForm() throws {
        let bare = try expectSame("exec", ["web", "ls"])
        for option in OptionTable.exec.options {
            for form in try forms(option) {
                let before = try expectSame("exec", form + ["web", "ls"])
                let after = try expectSame("exec", ["web"] + form + ["ls"])
                #expect(before == after)
                #expect(before != bare || option.long == "--interactive")
            }
        }
    }

    static let runs: [[String]] = [
        ["minimal"], ["minimal", "echo", "hello"], ["minimal", "--", "echo", "--", "x"], ["minimal", "--"],
        ["minimal", "ls", "--help", "-h", "--json"], ["minimal", "-x"], ["minimal", "echo", "---", "-=", "", "-"],
        ["-t", "-i", "minimal", "sh"], ["--memory", "1G", "-m", "2G", "minimal"],
        ["-e", "A=1", "-e", "A=2", "minimal"],
        ["-e", "EMPTY=", "minimal"], ["--seccomp", "profile.json", "minimal"], ["--seccomp=default", "minimal"],
        ["--json", "--quiet", "--debug", "-d", "minimal", "x"], ["-v", "/a:/b", "--mount=/c:/d:ro", "minimal"],
        ["--description", "a = b", "minimal"], ["--description=--x", "minimal"], ["--env=A==", "minimal"],
        ["minimal", "é", "日本"],
    ]

    @Test(arguments: runs) func sameRun(_ words: [String]) throws { _ = try expectSame("run", words) }

    static let execs: [[String]] = [
        ["web", "ps"], ["web", "--", "ps", "--", "x"], ["-t", "web", "sh", "-t"], ["web", "-t", "sh", "-c", "a; b"],
        ["web", "-u", "1", "-w", "/x", "-e", "A=", "--", "--odd"], ["web", "ls", "--help"], ["web", "-t", "--", "---"],
        ["-u", "a", "web", "-w", "/b", "ls", "-w", "c"], ["web", "", "x"],
    ]

    @Test(arguments: execs) func sameExec(_ words: [String]) throws { _ = try expectSame("exec", words) }

    @Test func meaning() throws {
        guard case .run(let run) = try expectSame("run", ["-t", "-m", "1G", "web", "--", "ls", "--", "-t"]) else {
            throw Missing()
        }
        #expect(run.template == "web")
        #expect(run.command == ["ls", "--", "-t"])
        #expect(run.options.terminal)
        #expect(run.options.resources.memory == 1 << 30)
        guard case .exec(let exec) = try expectSame("exec", ["web", "-e", "A=b", "-u", "www", "ls", "-u"]) else {
            throw Missing()
        }
        #expect(exec.name == "web")
        #expect(exec.command == ["ls", "-u"])
        #expect(exec.options.env == ["A=b"])
        #expect(exec.options.user == "www")
        #expect(!exec.terminal)
    }

    @Test func seccompFilesAreAbsolute() throws {
        for (value, wanted) in [("unconfined", SeccompChoice.unconfined), ("default", .standard), ("/a", .file("/a"))] {
            guard case .run(let run) = try expectSame("run", ["--seccomp", value, "web"]) else { throw Missing() }
            #expect(run.options.seccomp == wanted)
        }
        guard case .run(let run) = try expectSame("run", ["--seccomp", "p.json", "web"]) else { throw Missing() }
        guard case .file(let path)? = run.options.seccomp else { throw Missing() }
        #expect(path.hasPrefix("/") && path.hasSuffix("/p.json"))
    }

    // MARK: what the fast path leaves alone

    /// Lines that ArgumentParser takes; the fast path may leave them to it, but must not mean something else.
    @Test(arguments: [
        ["-ti", "web", "sh"], ["-tie", "A=b", "web", "sh"], ["-m=1G", "web"], ["--", "web", "ls"],
        ["--", "web", "--", "ls"],
    ])
    func leftToArgumentParser(_ words: [String]) throws {
        #expect(FastPath.parse("run", words, Globals()) == nil)
        guard case .run(let run) = try slow("run", words) else { throw Missing() }
        #expect(run.template == "web")
    }

    static let wrongRuns: [[String]] = [
        [], ["--bogus", "web"], ["--memory"], ["--memory", "--pids", "1", "web"], ["--memory=", "web"],
        ["--memory", "lots", "web"], ["--keep=1", "web"], ["-d=1", "web"], ["--name", "Not A Name", "web"],
        ["--detach"],
        ["--mount", "a:b", "web"], ["--env", "NOTHING", "web"], ["--net", "other", "web"], ["-x", "web"],
        ["---", "web"], ["--hostname", "", "web"],
    ]

    @Test(arguments: wrongRuns) func wrongRun(_ words: [String]) throws {
        #expect(FastPath.parse("run", words, Globals()) == nil)
        let error = #expect(throws: CtrError.self) { _ = try slow("run", words) }
        #expect(error?.code == .usage)
    }

    @Test(arguments: [
        [], ["web"], ["web", "--"], ["-t"], ["web", "--bogus", "ls"], ["web", "-u"], ["web", "-m", "1G", "ls"],
    ])
    func wrongExec(_ words: [String]) throws {
        #expect(FastPath.parse("exec", words, Globals()) == nil)
        let error = #expect(throws: CtrError.self) { _ = try slow("exec", words) }
        #expect(error?.code == .usage)
    }

    @Test func helpIsNotFast() {
        #expect(FastPath.parse("run", ["--help"], Globals()) == nil)
        #expect(FastPath.parse("run", ["-h"], Globals()) == nil)
        #expect(FastPath.parse("exec", ["web", "--help"], Globals()) == nil)
    }
}
