import Glibc
import Kernel
import Testing

/// A VPS asks for its own hibernation, through /run/host/hibernate.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? "")))
struct HibernateInsideTests {
    private static let tool = "/usr/local/sbin/hibernate"

    private func started(_ f: Fixture, _ options: String...) throws -> String {
        let n = f.name()
        try f.start(f.program, ["create", n, "--template", "minimal"] + options).wait().succeeds()
        try f.ctr("start", n).succeeds()
        return n
    }

    /// Runs a script as a child of the VPS's init, which a `ctr exec` leaves behind.
    private func inside(
        _ f: Fixture, _ n: String, _ script: String, at location: SourceLocation = #_sourceLocation
    ) throws {
        try f.ctr("exec", n, "--", "sh", "-c", "cat >/root/job", input: script).succeeds(at: location)
        try f.ctr("exec", n, "--", "sh", "-c", "setsid sh /root/job </dev/null >/dev/null 2>&1 &").succeeds(at: location)
    }

    /// The tool, with what it prints and its status in the file /root/WORD.
    private func ask(
        _ f: Fixture, _ n: String, as word: String = "out", at location: SourceLocation = #_sourceLocation
    ) throws {
        try inside(
            f, n, "rm -f /root/\(word); \(Self.tool) >/root/\(word).new 2>&1; echo \"status $?\" >>/root/\(word).new\n"
                + "mv /root/\(word).new /root/\(word)\n", at: location)
    }

    /// What the tool has printed, when it has.
    private func outcome(
        _ f: Fixture, _ n: String, of word: String = "out", at location: SourceLocation = #_sourceLocation
    ) throws -> String {
        var text = ""
        let told = try until(30) {
            let run = try f.ctr("exec", n, "--", "cat", "/root/\(word)")
            text = run.out
            return run.status == 0
        }
        #expect(told, "nothing was told", sourceLocation: location)
        return text
    }

    private func isOff(_ f: Fixture, _ n: String, at location: SourceLocation = #_sourceLocation) throws {
        let isOff = try until(30) { try f.state(n) == "hibernated" }
        try #require(isOff, "\((try? f.ctr("events").out) ?? "")", sourceLocation: location)
        // The supervisor and the verb that it had started have ended.
        #expect(until(10) { f.processes() == [] }, "\(f.processes().map { f.commandLine($0) })", sourceLocation: location)
    }

    private func events(_ f: Fixture, _ kind: String) throws -> [String] {
        try f.ctr("events").succeeds().lines.filter { $0.contains(" \(kind) ") || $0.hasSuffix(" \(kind)") }
    }

    /// Processes of ours that do what a guest has asked for.
    private func atWork(_ f: Fixture) -> [Int32] {
        f.processes().filter { f.commandLine($0).contains("hibernate-asked") }
    }

    /// Of the day, at which an event was written down: 2026-11-27T11:05:53.159Z.
    private func milliseconds(_ event: String) -> Int {
        let parts = event.dropFirst(11).prefix(12).split { ":.".contains($0) }.compactMap { Int($0) }
        return ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000 + parts[3]
    }

