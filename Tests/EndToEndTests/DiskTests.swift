import Glibc
import Kernel
import Testing

/// What this host lacks for disk images; nil: nothing.
enum Disks {
    static let lack: String? = {
        if ToolProcess.find("mkfs.btrfs") == nil { return "no mkfs.btrfs (install the package btrfs-progs)" }
        if (try? Kernel.open("/dev/loop-control", [.readWrite])) == nil { return "no loop devices" }
        let known = (try? Kernel.open("/proc/filesystems", [.readOnly]).readAll()) ?? []
        return String(decoding: known, as: UTF8.self).contains("btrfs") ? nil : "no btrfs in this kernel"
    }()
}

/// `--disk SIZE`: see docs/disks.md.
@Suite(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) struct DiskTests {
    @Test func hasTheSizePromisedAndTakesWhatIsWritten() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "512M")
            let image = "\(f.root)/vps/\(n)/disk.img"
            #expect(try Kernel.open(image, [.readOnly]).status().size == 512 << 20)
            #expect(try f.allocated(image) < 64 << 20)
            let blocks = try f.ctr("exec", n, "--", "stat", "-f", "-c", "%b %S", "/").succeeds().out
                .split { !$0.isNumber }.compactMap { Int($0) }
            #expect(blocks.count == 2 && blocks[0] * blocks[1] == 512 << 20, "\(blocks)")
            try f.ctr("exec", n, "--", "sh", "-c", "echo kept > /root/x").succeeds()
            try f.ctr("stop", n).succeeds()
            #expect(try f.loops() == [])
            #expect(try f.ctr("exec", n, "--offline", "--", "cat", "/root/x").succeeds().out == "kept\n")
            try f.ctr("start", n).succeeds()
            #expect(try f.ctr("exec", n, "--", "cat", "/root/x").succeeds().out == "kept\n")
            // The supervisor's death does not take the disk along.
            kill(try f.number("supervisor", n), SIGKILL)
            #expect(try f.ctr("exec", n, "--", "cat", "/root/x").succeeds().out == "kept\n")
            try f.ctr("kill", n).succeeds()
            #expect(until(10) { (try? f.loops()) == [] })
        }
    }

    @Test func aFullDiskIsThatOfOneVPSAlone() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "128M")
            let other = try f.server("--disk", "128M", name: "b")
            let full = try f.ctr(
                "exec", n, "--", "sh", "-c", "dd if=/dev/zero of=/root/big bs=1M count=200", timeout: 120)
            #expect(full.status != 0 && full.err.contains("No space left"), "\(full.both)")
            try f.ctr("exec", other, "--", "sh", "-c", "dd if=/dev/zero of=/root/big bs=1M count=8 && sync").succeeds()
            try f.ctr("exec", n, "--", "rm", "/root/big").succeeds()
            try f.ctr("exec", n, "--", "sh", "-c", "echo room > /root/x && sync").succeeds()
        }
    }

    @Test func deletedBlocksGoBackToTheHost() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "512M")
            let image = "\(f.root)/vps/\(n)/disk.img"
            try f.ctr("exec", n, "--", "sh", "-c", "dd if=/dev/urandom of=/root/big bs=1M count=100; sync").succeeds()
            #expect(try f.allocated(image) > 100 << 20)
            try f.ctr("exec", n, "--", "sh", "-c", "rm /root/big; sync").succeeds()
            // Discards come by and by, when the file system has made up its mind.
            #expect(until(150) { (try? f.allocated(image)).map { $0 < 60 << 20 } ?? false })
        }
    }

    @Test func aThickDiskIsAllThereAtOnce() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "256M", "--thick")
            let image = "\(f.root)/vps/\(n)/disk.img"
            #expect(try f.allocated(image) >= 256 << 20)
            try f.ctr(
                "exec", n, "--", "sh", "-c", "dd if=/dev/zero of=/root/big bs=1M count=50; sync; rm /root/big; sync"
            )
            .succeeds()
            try f.ctr("stop", n).succeeds()
            #expect(try f.allocated(image) >= 256 << 20)
            let m = f.name("huge")
            let refused = try f.ctr("create", m, "--template", "minimal", "--disk", "900T", "--thick")
            #expect(refused.status == 73 && !f.exists("root/vps/\(m)"), "\(refused.both)")
        }
    }

    @Test func badSizesMakeNothing() throws {
        try Fixture.with { (f) throws in
            for size in ["0", "1M", "-1", "many", "10G10"] {
                let refused = try f.ctr("create", f.name(), "--template", "minimal", "--disk=\(size)")
                #expect(refused.status == 64 && refused.err.contains("--disk"), "\(size): \(refused.both)")
            }
            let thick = try f.ctr("create", f.name(), "--template", "minimal", "--disk", "none", "--thick")
            #expect(thick.status == 64 && thick.err.contains("--thick"), "\(thick.both)")
            #expect(!f.exists("root/vps/\(f.name())"))
        }
    }

    @Test func anEphemeralVPSMayHaveOne() throws {
        try Fixture.with { (f) throws in
            let out = try f.ctr("run", "--disk", "256M", "minimal", "stat", "-f", "-c", "%S", "/").succeeds()
            #expect(out.out == "4096\n")
            #expect(try f.loops() == [])
        }
    }

    /// Nothing is mounted of what is not as ctr left it, and nothing written to it.
    @Test(arguments: [
        ("truncate -s 100M disk.img", 78, "cut off"),
        ("truncate -s 256M other; mv other disk.img", 78, "no btrfs"),
        ("mkfs.ext4 -q -F disk.img", 78, "no btrfs"),
        ("head -c 65536 /dev/zero | dd of=disk.img bs=65536 seek=1 conv=notrunc 2>/dev/null", 78, "no btrfs"),
        ("rm disk.img; ln -s /dev/sda disk.img", 74, "symbolic"),
        ("rm disk.img; mkfifo disk.img", 78, "regular"),
        ("ln disk.img other", 78, "names"),
        ("rm disk.img", 78, "missing"),
    ])
    func aDamagedImageIsRefused(damage: String, status: Int32, word: String) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "256M").succeeds()
            try f.sh("cd root/vps/\(n) && \(damage)").succeeds()
            let refused = try f.ctr("start", n)
            #expect(refused.status == status && refused.err.contains(word), "\(refused.both)")
            #expect(try f.loops() == [])
            #expect(try f.state(n) == "stopped")
        }
    }

    /// Zeros in its trees, so that the superblock alone looks well.
    @Test func aBrokenFileSystemIsAClearError() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "256M").succeeds()
            try f.sh(
                "cd root/vps/\(n) && head -c 200M /dev/zero | dd of=disk.img bs=1M seek=1 conv=notrunc 2>/dev/null"
            ).succeeds()
            let refused = try f.ctr("start", n)
            #expect(refused.status == 74 && refused.err.contains("damaged"), "\(refused.both)")
            #expect(try f.loops() == [])
        }
    }

    @Test func anImageInUseByAnotherIsBusy() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "256M").succeeds()
            let holder = try f.startScript("exec 9>>root/vps/\(n)/disk.img; flock 9 && exec sleep 60")
            defer { try? holder.signal(SIGKILL) }
            _ = until(60) { (try? f.sh("! flock -n root/vps/\(n)/disk.img true").status) == 0 }
            let refused = try f.ctr("start", n)
            #expect(refused.status == 75 && refused.err.contains("in use"), "\(refused.both)")
        }
    }

    @Test func aCreateThatWasKilledBeforeTheLastStepLeavesAWholeDisk() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "256M").succeeds()
            try f.sh("cd root/vps/\(n) && mv disk.img .disk.img.new").succeeds()
            // Who only looks does not take it from a `create` that is still at work.
            #expect(try f.ctr("storage").succeeds().out.contains(n))
            #expect(f.exists("root/vps/\(n)/.disk.img.new"))
            try f.ctr("start", n).succeeds()
            #expect(f.exists("root/vps/\(n)/disk.img"))
            // And without config.json it is a leftover, but only by that name.
            try f.ctr("kill", n).succeeds()
            try f.sh("cd root/vps/\(n) && rm -r config.json last.json log && mv disk.img .disk.img.new").succeeds()
            try f.ctr("host", "recover").succeeds()
            #expect(!f.exists("root/vps/\(n)"))
        }
    }
}

