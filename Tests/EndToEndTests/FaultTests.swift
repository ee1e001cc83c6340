import Glibc
import Kernel
import Testing

/// Every verb that changes something, stopped at each of its system calls that do: by SIGKILL to the process that makes
/// the call, and by an errno. Whatever then is there has a name, the next verb finishes or undoes it, and the VPS can be
/// started, stopped and destroyed.
///
/// `make test` takes a few calls of each verb; with CTR_FAULTS=all in the environment it is every one (hours), and with
/// CTR_FAULTS="reboot inside/errno/190-210" those of one verb: so what failed once is tried again.
@Suite(.serialized) struct FaultTests {
    @Test(.timeLimit(.minutes(30)), arguments: FaultedVerb.all, ["kill", "errno"])
    func stoppedAtEveryChange(_ verb: FaultedVerb, _ mode: String) throws {
        let asked = FaultTests.asked
        if let asked, asked.verb != verb.testDescription || asked.mode != mode { return }
        try Fixture.with { (f) throws in
            if let asked {
                for number in asked.calls { try Round(f, verb, mode, number).run() }
                return
            }
            let whole = try Round(f, verb, "list", 0).run()
            let calls = try #require(whole.calls, "no count: \(whole.outcome.both)")
            #expect(calls > 5, "the probe sees no calls: \(whole.outcome.both)")
            for number in FaultTests.sample(of: calls) { try Round(f, verb, mode, number).run() }
            // Two processes at work do not count the same each time: so there may be a few calls more.
            guard FaultTests.isWhole else { return }
            var number = calls + 1
            while try Round(f, verb, mode, number).run().injected { number += 1 }
        }
    }

    private static let wish = getenv("CTR_FAULTS").map { String(cString: $0) }
    static let isWhole = wish == "all"

    /// Of `VERB/MODE/FIRST-LAST`.
    static let asked: (verb: String, mode: String, calls: ClosedRange<Int>)? = {
        let parts = (wish ?? "").split(separator: "/").map(String.init)
        guard parts.count == 3 else { return nil }
        let calls = parts[2].split(separator: "-").compactMap { Int($0) }
        guard let first = calls.first, let last = calls.last, first <= last else { return nil }
        return (parts[0], parts[1], first...last)
    }()

    /// Evenly spread over all calls, the first and the last of them included.
    static func sample(of calls: Int) -> [Int] {
        if isWhole { return Array(1...calls) }
        return Set((0...5).map { 1 + $0 * (calls - 1) / 5 }).sorted()
    }
}