    @Test func itIsOffAndGoesOn() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M", "--memory", "64M")
            for (turn, verb) in ["start", "resume", "start"].enumerated() {
                try ask(f, n)
                try isOff(f, n)
                #expect(f.exists("root/vps/\(n)/hibernated"))
                #expect(try f.loops() == [])
                #expect(try events(f, "suspended").count == turn + 1)
                #expect(try events(f, "suspended").last?.contains("askedInside=yes") == true)
                try f.ctr(verb, n).succeeds()
                #expect(try outcome(f, n) == "status 0\n")
            }
            #expect(try events(f, "hibernateRefused") == [])
            // As suspended from outside, that it was asked for is over.
            try f.ctr("suspend", n).succeeds()
            try f.ctr("start", n).succeeds()
            CurrentProcess.sleep(milliseconds: 300)
            #expect(try f.state(n) == "running")
        }
    }

    /// Its processes hold the fifo open, and there are words in it, when they are written down.
    @Test func withTheFIFOInUse() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            try inside(f, n, "exec 5<>/run/host/hibernate\nwhile :; do sleep 0.1; done\n")
            try ask(f, n)
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
            #expect(try outcome(f, n) == "status 0\n")
            // What was asked for before is not done again, and it can be asked for again.
            CurrentProcess.sleep(milliseconds: 500)
            #expect(try f.state(n) == "running")
            try ask(f, n)
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
        }
    }

    @Test func whoCanNotIsTold() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "none")
            #expect(try f.ctr("exec", n, "--", "test", "-e", "/run/host/hibernate").status == 1)
            try f.ctr("exec", n, "--", Self.tool).fails(1, words: "does not offer it", "--disk none")
        }
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            // A shell of `ctr exec` can't be restored.
            try f.ctr("exec", n, "--", "sh", "-c", "\(Self.tool); exit $?").fails(
                1, words: "refused", "brought in by ctr exec")
            #expect(try f.state(n) == "running")
            let told = try events(f, "hibernateRefused")
            #expect(told.count == 1 && told[0].contains("brought in by ctr exec"), "\(told)")
            #expect(until(10) { (try? f.ctr("logs", n).out.contains("asked from inside: refused")) == true })
            // Nobody but root.
            try f.ctr("exec", n, "-u", "65534", "--", Self.tool).fails(1, words: "only root")
            try f.ctr("exec", n, "-u", "65534", "--", "sh", "-c", "echo hibernate >/run/host/hibernate").fails(
                1, words: "ermission denied")
        }
    }

    @Test func withoutRoomItRunsOn() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "128M", "--memory", "256M")
            try f.ctr("exec", n, "--", "dd", "if=/dev/urandom", "of=/dev/shm/much", "bs=1M", "count=120").succeeds()
            try ask(f, n)
            let told = try outcome(f, n)
            #expect(told.contains("refused: its memory needs up to") && told.hasSuffix("status 1\n"), "\(told)")
            try f.ctr("exec", n, "--", "rm", "/dev/shm/much").succeeds()
            try ask(f, n)
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
            #expect(try outcome(f, n) == "status 0\n")
        }
    }

    @Test func theHostCanForbidIt() throws {
        try Fixture.withServers { (f) throws in
            try f.write(
                "config.json",
                "{\"idRegistry\": \"\(f.path)/../ids\", \"disk\": \"none\", \"net\": \"none\", \"hibernateInside\": false}")
            let n = try started(f, "--disk", "256M")
            try ask(f, n)
            #expect(try outcome(f, n).contains("refused: not allowed from inside"))
            #expect(try f.state(n) == "running")
            try f.ctr("hibernate", n).succeeds()
        }
    }

    /// While somebody else works on it: the guest is told, or gets what it asked for when that one is done.
    @Test func besideOtherVerbs() throws {
        try Fixture.withServers { (f) throws in
            try f.write(
                "config.json",
                "{\"idRegistry\": \"\(f.path)/../ids\", \"disk\": \"none\", \"net\": \"none\", \"lockSeconds\": 1}")
            let n = try started(f, "--disk", "256M")
            let holder = try f.startScript("exec flock root/vps/\(n) sleep 1000")
            #expect(until(10) { (try? f.sh("flock -n root/vps/\(n) true").status) == 1 })
            try ask(f, n)
            let told = try outcome(f, n)
            #expect(told.contains("refused: the host is at work on this VPS"), "\(told)")
            try f.sh("fuser -s -k root/vps/\(n); true").succeeds()
            try? holder.signal(SIGKILL)
            // Asked for as it stops: the end is what was asked for from outside.
            try ask(f, n)
            try f.ctr("stop", n).succeeds()
            #expect(until(20) { atWork(f) == [] })
            #expect(["stopped", "hibernated"].contains(try f.state(n)))
        }
    }

    /// Many words at once are one; at each moment one process of the host is at work, and it does not do so all the time.
    @Test func aFlood() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M", "--pids", "100")
            // A shell of ours inside, so that all of it is refused.
            let shell = try f.start("exec", n, "--", "sleep", "1000")
            #expect(until(10) { (try? f.ctr("exec", n, "--", "pidof", "sleep").status) == 0 })
            try inside(
                f, n,
                """
                yes hibernate >/run/host/hibernate &
                yes "$(head -c 100000 /dev/zero | tr '\\0' h)" >/run/host/hibernate &
                cat /dev/urandom >/run/host/hibernate &
                while :; do echo hibernate >/run/host/hibernate; done
                """)
            let supervisor = try f.number("supervisor", n)
            var most = 0
            #expect(
                try until(30) {
                    most = max(most, atWork(f).count)
                    return try events(f, "hibernateRefused").count >= 3
                })
            #expect(most <= 1)
            #expect(try f.number("supervisor", n) == supervisor)
            #expect(try f.state(n) == "running")
            // It is left alone for longer each time: no event comes earlier than that.
            let times = try events(f, "hibernateRefused").map(milliseconds)
            for (index, (one, next)) in zip(times, times.dropFirst()).enumerated() {
                #expect((next - one + 86_400_000) % 86_400_000 >= 1000 << min(index, 2), "\(times)")
            }
            try? shell.signal(SIGKILL)
            try f.ctr("stop", n).succeeds()
        }
    }

    /// It is the guest's directory: whatever it puts there, the host follows no link, waits for nothing and writes nowhere
    /// else.
    @Test(arguments: [
        "rm /run/host/hibernate", "rm /run/host/hibernate; mkfifo /run/host/hibernate",
        "rm -r /run/host", "rm /run/host/hibernate; mkdir /run/host/hibernate",
        "rm /run/host/hibernate; ln -s /root/target /run/host/hibernate",
        "mv /run/host /run/other; ln -s /run/other /run/host",
        "mount -t tmpfs none /run/host; mkfifo /run/host/hibernate",
    ]) func replaced(by change: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            try f.ctr("exec", n, "--", "sh", "-c", "mkfifo /root/target; \(change)").succeeds()
            #expect(try f.state(n) == "running")
            // Another supervisor looks for it by its path.
            kill(try f.number("supervisor", n), SIGKILL)
            #expect(
                until(10) {
                    _ = try? f.state(n)
                    return (try? f.ctr("show", n).out.contains("running")) == true
                })
            try f.ctr("suspend", n).fails(1, words: "console has gone")
            try f.ctr("restart", n).succeeds()
            try ask(f, n)
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
            #expect(try outcome(f, n) == "status 0\n")
        }
    }

    /// The answer goes into an empty file that is the guest's own, and never through a mount or link onto something that only
    /// the host's root could write to.
    @Test func theAnswerHarmsNothing() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            let answer = "/run/host/hibernate.answer"
            for make in [
                "touch /root/victim; ln -s /root/victim \(answer)", "echo full >\(answer)", "mkdir \(answer)",
                "mkfifo \(answer)", "touch /root/victim \(answer); mount --bind /root/victim \(answer)",
                "touch \(answer); mount --bind /proc/sys/kernel/core_pattern \(answer)",
            ] {
                let before = try events(f, "hibernateRefused").count
                let pattern = try f.text("/proc/sys/kernel/core_pattern")
                try f.ctr(
                    "exec", n, "--", "sh", "-c",
                    "umount \(answer) 2>/dev/null; rm -rf \(answer) /root/victim; \(make); "
                        + "echo hibernate >/run/host/hibernate; sleep 0.5; :"
                ).succeeds()
                // It has brought itself in, and is refused.
                #expect(try until(40) { try events(f, "hibernateRefused").count > before }, "\(make)")
                #expect(until(10) { atWork(f) == [] })
                #expect(try f.text("/proc/sys/kernel/core_pattern") == pattern)
                #expect(try f.ctr("exec", n, "--", "sh", "-c", "[ ! -s /root/victim ]").status == 0, "\(make)")
            }
        }
    }
}
