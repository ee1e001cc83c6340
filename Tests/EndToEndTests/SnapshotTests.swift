import Glibc
import Kernel
import Testing

/// `ctr snapshot`, on both kinds of disk.
@Suite(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) struct SnapshotTests {
    @Test(arguments: ["256M", "none"])
    func aTreeThatIsGoneBackIn(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", disk)
            try f.say("one", n)
            let first = try f.ctr("snapshot", "create", n, "first", "--description", "the first").succeeds()
            #expect(first.out.contains("first") && first.out.contains("stood still") == (disk == "none"))
            try f.say("two", n)
            try f.ctr("snapshot", "create", n, "second").succeeds()
            try f.say("three", n)
            // It runs.
            let refused = try f.ctr("snapshot", "revert", n, "first")
            #expect(refused.status == 1 && refused.err.contains("--stop"), "\(refused.both)")
            #expect(try f.said(n) == "three\n")
            try f.ctr("snapshot", "revert", n, "first", "--start").succeeds()
            #expect(try f.said(n) == "one\n")
            try f.say("other", n)
            try f.ctr("snapshot", "create", n, "branch").succeeds()
            // And to the other branch, which is still there.
            try f.ctr("snapshot", "revert", n, "second", "--stop").succeeds()
            #expect(try f.state(n) == "stopped")
            #expect(try f.ctr("exec", "--offline", n, "--", "cat", "/root/x").succeeds().out == "two\n")
            let list = try f.ctr("snapshot", "list", n).succeeds().lines.dropFirst()
            let names = list.map { $0.prefix { $0 != "2" } }.map(String.init)
            #expect(names.map { $0.filter { $0 != " " } } == ["first", "second*", "branch"], "\(list)")
            #expect(names[0].hasPrefix("first") && names[1].hasPrefix("  second"), "\(list)")
            let json = try JSON(text: f.ctr("--json", "snapshot", "list", n).succeeds().out)
            #expect(json["current"]?.string == "second")
            // The middle goes; what was based on it stays, and so do the VPS's data.
            let gone = try f.ctr("snapshot", "delete", n, "second").succeeds()
            #expect(gone.out.contains("no data of the VPS were lost"))
            #expect(try f.ctr("exec", "--offline", n, "--", "cat", "/root/x").succeeds().out == "two\n")
            try f.ctr("snapshot", "revert", n, "branch").succeeds()
            #expect(try f.ctr("exec", "--offline", n, "--", "cat", "/root/x").succeeds().out == "other\n")
        }
    }

    @Test(arguments: ["256M", "none"])
    func configurationOfThatMoment(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", disk, "--memory", "64M").succeeds()
            try f.ctr("snapshot", "create", n, "small").succeeds()
            try f.ctr("set", n, "--memory", "128M", "--label", "a=b").succeeds()
            try f.ctr("snapshot", "revert", n, "small").succeeds()
            #expect(try f.ctr("show", n).succeeds().out.contains("128M"))
            try f.ctr("snapshot", "revert", n, "small", "--config").succeeds()
            let show = try f.ctr("show", n).succeeds().out
            #expect(show.contains("64M") && !show.contains("a=b"))
        }
    }

    /// What a kill leaves in config.json, before the tree has the snapshot and after.
    @Test func aSnapshotThatWasCutShort() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "128M").succeeds()
            try f.ctr("snapshot", "create", n, "whole").succeeds()
            let tree = try JSON(text: f.text("root/vps/\(n)/snapshots.json"))
            let id = try #require(tree["current"]?.string)
            for unfinished in [id, "abcdefabcdef"] {
                let work = "\"diskWork\":{\"id\":\"\(unfinished)\",\"verb\":\"snapshot\",\"withConfig\":false},"
                try f.sh("sed -i 's/^{/{\(work)/' root/vps/\(n)/config.json").succeeds()
                #expect(try f.ctr("host", "recover").succeeds().lines == [n])
                #expect(try f.ctr("snapshot", "list", "-q", n).succeeds().lines == ["whole"])
                try f.ctr("snapshot", "revert", n, "whole").succeeds()
            }
        }
    }

    @Test func namesAndUnknownOnes() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "128M").succeeds()
            try f.ctr("snapshot", "create", n, "s").succeeds()
            #expect(try f.ctr("snapshot", "create", n, "s").status == 73)
            #expect(try f.ctr("snapshot", "create", n, "../s").status == 64)
            #expect(try f.ctr("snapshot", "create", n, "s", "--prune", "keep=1").status == 64)
            #expect(try f.ctr("snapshot", "create", n, "--prune", "keep=0").status == 64)
            for verb in ["revert", "delete"] { #expect(try f.ctr("snapshot", verb, n, "t").status == 66) }
            #expect(try f.ctr("snapshot", "mount", n, "t", "/mnt").status == 66)
            #expect(try f.ctr("snapshot", "list", f.name("none")).status == 66)
            #expect(try f.ctr("snapshot", "list", n).succeeds().lines.count == 2)
        }
    }

    @Test func automaticOnesAreKeptByCount() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "128M").succeeds()
            try f.ctr("snapshot", "create", n, "mine").succeeds()
            for _ in 0..<4 { try f.ctr("snapshot", "create", n, "--prune", "keep=2").succeeds() }
            let names = try f.ctr("-q", "snapshot", "list", n).succeeds().lines
            #expect(names.count == 3 && names.contains("mine"), "\(names)")
        }
    }

    /// Those that an operator named stay, whatever they are called, and so does one that is being read.
    @Test func pruningSparesNamedAndMountedOnes() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "128M").succeeds()
            try f.ctr("snapshot", "create", n, "auto-mine").succeeds()
            let oldest = try f.ctr("snapshot", "create", n).succeeds().lines[0]
            try f.ctr("snapshot", "create", n).succeeds()
            try f.sh("mkdir dir").succeeds()
            try f.ctr("snapshot", "mount", n, oldest, "\(f.path)/dir").succeeds()
            f.atEnd { _ = try? f.sh("umount -l dir") }
            let taken = try f.ctr("snapshot", "create", n, "--prune", "keep=1").succeeds()
            #expect(
                taken.err.contains("not removed: snapshot \(oldest)") && taken.err.contains("mounted"), "\(taken.both)")
            #expect(taken.out.contains("removed auto-"), "\(taken.both)")
            let names = try f.ctr("-q", "snapshot", "list", n).succeeds().lines
            #expect(names == ["auto-mine", oldest, taken.lines[0]])
            // A chain is no tree that grows to the right.
            let lines = try f.ctr("snapshot", "list", n).succeeds().lines.dropFirst()
            #expect(lines.allSatisfy { $0.hasPrefix("auto-") }, "\(lines)")
            let gone = try f.ctr("destroy", "--force", n).succeeds()
            #expect(gone.err.contains("dir, and is no more") && !f.exists("dir/bin"), "\(gone.both)")
            #expect(until(10) { (try? f.loops()) == [] })
        }
    }

    /// What a program has synced is in a snapshot that is taken while it writes on, without a gap.
    @Test func aWriterGoesOnMeanwhile() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "512M")
            let writer = try f.start(
                "exec", n, "--", "sh", "-c",
                "i=0; while :; do i=$((i+1)); echo $i >> /root/log; [ $((i%50)) = 0 ] && sync /root/log; done")
            defer { try? writer.signal(SIGKILL) }
            #expect(until(10) { (try? f.count(n)) ?? 0 > 100 })
            var least: [Int] = []
            for number in 1...5 {
                least.append(try f.count(n))
                try f.ctr("snapshot", "create", n, "s\(number)").succeeds()
            }
            try f.ctr("kill", n).succeeds()
            for number in 1...5 {
                try f.ctr("snapshot", "revert", n, "s\(number)").succeeds()
                let log = try f.ctr("exec", "--offline", n, "--", "cat", "/root/log").succeeds().out
                let numbers = log.split(separator: "\n").compactMap { Int($0) }
                #expect(numbers == Array(1...max(1, numbers.count)))
                #expect(numbers.count >= least[number - 1], "\(numbers.count) of \(least[number - 1])")
            }
        }
    }

    @Test(arguments: ["256M", "none"])
    func mountedForAReader(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", disk)
            try f.say("then", n)
            try f.ctr(
                "exec", n, "--", "sh", "-c", "touch /root/j; chown 1234 /root/j; rm /etc/shells"
            ).succeeds()
            try f.ctr("snapshot", "create", n, "s").succeeds()
            try f.say("now", n)
            try f.sh("mkdir 'a dir'").succeeds()
            try f.ctr("snapshot", "mount", n, "s", "\(f.path)/a dir").succeeds()
            f.atEnd { _ = try? f.sh("umount -l 'a dir'") }
            #expect(try f.text("a dir/root/x") == "then\n")
            #expect(try f.sh("stat -c %u 'a dir/root/j'").out == "1234\n")
            #expect(f.exists("a dir/bin/busybox") && !f.exists("a dir/etc/shells"))
            #expect(try f.sh("touch 'a dir/x'").err.contains("Read-only"))
            #expect(try f.ctr("snapshot", "mount", n, "s", "\(f.path)/a dir").status == 73)
            let busy = try f.ctr("snapshot", "delete", n, "s")
            #expect(busy.status == 75 && busy.err.contains("a dir"), "\(busy.both)")
            // It outlives the VPS's run.
            try f.ctr("stop", n).succeeds()
            #expect(try f.text("a dir/root/x") == "then\n")
            // And another begins on the same loop device.
            try f.ctr("start", n).succeeds()
            #expect(try f.said(n) == "now\n")
            #expect(try f.loops().count == (disk == "none" ? 0 : 1))
            try f.ctr("stop", n).succeeds()
            try f.ctr("destroy", n).fails(75, words: "snapshot s", "a dir", "unmount")
            try f.ctr("exec", "--offline", n, "--", "true").succeeds()
            try f.ctr("snapshot", "unmount", "\(f.path)/a dir").succeeds()
            #expect(!f.exists("a dir/bin"))
            #expect(try f.ctr("snapshot", "unmount", "\(f.path)/a dir").status == 66)
            try f.ctr("snapshot", "delete", n, "s").succeeds()
            #expect(until(10) { (try? f.loops()) == [] })
        }
    }

    @Test func aPausedOneStaysPaused() throws {
        try Fixture.withServers { (f) throws in
            for disk in ["128M", "none"] {
                let n = try f.server("--disk", disk, name: "d\(disk.lowercased())")
                try f.ctr("pause", n).succeeds()
                try f.ctr("snapshot", "create", n, "s").succeeds()
                #expect(try f.state(n) == "paused")
                try f.ctr("unpause", n).succeeds()
            }
        }
    }

    @Test func anEphemeralOneHasNone() throws {
        try Fixture.with { (f) throws in
            let n = f.name()
            try f.ctr("run", "-d", "--name", n, "minimal", "sleep", "1000").succeeds()
            let refused = try f.ctr("snapshot", "create", n, "s")
            #expect(refused.status == 1 && refused.err.contains("ephemeral"), "\(refused.both)")
            try f.ctr("kill", n).succeeds()
        }
    }
}

extension Fixture {
    fileprivate func say(_ word: String, _ n: String) throws {
        try ctr("exec", n, "--", "sh", "-c", "echo \(word) > /root/x").succeeds()
    }

    fileprivate func said(_ n: String) throws -> String { try ctr("exec", n, "--", "cat", "/root/x").succeeds().out }

    /// Records that the writer has written.
    fileprivate func count(_ n: String) throws -> Int {
        Int(try ctr("exec", n, "--", "sh", "-c", "cat /root/log 2>/dev/null | wc -l").succeeds().lines[0]) ?? 0
    }
}