extension Fixture {
    /// Bytes that a file takes on the host's disk.
    func allocated(_ path: String) throws -> Int {
        Int(try sh("stat -c '%b' '\(path)'").succeeds().lines[0])! * 512
    }

    /// Loop devices that belong to this test.
    func loops() throws -> [String] {
        try sh("losetup -l -n -O BACK-FILE").succeeds().lines.filter { $0.contains(path) }
    }
}

/// `ctr disk` and `ctr storage`.
@Suite(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) struct DiskVerbTests {
    @Test(arguments: [true, false])
    func resizedBothWaysRunningOrNot(runs: Bool) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "512M")
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                "dd if=/dev/urandom of=/root/big bs=1M count=20; md5sum /root/big > /root/sum"
            )
            .succeeds()
            if !runs { try f.ctr("stop", n).succeeds() }
            for (size, bytes) in [("1G", 1 << 30), ("600M", 600 << 20), ("600M", 600 << 20)] {
                try f.ctr("disk", "resize", n, size).succeeds()
                #expect(try Kernel.open("\(f.root)/vps/\(n)/disk.img", [.readOnly]).status().size == bytes)
            }
            if !runs { try f.ctr("start", n).succeeds() }
            let blocks = try f.ctr("exec", n, "--", "stat", "-f", "-c", "%b %S", "/").succeeds().out
                .split { !$0.isNumber }.compactMap { Int($0) }
            #expect(blocks.count == 2 && blocks[0] * blocks[1] == 600 << 20, "\(blocks)")
            try f.ctr("exec", n, "--", "md5sum", "-c", "/root/sum").succeeds()
            #expect(try f.ctr("disk", "check", n).succeeds().out.contains("no errors"))
        }
    }

    @Test func belowWhatIsUsedIsRefused() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "1G")
            try f.ctr("exec", n, "--", "sh", "-c", "dd if=/dev/urandom of=/root/big bs=1M count=300; sync").succeeds()
            let refused = try f.ctr("disk", "resize", n, "256M")
            #expect(refused.status == 1 && refused.err.contains("least size"), "\(refused.both)")
            try f.ctr("exec", n, "--", "sh", "-c", "echo x > /root/x && sync").succeeds()
            #expect(try f.ctr("disk", "resize", n, "1M").status == 64)
            #expect(try f.ctr("disk", "resize", n, "none").status == 64)
            #expect(try f.ctr("set", n, "--disk", "2G").err.contains("disk resize"))
        }
    }

    /// What a kill leaves in config.json and in the file.
    @Test(arguments: ["128M", "1G"])
    func aResizeThatWasCutShortIsFinishedOrUndone(size: String) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "128M").succeeds()
            try f.sh(
                """
                sed -i 's/"disk":{"size"/"disk":{"resizingTo":1073741824,"size"/' root/vps/\(n)/config.json
                truncate -s \(size) root/vps/\(n)/disk.img
                """
            ).succeeds()
            try f.ctr("start", n).succeeds()
            let config = try JSON(text: f.text("root/vps/\(n)/config.json"))
            #expect(config["disk"]?["size"]?.int == (size == "1G" ? 1 << 30 : 128 << 20))
            #expect(config["disk"]?["resizingTo"] == nil)
        }
    }

    @Test func compactSaysWhatItGaveBack() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "512M")
            try f.ctr(
                "exec", n, "--", "sh", "-c", "dd if=/dev/urandom of=/root/big bs=1M count=100; sync; rm /root/big"
            ).succeeds()
            let done = try JSON(text: f.ctr("--json", "disk", "compact", n).succeeds().out)
            let (before, after) = (try #require(done["before"]?.int), try #require(done["after"]?.int))
            #expect(before > 100 << 20 && after < 40 << 20)
            let directory = try f.server("--disk", "none", name: "d")
            for verb in ["compact", "check"] {
                let refused = try f.ctr("disk", verb, directory)
                #expect(refused.status == 1 && refused.err.contains("directory"), "\(refused.both)")
            }
        }
    }

    @Test func damageIsNamed() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "256M").succeeds()
            try f.ctr(
                "exec", "--offline", n, "--", "sh", "-c",
                "yes 'this is what is damaged' | head -n 80000 > /root/victim; echo well > /root/well; sync"
            ).succeeds()
            try f.ctr("snapshot", "create", n, "s").succeeds()
            // One block in the middle of the file's data.
            try f.sh(
                """
                cd root/vps/\(n)
                at=$(grep -abo 'this is what is damaged' disk.img | tail -n 1000 | head -n 1 | cut -d: -f1)
                printf spoiled | dd of=disk.img bs=1 seek=$at conv=notrunc
                """
            ).succeeds()
            let found = try f.ctr("disk", "check", n)
            #expect(found.status == 1 && found.out.contains("damaged: /root/victim"), "\(found.both)")
            #expect(found.out.contains("damaged: s:/root/victim") && !found.out.contains("well"), "\(found.both)")
        }
    }

    @Test func promisesHaveABound() throws {
        try Fixture.withServers { (f) throws in
            let (n, m) = (f.name("a"), f.name("b"))
            try f.ctr("create", n, "--template", "minimal", "--disk", "512M").succeeds()
            let physical = try #require(try JSON(text: f.ctr("--json", "storage").succeeds().out)["size"]?.int)
            // Room for these and 384 MiB more.
            let settings = try f.text("config.json").prefix { $0 != "}" }
            func bound(_ text: String) throws { try f.write("config.json", "\(settings), \"overcommit\": \(text)}") }
            try bound("\(Double(896 << 20) / Double(physical))")
            for refused in [
                try f.ctr("create", m, "--template", "minimal", "--disk", "512M"), try f.ctr("clone", n, m),
                try f.ctr("run", "--name", m, "--disk", "512M", "minimal", "true"),
                try f.ctr("disk", "resize", n, "1G"),
            ] {
                // `run` says 125 for every failure of its own.
                #expect([73, 125].contains(refused.status) && refused.err.contains("overcommit"), "\(refused.both)")
                #expect(!f.exists("root/vps/\(m)"))
            }
            #expect(try Kernel.open("\(f.root)/vps/\(n)/disk.img", [.readOnly]).status().size == 512 << 20)
            let config = try f.ctr("--json", "show", n).succeeds().out
            #expect(!config.contains("resizingTo"))
            // What fits is made, and a directory promises nothing.
            try f.ctr("create", m, "--template", "minimal", "--disk", "256M").succeeds()
            try f.ctr("create", f.name("c"), "--template", "minimal", "--disk", "none").succeeds()
            try bound("0")
            #expect(try f.ctr("create", f.name("d"), "--template", "minimal", "--disk", "256M").status == 78)
            try bound("1000")
        }
    }

    @Test func storageSumsUp() throws {
        try Fixture.withServers { (f) throws in
            for (word, disk) in [("a", "256M"), ("b", "512M"), ("c", "none")] {
                try f.ctr("create", f.name(word), "--template", "minimal", "--disk", disk).succeeds()
            }
            let report = try JSON(text: f.ctr("--json", "storage").succeeds().out)
            #expect(report["promised"]?.int == 768 << 20)
            #expect((report["templates"]?.int ?? 0) > 0 && (report["free"]?.int ?? 0) > 0)
            let text = try f.ctr("storage").succeeds().out
            #expect(text.contains("directory") && text.contains("thin") && text.contains("overcommitment"))
        }
    }
}
