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
        try f.ctr("exec", n, "--", "sh", "-c", "setsid sh /root/job </dev/null >/dev/null 2>&1 &").succeeds(
            at: location)
    }

    /// The tool, with what it prints and its status in the file /root/WORD.
    private func ask(
        _ f: Fixture, _ n: String, as word: String = "out", at location: SourceLocation = #_sourceLocation
    ) throws {
        try inside(
            f, n,
            "rm -f /root/\(word); \(Self.tool) >/root/\(word).new 2>&1; echo \"status $?\" >>/root/\(word).new\n"
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
        #expect(
            until(10) { f.processes() == [] }, "\(f.processes().map { f.commandLine($0) })", sourceLocation: location)
    }

    private func events(_ f: Fixture, _ kind: String) throws -> [String] {
        try f.ctr("events").succeeds().lines.filter { $0.contains(" \(kind) ") || $0.hasSuffix(" \(kind)") }
    }

    /// Processes of ours that do what a guest has asked for.
    private func atWork(_ f: Fixture) -> [Int32] {
        f.processes().filter { f.commandLine($0).contains("hibernate-asked") }
    }

    private func refused(_ run: Outcome, _ words: String..., at location: SourceLocation = #_sourceLocation) {
        #expect(run.status == 1 && words.allSatisfy { run.err.contains($0) }, "\(run.both)", sourceLocation: location)
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

    /// Both go on when it is started again; where the second one came too late for the first hibernation, it is hibernated anew.
    @Test func twoAskAtTheSameTime() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            let both = ["one", "two"].map {
                "{ \(Self.tool) >/root/\($0).new 2>&1; echo \"status $?\" >>/root/\($0).new; mv /root/\($0).new /root/\($0); } &\n"
            }
            try inside(f, n, both.joined() + "wait\n")
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
            let areDone = try until(120) {
                if try f.state(n) == "hibernated" { try f.ctr("start", n).succeeds() }
                return try f.ctr("exec", n, "--", "ls", "/root/one", "/root/two").status == 0
            }
            #expect(areDone)
            for word in ["one", "two"] { #expect(try outcome(f, n, of: word) == "status 0\n") }
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
            try refused(f.ctr("exec", n, "--", Self.tool), "does not offer it", "--disk none")
        }
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            // A shell of `ctr exec` can't be restored.
            try refused(f.ctr("exec", n, "--", Self.tool), "refused: process", "brought in by ctr exec")
            #expect(try f.state(n) == "running")
            let told = try events(f, "hibernateRefused")
            #expect(told.count == 1 && told[0].contains("brought in by ctr exec"), "\(told)")
            #expect(until(10) { (try? f.ctr("logs", n).out.contains("asked from inside: refused")) == true })
            // Nobody but root.
            try refused(f.ctr("exec", n, "-u", "65534", "--", Self.tool), "only root")
            try refused(
                f.ctr("exec", n, "-u", "65534", "--", "sh", "-c", "echo hibernate >/run/host/hibernate"),
                "ermission denied")
            #expect(try events(f, "hibernateRefused").count == 1)
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
                "{\"idRegistry\": \"\(f.path)/../ids\", \"disk\": \"none\", \"net\": \"none\", \"hibernateInside\": false}"
            )
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
            let config = try f.text("config.json")
            try f.write("config.json", "{\"lockSeconds\": 1, " + config.dropFirst())
            let n = try started(f, "--disk", "256M")
            let holder = try f.startScript("exec flock root/vps/\(n) sleep 1000")
            #expect(until(10) { (try? f.sh("flock -n root/vps/\(n) true").status) == 1 })
            try ask(f, n)
            let told = try outcome(f, n)
            #expect(told.contains("refused: the host is at work on this VPS"), "\(told)")
            try f.sh("fuser -s -k root/vps/\(n); true").succeeds()
            try? holder.signal(SIGKILL)
            // Asked for as it stops: the end is what was asked for from outside.
            try f.write("config.json", config)
            try ask(f, n)
            let stop = try f.ctr("stop", n)
            #expect(
                stop.status == 0 || stop.err.contains("suspended") || stop.err.contains("hibernated"), "\(stop.both)")
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
                try until(90) {
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
            try replaceSupervisor(f, n)
            #expect(try f.state(n) == "running")
            try f.ctr("restart", n).succeeds()
            try ask(f, n)
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
            #expect(try outcome(f, n) == "status 0\n")
        }
    }

    /// The answer goes into an empty file that is the guest's own, and never through a mount or link onto something that only
    /// the host's root could write to.
    @Test(arguments: [
        ("touch ANSWER", true), ("ln -s /tmp/victim ANSWER", false), ("echo full >ANSWER", false),
        ("mkdir ANSWER", false), ("mkfifo ANSWER", false), ("touch ANSWER; mount --bind /tmp/victim ANSWER", false),
        ("touch ANSWER; mount --bind /proc/sys/kernel/core_pattern ANSWER", false),
        ("rm -r /run/host/*; mount --bind /tmp /run/host; touch ANSWER; mkfifo /run/host/hibernate", false),
        (
            "cd /tmp; mount -t tmpfs none /mnt; mkdir /mnt/u /mnt/w; touch ANSWER; "
                + "mount -t overlay -o lowerdir=/run,upperdir=/mnt/u,workdir=/mnt/w,userxattr none /run", false
        ),
    ]) func theAnswerHarmsNothing(make: String, isTold: Bool) throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            let answer = "/run/host/hibernate.answer"
            let pattern = try f.text("/proc/sys/kernel/core_pattern")
            // While it is there all is refused.
            let shell = try f.start("exec", n, "--", "sleep", "1000")
            #expect(until(10) { (try? f.ctr("exec", n, "--", "pidof", "sleep").status) == 0 })
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                "set -e; exec 5<>/run/host/hibernate; : >/tmp/victim; "
                    + make.split(separator: "ANSWER", omittingEmptySubsequences: false).joined(separator: answer)
                    + "; echo hibernate >&5"
            ).succeeds()
            #expect(try until(30) { try events(f, "hibernateRefused").count == 1 })
            #expect(until(10) { atWork(f) == [] })
            #expect(try f.text("/proc/sys/kernel/core_pattern") == pattern)
            #expect(try f.ctr("exec", n, "--", "sh", "-c", "[ ! -s /tmp/victim ]").status == 0)
            let look = "[ -f \(answer) ] && grep -q '^refused: ' \(answer)"
            #expect(try (f.ctr("exec", n, "--", "sh", "-c", look).status == 0) == isTold)
            try? shell.signal(SIGKILL)
        }
    }

    /// Before its supervisor listens, and while the start has its lock.
    @Test func asItBoots() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            try f.ctr(
                "exec", n, "--", "sh", "-c", "cat >/etc/rc.d/50-ask; chmod +x /etc/rc.d/50-ask",
                input: "#!/bin/sh\n[ $1 = start ] || exit 0\n"
                    + "(\(Self.tool) >/root/new 2>&1; echo \"status $?\" >>/root/new; mv /root/new /root/out) &\n"
            ).succeeds()
            try f.ctr("stop", n).succeeds()
            try f.ctr("start", n).succeeds()
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
            #expect(try outcome(f, n) == "status 0\n")
        }
    }

    /// The one that takes its place hears it as well.
    @Test func afterItsSupervisorWasKilled() throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            try f.ctr("stop", n).succeeds()
            // Without a terminal, whose master would die with it.
            try f.sh("sed -i 's/\"terminal\" *: *true/\"terminal\": false/' root/vps/\(n)/config.json").succeeds()
            try f.ctr("start", n).succeeds()
            try replaceSupervisor(f, n)
            try ask(f, n)
            try isOff(f, n)
            try f.ctr("start", n).succeeds()
            #expect(try outcome(f, n) == "status 0\n")
        }
    }

    /// Kills it, and has another one look after the VPS.
    private func replaceSupervisor(_ f: Fixture, _ n: String) throws {
        let supervisor = try f.number("supervisor", n)
        kill(supervisor, SIGKILL)
        #expect(
            try until(10) {
                try f.ctr("host", "recover").succeeds()
                return try f.number("supervisor", n) != supervisor
            })
    }

    /// The work goes on without the supervisor that has begun it.
    @Test(arguments: [20, 80, 150, 250]) func itsSupervisorIsKilledMeanwhile(milliseconds: Int) throws {
        try Fixture.withServers { (f) throws in
            let n = try started(f, "--disk", "256M")
            let supervisor = try f.number("supervisor", n)
            try ask(f, n)
            #expect(until(10) { atWork(f) != [] || (try? f.state(n)) != "running" })
            usleep(UInt32(milliseconds) * 1000)
            kill(supervisor, SIGKILL)
            #expect(until(30) { atWork(f) == [] })
            var state: String?
            #expect(
                try until(30) {
                    state = try f.state(n)
                    return state == "running" || state == "hibernated"
                }, "\(state ?? "gone")")
            try f.ctr("start", n).succeeds()
            #expect(try f.state(n) == "running")
        }
    }
}

