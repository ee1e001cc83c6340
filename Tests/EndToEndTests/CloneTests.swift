import Glibc
import Kernel
import Testing

/// `ctr clone`, on both kinds of disk.
@Suite(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) struct CloneTests {
    @Test(arguments: ["256M", "none"])
    func independentOfItsSource(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", disk, "--memory", "64M", "--label", "a=b")
            let (c, d) = (f.name("c"), f.name("d"))
            try f.put("one", n)
            try f.ctr("snapshot", "create", n, "first").succeeds()
            try f.put("two", n)
            try f.ctr("clone", n, c).succeeds()
            try f.ctr("clone", "\(n)@first", d, "--memory", "96M", "--hostname", "other").succeeds()
            #expect(try f.state(c) == "stopped")
            try f.ctr("start", c, d).succeeds()
            #expect(try f.got(c) == "two\n" && f.got(d) == "one\n")
            try f.put("three", c)
            #expect(try f.got(n) == "two\n" && f.got(d) == "one\n")
            #expect(try f.ctr("exec", c, "--", "hostname").succeeds().out == "\(c)\n")
            #expect(try f.ctr("exec", d, "--", "hostname").succeeds().out == "other\n")
            let show = try JSON(text: f.ctr("--json", "show", d).succeeds().out)["config"]
            #expect(show?["resources"]?["memory"]?.int == 96 << 20)
            #expect(show?["labels"]?["a"]?.string == "b")
            #expect(try f.ctr("snapshot", "list", "-q", c).succeeds().lines.filter { !$0.isEmpty } == [])
            // The source goes, the clones stay; what the clone was made from leaves no snapshot behind.
            #expect(try f.ctr("-q", "snapshot", "list", n).succeeds().lines == ["first"])
            try f.ctr("destroy", "--force", n).succeeds()
            try f.ctr("restart", c, d).succeeds()
            #expect(try f.got(c) == "three\n" && f.got(d) == "one\n")
        }
    }

    @Test func whatIsRefusedMakesNothing() throws {
        try Fixture.withServers { (f) throws in
            let (n, c) = (f.name(), f.name("c"))
            try f.ctr("create", n, "--template", "minimal", "--disk", "128M").succeeds()
            #expect(try f.ctr("clone", n, n).status == 64)
            #expect(try f.ctr("clone", n, "../c").status == 64)
            #expect(try f.ctr("clone", f.name("none"), c).status == 66)
            #expect(try f.ctr("clone", "\(n)@none", c).status == 66)
            #expect(try f.ctr("clone", n, c, "--memory", "lots").status == 64)
            #expect(!f.exists("root/vps/\(c)"))
            try f.ctr("clone", n, c).succeeds()
            #expect(try f.ctr("clone", n, c).status == 73)
        }
    }

    /// On a file system that shares blocks a clone takes none, and the same again for one that runs.
    @Test(.enabled(if: ToolProcess.find("mkfs.xfs") != nil, "no mkfs.xfs (install the package xfsprogs)"))
    func sharesBlocksWhereTheHostCan() throws {
        try Fixture.with { (f) throws in
            try f.sh(
                """
                truncate -s 1G pool.img && mkfs.xfs -q pool.img && mkdir pool && mount -o loop pool.img pool
                mkdir -m 700 pool/root && cp -a root/templates pool/root/
                """
            ).succeeds()
            f.atEnd { _ = try? f.sh("umount -l pool") }
            let ctr = "set -e; export CTR_ROOT=$PWD/pool/root; "
            try f.sh(
                ctr + """
                    $CTR create $N-a --template minimal --disk 512M && $CTR start $N-a
                    $CTR exec $N-a -- sh -c 'dd if=/dev/urandom of=/root/big bs=1M count=100 2>/dev/null; sync'
                    $CTR exec $N-a -- md5sum /root/big > sum
                    """
            ).succeeds()
            let before = try f.used("pool")
            let made = try f.sh(ctr + "$CTR --json clone $N-a $N-b; $CTR stop $N-a; $CTR clone $N-a $N-c").succeeds()
            #expect(made.out.contains("shared"))
            #expect(try f.used("pool") - before < 40 << 20)
            // All three at the same time, though they were one file system.
            let sums = try f.sh(
                ctr
                    + "$CTR start $N-a $N-b $N-c; for i in a b c; do $CTR exec $N-$i -- md5sum /root/big | cmp - sum; done"
            )
            #expect(sums.status == 0, "\(sums.both)")
            let full = try f.sh(ctr + "$CTR --json clone --full $N-a $N-d").succeeds()
            #expect(full.out.contains("copied"))
            #expect(try f.used("pool") - before > 90 << 20)
            try f.sh(ctr + "$CTR destroy --force $N-a $N-b $N-c $N-d").succeeds()
            #expect(until(10) { (try? f.sh("umount pool").status) == 0 })
        }
    }

    /// Numbered records, each synced by their writer: a clone has an unbroken row of them.
    @Test func ofOneThatWrites() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "512M")
            let writer = try f.start(
                "exec", n, "--", "sh", "-c",
                "i=0; while :; do i=$((i+1)); echo $i >> /root/log; [ $((i%50)) = 0 ] && sync /root/log; done")
            defer { try? writer.signal(SIGKILL) }
            #expect(
                until(10) { f.exists("state/\(n)") && (try? f.ctr("exec", n, "test", "-s", "/root/log").status) == 0 })
            for number in 1...3 { try f.ctr("clone", n, f.name("c\(number)")).succeeds() }
            try f.ctr("kill", n).succeeds()
            for number in 1...3 {
                let log = try f.ctr("exec", "--offline", f.name("c\(number)"), "--", "cat", "/root/log").succeeds().out
                let numbers = log.split(separator: "\n").compactMap { Int($0) }
                #expect(!numbers.isEmpty && numbers == Array(1...max(1, numbers.count)))
            }
        }
    }
}

extension Fixture {
    fileprivate func put(_ word: String, _ n: String) throws {
        try ctr("exec", n, "--", "sh", "-c", "echo \(word) > /root/x").succeeds()
    }

    fileprivate func got(_ n: String) throws -> String { try ctr("exec", n, "--", "cat", "/root/x").succeeds().out }

    /// Bytes in use of the file system at a directory.
    fileprivate func used(_ directory: String) throws -> Int {
        Int(try sh("sync; df -B1 --output=used '\(directory)' | tail -1").succeeds().lines[0].filter(\.isNumber)) ?? 0
    }
}