/// A verb, what it needs before, and what it leaves. The scripts find ctr as `$CTR` and the VPS as `$A`.
struct FaultedVerb: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var before = ""
    let script: String
    /// The state in which a verb that ends with status 0 leaves the VPS; nil: it is gone.
    let leaves: String?
    /// It is the supervisor that is stopped: the script only makes it work, and ends when it has done so.
    var stopsSupervisor = false

    private static let create = "$CTR create $A --template minimal"
    private static let start = "\(create) && $CTR start $A"
    /// As long as the supervisor lives.
    private static let whileItLives = "i=0; while [ -e /proc/$S/ns/pid ] && [ $((i+=1)) -lt 500 ]"

    /// That it runs is written down before its init is executed, which may fail then.
    private static let isUpAgain =
        "isUpAgain() { P=$(sed -nE 's/.*\"pid\":([0-9]+).*\"restarts\":1.*\"status\":\"running.*/\\1/p' "
        + "$CTR_STATE/$A/state.json 2>&-) && grep -aqs ^/sbin/init /proc/$P/cmdline; }"

    private static let onImage = "\(create) --disk 128M"
    private static let snapshot = "$CTR snapshot create $A s"

    /// On a disk image.
    private static let disks: [FaultedVerb] = [
        .init(testDescription: "create --disk", script: onImage, leaves: "stopped"),
        .init(testDescription: "start, image", before: onImage, script: "$CTR start $A", leaves: "running"),
        .init(testDescription: "snapshot create", before: onImage, script: snapshot, leaves: "stopped"),
        .init(
            testDescription: "snapshot create, running", before: "\(onImage) && $CTR start $A", script: snapshot,
            leaves: "running"),
        .init(
            testDescription: "snapshot create, directory", before: start, script: snapshot, leaves: "running"),
        .init(
            testDescription: "snapshot revert", before: "\(onImage) && \(snapshot)",
            script: "$CTR snapshot revert $A s --config", leaves: "stopped"),
        .init(
            testDescription: "snapshot revert, directory", before: "\(create) && \(snapshot)",
            script: "$CTR snapshot revert $A s", leaves: "stopped"),
        .init(
            testDescription: "disk resize, bigger", before: onImage, script: "$CTR disk resize $A 256M",
            leaves: "stopped"),
        .init(
            testDescription: "disk resize, smaller, running", before: "\(create) --disk 512M && $CTR start $A",
            script: "$CTR disk resize $A 300M", leaves: "running"),
        .init(testDescription: "clone", before: onImage, script: "$CTR clone $A $B", leaves: "stopped"),
        .init(
            testDescription: "clone of a directory", before: start, script: "$CTR clone $A $B", leaves: "running"),
        .init(
            testDescription: "import", before: "\(onImage) && rm -f a.tar && $CTR export $A a.tar && $CTR destroy $A",
            script: "$CTR import a.tar", leaves: "stopped"),
        .init(
            testDescription: "export, running", before: "\(onImage) && $CTR start $A; rm -f a.tar",
            script: "$CTR export $A a.tar", leaves: "running"),
        .init(
            testDescription: "template create", before: onImage,
            script: "$CTR template create sealed --from $A", leaves: "sealed"),
        .init(
            testDescription: "snapshot delete", before: "\(onImage) && \(snapshot)",
            script: "$CTR snapshot delete $A s", leaves: "stopped"),
    ]

    static let all: [FaultedVerb] = life + (Disks.lack == nil ? disks : [])

    private static let life: [FaultedVerb] = [
        .init(testDescription: "create", script: create, leaves: "stopped"),
        .init(testDescription: "start", before: create, script: "$CTR start $A", leaves: "running"),
        .init(testDescription: "stop", before: start, script: "$CTR stop $A", leaves: "stopped"),
        .init(testDescription: "restart", before: start, script: "$CTR restart $A", leaves: "running"),
        .init(testDescription: "pause", before: start, script: "$CTR pause $A", leaves: "paused"),
        .init(
            testDescription: "unpause", before: "\(start) && $CTR pause $A", script: "$CTR unpause $A",
            leaves: "running"),
        .init(
            testDescription: "set, running", before: start, script: "$CTR set $A --pids 100 --memory 100M",
            leaves: "running"),
        .init(testDescription: "rename", before: create, script: "$CTR rename $A $B", leaves: nil),
        .init(testDescription: "destroy", before: create, script: "$CTR destroy $A", leaves: nil),
        .init(testDescription: "destroy --force", before: start, script: "$CTR destroy --force $A", leaves: nil),
        .init(testDescription: "run", script: "$CTR run --name $A minimal true", leaves: nil),
        .init(
            testDescription: "run -d --keep", script: "$CTR run -d --keep --name $A minimal sleep 1000",
            leaves: "running"),
        .init(
            testDescription: "exec --offline", before: create, script: "$CTR exec --offline $A true",
            leaves: "stopped"),
        .init(
            testDescription: "exec that adopts",
            before: "\(start); kill -9 $(sed -E 's/.*\"supervisor\":([0-9]+).*/\\1/' $CTR_STATE/$A/state.json)",
            script: "$CTR exec $A true", leaves: "running"),
        .init(
            testDescription: "end of a VPS", before: start,
            script: "$CTR exec $A poweroff -f; \(whileItLives); do sleep 0.01; done", leaves: "stopped",
            stopsSupervisor: true),
        .init(
            testDescription: "reboot inside", before: start,
            script: "\(isUpAgain); $CTR exec $A reboot -f; \(whileItLives) && ! isUpAgain; do sleep 0.01; done",
            leaves: "running", stopsSupervisor: true),
    ]
}

/// One verb stopped once, and what was found then.
private struct Round {
    let f: Fixture
    let verb: FaultedVerb
    let mode: String
    let number: Int
    private let names: String

    init(_ f: Fixture, _ verb: FaultedVerb, _ mode: String, _ number: Int) {
        (self.f, self.verb, self.mode, self.number) = (f, verb, mode, number)
        names = "A=\(f.name("a")) B=\(f.name("b")); export A B"
    }

    struct Result {
        var outcome: Outcome
        var injected: Bool
        /// How many calls there were, if nothing was injected.
        var calls: Int?
    }

    @discardableResult
    func run() throws -> Result {
        if !verb.before.isEmpty { try f.sh("\(names); \(verb.before)").succeeds() }
        let result = try probe()
        try expectAnswer(result)
        try expectKnownState(result)
        try expectUse()
        return result
    }

