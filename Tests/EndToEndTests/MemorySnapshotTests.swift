import Glibc
import Kernel
import Testing

/// `ctr snapshot create --memory`: disk and memory of one instant, gone back to as often as one likes.
@Suite(.serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")))
struct MemorySnapshotTests {
    /// A VPS with a process that counts, in its memory, on its disk and in a file system in memory.
    private func counter(_ f: Fixture, disk: String) throws -> String {
        let n = f.name()
        try f.start(f.program, ["create", n, "--template", "minimal", "--disk", disk]).wait().succeeds()
        try f.ctr("start", n).succeeds()
        try f.ctr(
            "exec", n, "--", "sh", "-c",
            "mkdir -p /root; setsid sh -c 'i=0; while :; do i=$((i+1)); echo $i >> /root/n; echo $i > /dev/shm/n; "
                + "sleep 0.1; done' </dev/null >/dev/null 2>&1 & until [ -s /root/n ] && [ -s /dev/shm/n ]; do sleep 0.05; done"
        ).succeeds()
        return n
    }

    private func onDisk(_ f: Fixture, _ n: String, at location: SourceLocation = #_sourceLocation) throws -> Int {
        let lines = try f.ctr("exec", n, "--", "cat", "/root/n").succeeds(at: location).lines
        #expect(lines == (1...max(1, lines.count)).map { "\($0)" }, "a gap", sourceLocation: location)
        return lines.count
    }

    /// What fails after the VPS has gone on leaves none of its memory behind.
    @Test func aFailureLeavesNothing() throws {
        try Fixture.withServers { (f) throws in
            let n = try counter(f, disk: "none")
            let place = "\(f.root)/vps/\(n)"
            try f.sh("touch \(place)/memory").succeeds()
            let failed = try f.ctr("snapshot", "create", n, "live", "--memory")
            #expect(failed.status != 0 && failed.err.contains("memory of a snapshot"), "\(failed.both)")
            #expect(!f.exists("root/vps/\(n)/checkpoint.new"))
            #expect(try f.state(n) == "running")
            try f.sh("rm -f \(place)/memory").succeeds()
            #expect(try f.ctr("snapshot", "list", "-q", n).succeeds().lines == [])
            try f.ctr("snapshot", "create", n, "live", "--memory").succeeds()
        }
    }

    @Test(arguments: ["256M", "none"]) func twiceBackToOneInstant(disk: String) throws {
        try #require(disk == "none" || Disks.lack == nil)
        try Fixture.withServers { (f) throws in
            let n = try counter(f, disk: disk)
            let taken = try f.ctr("snapshot", "create", n, "live", "--memory").succeeds()
            #expect(taken.out.contains("stood still") && taken.out.contains("of memory"), "\(taken.out)")
            // It runs on.
            let then = try onDisk(f, n)
            #expect(try until(10) { try onDisk(f, n) > then + 20 })
            for turn in 1...2 {
                let late = try onDisk(f, n)
                try f.ctr("snapshot", "revert", n, "live").fails(1, words: "running")
                let words = turn == 1 ? ["--stop"] : ["--start"]
                var began = Timestamp.monotonic()
                try f.start(f.program, ["snapshot", "revert", n, "live"] + words).wait().succeeds()
                if turn == 1 {
                    #expect(try f.state(n) == "suspended")
                    #expect(try f.ctr("snapshot", "list", "-q", n).succeeds().lines == ["live"])
                    began = Timestamp.monotonic()
                    try f.ctr("start", n).succeeds()
                }
                #expect(try f.state(n) == "running")
                let now = try onDisk(f, n)
                // Ten times a second it counts at most, from the instant of the snapshot, which was not after `then`.
                let most = then + 1 + Int((Timestamp.monotonic() - began) / 100_000_000)
                #expect(now <= most, "\(then) \(late) \(now) \(most)")
                #expect(
                    try until(10) {
                        let both = try f.ctr("exec", n, "--", "sh", "-c", "cat /dev/shm/n; wc -l < /root/n").succeeds()
                            .lines.compactMap { Int($0) }
                        return both.count == 2 && abs(both[0] - both[1]) <= 5
                    })
                #expect(try until(10) { try onDisk(f, n) > late + 2 })
            }
            // Back to the disk alone.
            try f.ctr("snapshot", "revert", n, "live", "--stop", "--without-memory").succeeds()
            #expect(try f.state(n) == "stopped")
            let json = try JSON(text: f.ctr("--json", "snapshot", "list", n).succeeds().out)
            #expect((json["snapshots"]?.array?.first?["memory"]?.int ?? 0) > 100_000, "\(json)")
            #expect(try f.ctr("snapshot", "create", n, "more", "--memory").err.contains("not running"))
            #expect(try f.ctr("snapshot", "list", "-q", n).succeeds().lines == ["live"])
            try f.ctr("snapshot", "delete", n, "live").succeeds()
            #expect(try f.sh("ls -A root/vps/\(n)/memory").line == "")
        }
    }

    /// What a suspended VPS has in memory goes with its disk only where that is asked for.
    @Test func aSuspendedOneGoesBackWithStop() throws {
        try Fixture.withServers { (f) throws in
            let n = try counter(f, disk: "none")
            try f.ctr("snapshot", "create", n, "live", "--memory").succeeds()
            try f.ctr("suspend", n).succeeds()
            try f.ctr("snapshot", "revert", n, "live").fails(1, words: "suspended")
            try f.ctr("snapshot", "revert", n, "live", "--start").succeeds()
            #expect(try f.state(n) == "running")
            let before = try onDisk(f, n)
            #expect(try until(10) { try onDisk(f, n) > before + 2 })
        }
    }

    @Test func whatCannotBeSuspendedLeavesNothing() throws {
        try Fixture.withServers { (f) throws in
            let n = try counter(f, disk: "none")
            let session = try f.start("exec", n, "--", "sleep", "1000")
            #expect(try until(10) { try f.ctr("exec", n, "--", "ps").out.contains("sleep 1000") })
            try f.ctr("snapshot", "create", n, "live", "--memory").fails(1, words: "brought in by ctr exec")
            #expect(try f.ctr("snapshot", "list", "-q", n).succeeds().out.isEmpty)
            #expect(try f.sh("ls -A root/vps/\(n)/snapshots root/vps/\(n)/memory 2>/dev/null | grep -v :").out.isEmpty)
            try f.ctr("exec", n, "--", "killall", "sleep").succeeds()
            _ = try session.wait()
            let before = try onDisk(f, n)
            #expect(try until(10) { try onDisk(f, n) > before + 2 })
        }
    }

    /// Killed at any moment: the snapshot is there or is not, and the VPS is what it was or what it was to be.
    @Test(arguments: [
        ("create", 60), ("create", 150), ("create", 250), ("create", 400), ("revert", 10), ("revert", 30),
        ("revert", 60),
        ("revert", 120),
    ]) func killedAtAnyMoment(verb: String, milliseconds: Int) throws {
        try Fixture.withServers { (f) throws in
            let n = try counter(f, disk: Disks.lack == nil ? "256M" : "none")
            try f.ctr("snapshot", "create", n, "first", "--memory").succeeds()
            if verb == "revert" { try f.ctr("stop", n).succeeds() }
            let words = verb == "revert" ? ["first"] : ["second", "--memory"]
            let run = try f.start(f.program, ["snapshot", verb, n] + words)
            usleep(UInt32(milliseconds) * 1000)
            try? run.signal(SIGKILL)
            _ = try run.wait()
            #expect(until(30) { !f.processes().contains { f.commandLine($0).contains("criu") } })
            _ = try f.ctr("host", "recover").succeeds()
            if verb == "create" {
                #expect(try f.state(n) == "running")
                let before = try onDisk(f, n)
                #expect(try until(10) { try onDisk(f, n) > before + 2 })
                let names = try f.ctr("snapshot", "list", "-q", n).succeeds().lines
                #expect(names == ["first"] || names == ["first", "second"], "\(names)")
                #expect(try f.sh("ls root/vps/\(n)/memory").lines.count == names.count)
                // A criu that was killed leaves its locks when it has given back its memory.
                #expect(
                    try until(20) {
                        _ = try f.ctr("host", "recover").succeeds()
                        return !f.exists("root/vps/\(n)/checkpoint.new")
                    })
                try f.ctr("snapshot", "revert", n, names.last ?? "", "--start").succeeds()
            } else {
                let state = try f.state(n)
                #expect(state == "stopped" || state == "suspended")
                if state == "stopped" { try f.ctr("snapshot", "revert", n, "first").succeeds() }
                #expect(try f.state(n) == "suspended")
                try f.ctr("resume", n).succeeds()
            }
            let before = try onDisk(f, n)
            #expect(try until(10) { try onDisk(f, n) > before + 2 })
        }
    }
}