/// `systemctl hibernate` in Debian's template.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? "")),
    .enabled(if: Distribution.lack == nil, Comment(rawValue: Distribution.lack ?? "")))
struct HibernateSystemdTests {
    private func booted(_ f: Fixture, _ options: String...) throws -> String {
        try Distribution.add(to: f)
        let n = f.name()
        try f.start(f.program, ["create", n, "--template", "debian-12"] + options).wait().succeeds()
        try f.ctr("start", "--wait", n, timeout: 300).succeeds()
        return n
    }

    private func sh(_ f: Fixture, _ n: String, _ script: String) throws -> Outcome {
        try f.ctr("exec", n, "--", "sh", "-c", script, timeout: 120)
    }

    private let can =
        "busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager CanHibernate"

    @Test func isOffAndGoesOn() throws {
        try Fixture.withServers { (f) throws in
            let n = try booted(f, "--disk", "1G")
            #expect(try sh(f, n, can).succeeds().line == "s \"yes\"")
            for _ in 1...2 {
                // By systemd itself: what `ctr exec` brings in would be in the way.
                try sh(f, n, "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms systemctl hibernate")
                    .succeeds()
                #expect(try until(60) { try f.state(n) == "hibernated" }, "\((try? f.ctr("events").out) ?? "")")
                #expect(until(10) { f.processes() == [] })
                try f.ctr("start", n).succeeds()
                let over = try until(60) {
                    try sh(f, n, "systemctl is-active systemd-hibernate.service hibernate.target sleep.target").out
                        == "inactive\ninactive\ninactive\n"
                }
                #expect(over)
                #expect(try sh(f, n, "systemctl show -P Result systemd-hibernate.service").line == "success")
                #expect(try sh(f, n, "systemctl is-system-running").line == "running")
            }
        }
    }

    @Test func withoutADiskItIsNotOffered() throws {
        try Fixture.withServers { (f) throws in
            let n = try booted(f, "--disk", "none")
            #expect(try sh(f, n, can).succeeds().line == "s \"na\"")
            let refused = try sh(f, n, "systemctl hibernate")
            #expect(refused.status == 1 && refused.err.contains("not supported"), "\(refused.both)")
            #expect(try sh(f, n, "systemctl is-system-running").line == "running")
        }
    }
}