    private func probe() throws -> Result {
        let supervisor = verb.stopsSupervisor ? try f.supervisorPid(f.name("a")) : nil
        let target = supervisor.map { "-p \($0) -- /bin/bash script" } ?? "-- \(verb.script)"
        if verb.stopsSupervisor { try f.write("script", verb.script) }
        let outcome = try f.sh(
            "\(names) S=\(supervisor ?? 0); export S; exec \(Round.program) \(mode) \(number) \(target)")
        let lines = outcome.err.split(separator: "\n").filter { $0.hasPrefix("fault-probe: ") }
        #expect(!outcome.err.contains("fault-probe: crashed"), "\(what(outcome))")
        let ended = lines.first { $0.contains("ended after") }
        return Result(
            outcome: outcome, injected: lines.contains { $0.contains("injected") },
            calls: ended.flatMap { Int($0.filter(\.isNumber)) })
    }

    private func what(_ outcome: Outcome) -> String { "\(verb.testDescription), \(mode) \(number): \(outcome.both)" }

    /// A verb that failed says why.
    private func expectAnswer(_ result: Result) throws {
        let outcome = result.outcome
        #expect(result.injected || outcome.status == 0, "\(what(outcome))")
        if mode != "errno" || verb.stopsSupervisor { return }
        let message = outcome.err.split(separator: "\n").contains { $0.hasPrefix("ctr: ") }
        #expect(outcome.status == 0 || message, "\(what(outcome))")
        #expect((outcome.status ?? 128) < 128, "\(what(outcome))")
    }

    /// At the first look, and the same after all was mended.
    private func expectKnownState(_ result: Result) throws {
        let outcome = result.outcome
        // A supervisor that lives may still be at work.
        try until(30) { try !["stopping", "restarting"].contains(f.state(f.name("a"))) }
        let (a, b) = (try f.state(f.name("a")), try f.state(f.name("b")))
        let known = [nil, "stopped", "running", "paused", "sealed"]
        #expect(known.contains(a) && known.contains(b), "\(a ?? "-"), \(b ?? "-") after \(what(outcome))")
        // A first process that is killed when ctr has nothing more to say to it has been started, and has ended.
        let alone = mode == "kill" && (outcome.err.contains("before seccomp") || outcome.err.contains("before execve"))
        if outcome.status == 0, !alone, !verb.stopsSupervisor {
            #expect(a == verb.leaves, "status 0 after \(what(outcome))")
        }
        if verb.script.contains("rename") { #expect((a == nil) != (b == nil), "one name after \(what(outcome))") }
        try f.ctr("host", "recover").succeeds()
        // That a template is there of it is seen by who looks at its disk.
        let isSealed = try f.state(f.name("a")) == "sealed"
        #expect(try isSealed || f.state(f.name("a")) == a, "host recover changed it after \(what(outcome))")
        if a == "running" || a == "paused" { return }
        let left = try f.leftovers().filter {
            (a ?? b) == nil || !($0.hasPrefix("root/vps/") || $0.hasPrefix("id range"))
        }
        #expect(left.isEmpty, "\(left) after \(what(outcome))")
    }

    /// What is there can be used and removed, and then nothing is left.
    private func expectUse() throws {
        for name in [f.name("a"), f.name("b")] {
            guard let state = try f.state(name) else { continue }
            if state == "sealed" { try f.ctr("template", "unseal", "sealed", "--to", name).succeeds() }
            try f.ctr(state == "paused" ? "unpause" : "start", name, timeout: 10).succeeds()
            try f.ctr("exec", name, "true", timeout: 10).succeeds()
            try f.ctr("stop", name, "--timeout", "0").succeeds()
            #expect(try f.state(name) == "stopped")
            try f.ctr("destroy", "--force", name).succeeds()
        }
        if f.exists("root/templates/sealed") { try f.ctr("template", "remove", "sealed").succeeds() }
        if until(20, { (try? f.leftovers().isEmpty) == true }) { return }
        Issue.record("\(verb.testDescription), \(mode) \(number): left \(f.left)")
        throw Stuck()
    }

    struct Stuck: Error {}

    /// Built beside the test bundle, or where Swift's own test helper was told to find the bundle.
    private static let program: String = {
        let own = (try? Kernel.open("/", [.directory]).readLink("/proc/self/exe").description) ?? ""
        let places = [own] + CommandLine.arguments.filter { $0.contains(".build/") }
        let candidates = places.map {
            $0.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/fault-probe"
        }
        return candidates.first { access($0, X_OK) == 0 } ?? "fault-probe: not found"
    }()
}