/// A whole server with the default kind of disk: its layers are on two file systems.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? "")),
    .enabled(if: Distribution.lack == nil, Comment(rawValue: Distribution.lack ?? "")))
struct ServerMemoryTests {
    @Test func systemdOnAnImageComesBack() throws {
        try Fixture.withServers { (f) throws in
            try Distribution.add(to: f)
            let n = f.name()
            try f.ctr("create", n, "--template", "debian-12", "--disk", "1G", "--net", "none", timeout: 60).succeeds()
            try f.ctr("start", "--wait", n, timeout: 120).succeeds()
            try f.ctr("exec", n, "--", "sh", "-c", "echo then > /dev/shm/x; echo then > /root/x").succeeds()
            try f.ctr("snapshot", "create", n, "live", "--memory", timeout: 60).succeeds()
            func isAs(_ word: String, at location: SourceLocation = #_sourceLocation) throws {
                let all = try f.ctr("exec", n, "--", "sh", "-c", "cat /dev/shm/x /root/x; systemctl is-system-running")
                #expect(all.lines == [word, word, "running"], "\(all.both)", sourceLocation: location)
            }
            try f.ctr("exec", n, "--", "sh", "-c", "echo now > /dev/shm/x; echo now > /root/x").succeeds()
            try f.ctr("hibernate", n, timeout: 60).succeeds()
            #expect(try f.state(n) == "hibernated")
            try f.ctr("start", n, timeout: 60).succeeds()
            try isAs("now")
            for _ in 1...2 {
                try f.ctr("snapshot", "revert", n, "live", "--start", timeout: 120).succeeds()
                try isAs("then")
                try f.ctr("exec", n, "--", "sh", "-c", "echo late > /dev/shm/x; echo late > /root/x").succeeds()
            }
        }
    }
}
