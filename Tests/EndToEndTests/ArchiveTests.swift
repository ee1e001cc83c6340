import Glibc
import Kernel
import Testing

/// `ctr export` and `ctr import`.
@Suite struct ArchiveTests {
    private static var kinds: [String] { Disks.lack == nil ? ["none", "256M"] : ["none"] }

    /// All that an upper layer may hold: deleted, hidden and changed files of the template, owners, modes, links, holes.
    private static let fill = """
        cd /root && echo kept > file && chown 33:34 file && chmod 4750 file && ln file other && ln -s file link
        mkfifo pipe; dd if=/dev/zero of=holes bs=1 count=1 seek=20M 2>/dev/null; echo end >> holes
        rm /etc/profile; rm -rf /usr/share/udhcpc && mkdir -p /usr/share/udhcpc && echo mine > /usr/share/udhcpc/x
        mkdir -m 1777 dir; echo x > "dir/a b"; chmod 700 /srv 2>/dev/null || mkdir -m 700 /srv
        """
    private static let look = """
        cd /root; stat -c '%n %F %u %g %a %h %s' file link pipe holes dir "dir/a b" /srv; cat file; readlink link
        md5sum holes; ls /usr/share/udhcpc /etc | cat; test -e /etc/profile && echo profile; hostname; true
        """

    @Test(arguments: kinds) func comesBackAsItWas(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", disk, "--memory", "100M", "--label", "a=b", "--ulimit", "nofile=100:200")
            let b = f.name("b")
            try f.ctr("exec", n, "--", "sh", "-c", ArchiveTests.fill).succeeds()
            let before = try f.ctr("exec", n, "--", "sh", "-c", ArchiveTests.look).succeeds().out
            try f.ctr("export", n, "\(f.path)/a.tar.zst").succeeds()
            #expect(try f.ctr("export", n, "\(f.path)/a.tar.zst").status == 73)
            #expect(try f.ctr("export", n, "\(f.path)/a.zip").status == 64)
            // It runs on.
            #expect(try f.state(n) == "running")
            let made = try JSON(text: f.ctr("--json", "import", "\(f.path)/a.tar.zst", "--name", b).succeeds().out)
            #expect(made["template"]?.string == "minimal" && made["templateIsNew"]?.bool == false)
            try f.ctr("start", b).succeeds()
            let after = try f.ctr("exec", b, "--", "sh", "-c", ArchiveTests.look).succeeds().out
            #expect(after == before.replacing(n, with: b), "\(after)")
            #expect(after.contains("4750") && !after.contains("profile\n") && !after.contains("default.script"))
            let shown = try f.ctr("show", b, "--json").succeeds().out
            #expect(shown.contains("104857600") && shown.contains("nofile"))
            #expect(try f.ctr("import", "\(f.path)/a.tar.zst").status == 73)
            try f.ctr("destroy", "--force", n).succeeds()
            try f.ctr("import", "\(f.path)/a.tar.zst").succeeds()
            #expect(try f.state(n) == "stopped")
        }
    }

    /// Makes ctr another host's; what it keeps for the next VPS goes at the end.
    private static func other(_ f: Fixture) -> String {
        let settings = "export CTR_ROOT=$PWD/other CTR_STATE=$PWD/otherstate; "
        f.atEnd { _ = try? f.sh(settings + "$CTR host recover") }
        return settings
    }

    /// Another host: it has no template, or another one of that name.
    @Test(arguments: [true, false]) func bringsItsTemplateAlong(hasAnother: Bool) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.ctr("exec", n, "--", "sh", "-c", "echo x > /root/x").succeeds()
            let other = ArchiveTests.other(f)
            if hasAnother {
                try f.sh(
                    other + "$CTR template import root/templates/minimal/rootfs/bin --name minimal"
                ).succeeds()
            }
            // Through a pipe, packed on the way.
            let made = try f.sh("set -o pipefail; $CTR export $N-a - | (\(other) $CTR --json import -)").succeeds()
            let template = try #require(try JSON(text: made.out)["template"]?.string)
            #expect(hasAnother ? template.hasPrefix("minimal-") && template.count == 16 : template == "minimal")
            let run = try f.sh(
                other + "$CTR start $N-a && $CTR exec $N-a cat /root/x && $CTR template show \(template) && "
                    + "$CTR export $N-a o.tar && $CTR import o.tar --name $N-b && $CTR template list && "
                    + "$CTR destroy --force $N-a $N-b"
            ).succeeds()
            #expect(run.lines.contains("x"))
            let templates = run.lines.filter { $0.hasPrefix("minimal") }
            #expect(templates.count <= 2, "\(run.out)")
        }
    }

    @Test(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? "")))
    func ofASnapshotAndOfOneThatWrites() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "512M")
            try f.ctr("exec", n, "--", "sh", "-c", "echo old > /root/x; sync").succeeds()
            try f.ctr("snapshot", "create", n, "s").succeeds()
            try f.ctr("exec", n, "--", "sh", "-c", "echo new > /root/x").succeeds()
            try f.ctr("export", "\(n)@s", "\(f.path)/s.tar").succeeds()
            try f.ctr("import", "\(f.path)/s.tar", "--name", f.name("s")).succeeds()
            #expect(try f.ctr("exec", "--offline", f.name("s"), "cat", "/root/x").succeeds().out == "old\n")
            #expect(try f.ctr("export", "\(n)@none", "\(f.path)/t.tar").status == 66)
            #expect(!f.exists("t.tar"))

            let writer = try f.start(
                "exec", n, "--", "sh", "-c",
                "i=0; while :; do i=$((i+1)); echo $i >> /root/log; [ $((i%50)) = 0 ] && sync /root/log; done")
            defer { try? writer.signal(SIGKILL) }
            #expect(until(10) { (try? f.ctr("exec", n, "test", "-s", "/root/log").status) == 0 })
            try f.ctr("export", n, "\(f.path)/w.tar").succeeds()
            try f.ctr("kill", n).succeeds()
            try f.ctr("import", "\(f.path)/w.tar", "--name", f.name("w")).succeeds()
            let log = try f.ctr("exec", "--offline", f.name("w"), "--", "cat", "/root/log").succeeds().out
            let numbers = log.split(separator: "\n").compactMap { Int($0) }
            #expect(!numbers.isEmpty && numbers == Array(1...max(1, numbers.count)))
            #expect(try f.ctr("snapshot", "list", n).succeeds().lines.count == 2)
        }
    }

    /// A tree with a branch, of which each part is as it was, and takes no more space than it did.
    @Test(arguments: kinds) func snapshotsComeAlong(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let (n, b) = (try f.server("--disk", disk), f.name("b"))
            let write = { (text: String) in _ = try f.ctr("exec", n, "--", "sh", "-c", text).succeeds() }
            try write("echo one > /root/x; dd if=/dev/urandom of=/root/big bs=1M count=20; rm /etc/profile")
            try f.ctr("snapshot", "create", n, "s1", "--description", "the first").succeeds()
            try write("echo two > /root/x; echo new > /etc/profile")
            try f.ctr("set", n, "--label", "a=b").succeeds()
            try f.ctr("snapshot", "create", n).succeeds()
            try f.ctr("snapshot", "revert", n, "s1", "--start").succeeds()
            try write("echo three > /root/x")
            try f.ctr("snapshot", "create", n, "s3").succeeds()
            try write("echo four > /root/x")
            let list = try f.ctr("--json", "snapshot", "list", n).succeeds().out
            try f.ctr("export", "\(n)@s1", "\(f.path)/a.tar", "--snapshots").fails(64, words: "--snapshots")
            try f.sh("$CTR export --snapshots $N-a - > a.tar.zst && $CTR --json import a.tar.zst --name $N-b")
                .succeeds()
            let there = try f.ctr("--json", "snapshot", "list", b).succeeds().out
            let plain = { (text: String) in
                text.split(separator: "\n").filter { !$0.contains("exclusive") }.joined(separator: "\n").replacing(
                    n, with: b)
            }
            #expect(plain(there) == plain(list))
            if disk != "none" {
                for item in try JSON(text: there)["snapshots"]?.array ?? [] {
                    #expect(item["exclusive"]?.int ?? .max < 4 << 20, "\(there)")
                }
            }
            #expect(try f.ctr("exec", "--offline", b, "--", "cat", "/root/x").succeeds().out == "four\n")
            let automatic = try #require(
                f.ctr("-q", "snapshot", "list", b).succeeds().lines.first { $0.hasPrefix("auto-") })
            for (snapshot, text, profile) in [("s3", "three", 1), (automatic, "two", 0), ("s1", "one", 1)] {
                try f.ctr("snapshot", "revert", b, snapshot, "--config").succeeds()
                let look = try f.ctr(
                    "exec", "--offline", b, "--", "sh", "-c",
                    "cat /root/x; md5sum < /root/big; test -e /etc/profile; echo $?")
                let sum = try f.ctr("exec", n, "--", "sh", "-c", "md5sum < /root/big").succeeds().lines[0]
                #expect(look.lines == [text, sum, "\(profile)"])
                #expect(try f.ctr("show", b).succeeds().out.contains("a=b") == (snapshot != "s1"))
            }
            // A later one is the next to go.
            try f.ctr("snapshot", "create", b, "--prune", "keep=1").succeeds()
            #expect(try !f.ctr("-q", "snapshot", "list", b).succeeds().lines.contains(automatic))
        }
    }

    /// By a hand that wishes us ill, with a good sum.
    @Test(arguments: [
        ("\"name\" : \"s1\"", "\"name\" : \"..\"", "snapshot"), ("\"name\" : \"s1\"", "\"name\" : \"s2\"", "snapshots"),
        ("\"format\" : 2", "\"format\" : 1", "format"), ("\"created\" : \"20", "\"created\" : \"xx", "snapshot"),
    ]) func hostileSnapshotsImportNothing(old: String, new: String, word: String) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--disk", "none").succeeds()
            for name in ["s1", "s2"] { try f.ctr("snapshot", "create", n, name).succeeds() }
            try f.sh(
                """
                set -e; export LC_ALL=C; $CTR export --snapshots $N-a a.tar; cp a.tar rest.tar
                tar -b1 -f rest.tar --delete ctr.sum; grep -q '\(old)' rest.tar
                sed 's/\(old)/\(new)/' rest.tar | head -c -1024 > c.tar
                [ $(($(stat -c %s c.tar) % 512)) = 0 ]
                sha256sum c.tar | cut -d' ' -f1 > ctr.sum; tar --format=ustar -b1 -cf s.tar ctr.sum; cat c.tar s.tar > bad
                """
            ).succeeds()
            let refused = try f.ctr("import", "\(f.path)/bad", "--name", f.name("b"))
            #expect(refused.status == 65 && refused.err.contains(word), "\(refused.both)")
            #expect(try f.ctr("-q", "list").succeeds().lines == [n])
        }
    }

    /// What is done to an archive, and what the message says.
    private static let damages = [
        ("head -c 30000 a.tar > bad", "truncated"),
        ("head -c -20000 a.tar > bad", "truncated"),
        ("zstd -q a.tar -o a.zst && head -c 20000 a.zst > bad", "zstd"),
        ("cp a.tar bad && printf X | dd of=bad bs=1 seek=$(($(stat -c %s bad)/2)) conv=notrunc 2>/dev/null", "damaged"),
        ("cp a.tar bad && printf X | dd of=bad bs=1 seek=700 conv=notrunc 2>/dev/null", ""),
        ("mkdir d && echo x > d/x && tar cf bad d", "ctr.json"), (": > bad", "truncated"),
        ("(cat a.tar; echo x) > bad", "behind"),
    ]

    @Test(arguments: damages) func aDamagedOneImportsNothing(damage: String, word: String) throws {
        try Fixture.withServers { (f) throws in
            _ = try f.server()
            try f.ctr("export", f.name("a"), "\(f.path)/a.tar").succeeds()
            try f.sh(damage).succeeds()
            // A host without the template, so that it is unpacked too.
            let other = ArchiveTests.other(f)
            let refused = try f.sh(other + "$CTR import bad --name $N-b")
            #expect(refused.status == 65 && refused.err.contains(word), "\(refused.both)")
            #expect(try f.sh("find other/vps other/templates -mindepth 1 ! -name .lock 2>/dev/null").out == "")
        }
    }

    /// Archives of good sums by a hand that wishes us ill: `DIR` is an archive's content, changed.
    private static let attacks: [(String, String, Int32)] = [
        ("sed -i 's/\"name\" : \"'$N'-a\"/\"name\" : \"..\\/..\\/x\"/' ctr.json", "name", 65),
        ("sed -i 's/\"hostname\" : \"[^\"]*\"/\"hostname\" : \"a b;c\"/' ctr.json", "hostname", 65),
        ("sed -i 's/\"format\" : 1/\"format\" : 9/' ctr.json", "format 9", 65),
        ("mkdir -p more/disk; ln -s /etc more/disk/zz; mkdir late; echo x > late/evil", "symbolic link", 65),
        ("mkdir -p more/disk; mknod more/disk/sda b 8 0", "device node", 65),
        ("mkdir -p more/template; echo x > more/template/x", "sum", 65),
        ("sed -i 's/\"listing\" : \"..../\"listing\" : \"0000/' ctr.json", "template's files", 65),
        ("mkdir -p more/etc; echo x > more/etc/x", "sum", 65),
    ]

    @Test(arguments: attacks) func aHostileOneImportsNothing(change: String, word: String, status: Int32) throws {
        try Fixture.withServers { (f) throws in
            _ = try f.server()
            try f.ctr("exec", f.name("a"), "--", "sh", "-c", "echo x > /root/x; echo x > /root/y").succeeds()
            try f.ctr("export", f.name("a"), "\(f.path)/a.tar").succeeds()
            try f.sh(
                """
                set -e; export LC_ALL=C; mkdir in; tar xpf a.tar -C in ctr.json; cp a.tar rest.tar
                tar -b1 -f rest.tar --delete ctr.json ctr.sum; cd in; \(change)
                for i in more late; do [ ! -e $i ] || (cd $i; tar --format=pax -b1 -P -c \
                  $([ $i = late ] && echo "--transform s,^,disk/zz/,") $(find . -type f -o -type l -o -type b | cut -c3-)) \
                  > ../$i.tar; done
                tar --format=pax -b1 -cf ../json.tar ctr.json; cd ..
                for i in json rest more late; do [ ! -e $i.tar ] || head -c -1024 $i.tar; done > c.tar
                sha256sum c.tar | cut -d' ' -f1 > ctr.sum
                tar --format=ustar -b1 -cf s.tar ctr.sum; cat c.tar s.tar > bad
                """
            ).succeeds()
            let other = ArchiveTests.other(f)
            let refused = try f.sh(other + "$CTR import bad")
            #expect(refused.status == status && refused.err.contains(word), "\(refused.both)")
            #expect(try f.sh("find other/vps other/templates -mindepth 1 ! -name .lock 2>/dev/null").out == "")
        }
    }

    /// One on a directory stands still for its export, and no longer, however that ends.
    @Test(arguments: [SIGINT, SIGTERM, SIGKILL]) func anExportThatIsEndedLeavesItRunning(signal: Int32) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", "none")
            try f.ctr("exec", n, "--", "dd", "if=/dev/urandom", "of=/root/data", "bs=1024k", "count=64").succeeds()
            // Its reader takes nothing.
            try f.sh("mkfifo p").succeeds()
            let reader = try f.startScript("exec sleep 1000 < p")
            defer { try? reader.signal(SIGKILL) }
            let export = try f.startScript("exec $CTR export \(n) - > p")
            #expect(try until(20) { try f.state(n) == "paused" })
            #expect(try f.text("state/\(n)/state.json").contains("\"copy\""))
            try export.signal(signal)
            _ = try export.wait(20)
            // What ends with a word to the freezer goes on at once; else the next verb sees to it.
            if signal == SIGKILL { try f.ctr("host", "recover").succeeds() }
            try f.ctr("exec", n, "--", "true").succeeds()
            #expect(try f.state(n) == "running")
        }
    }

    /// Headers of an entry have a bound together, not each; zeros take no space.
    @Test func bombsAreSmall() throws {
        try Fixture.withServers { (f) throws in
            _ = try f.server("--disk", "none")
            try f.ctr("export", f.name("a"), "\(f.path)/a.tar").succeeds()
            try f.write(
                "bomb.py",
                """
                import hashlib, io, tarfile
                old = tarfile.open('a.tar')
                members = [(m, old.extractfile(m).read() if m.isreg() else None) for m in old if m.name != 'ctr.sum']
                def archive(path, add):
                    out = io.BytesIO()
                    new = tarfile.open(fileobj=out, mode='w', format=tarfile.PAX_FORMAT)
                    for m, data in members: new.addfile(m, io.BytesIO(data) if data is not None else None)
                    add(new, out)
                    text = hashlib.sha256(out.getvalue()).hexdigest() + '\\n'
                    m = tarfile.TarInfo('ctr.sum'); m.size = 65
                    new.addfile(m, io.BytesIO(text.encode())); new.close()
                    open(path, 'wb').write(out.getvalue())
                def zeros(new, out):
                    m = tarfile.TarInfo('disk/zeros'); m.size = 64 << 20
                    new.addfile(m, io.BytesIO(bytes(m.size)))
                def headers(new, out):
                    for i in range(4):
                        m = tarfile.TarInfo('x'); m.type = b'x'; m.size = 4 << 20
                        record = b'%d comment=' % m.size
                        new.addfile(m, io.BytesIO(record + b'0' * (m.size - len(record) - 1) + b'\\n'))
                    zeros(new, out)
                archive('zeros.tar', zeros); archive('headers.tar', headers)
                """)
            try f.sh("python3 bomb.py").succeeds()
            let refused = try f.ctr("import", "\(f.path)/headers.tar", "--name", f.name("b"))
            #expect(refused.status == 65 && refused.err.contains("extended headers"), "\(refused.both)")
            try f.ctr("import", "\(f.path)/zeros.tar", "--name", f.name("b")).succeeds()
            let size = try f.sh("stat -c '%s %b' root/vps/\(f.name("b"))/disk/upper/zeros").succeeds().line.split(
                separator: " ")
            #expect(size.first == "67108864" && Int(size.last ?? "") ?? .max < 100, "\(size)")
        }
    }

    @Test func aKilledImportIsNoHindrance() throws {
        try Fixture.withServers { (f) throws in
            _ = try f.server("--disk", "none")
            try f.ctr("exec", f.name("a"), "--", "dd", "if=/dev/urandom", "of=/root/data", "bs=1024k", "count=8")
                .succeeds()
            try f.ctr("export", f.name("a"), "\(f.path)/a.tar.zst").succeeds()
            let b = f.name("b")
            try f.sh("mkfifo p").succeeds()
            let writer = try f.startScript("exec 3> p; head -c 4000000 a.tar.zst >&3; exec sleep 1000")
            defer { try? writer.signal(SIGKILL) }
            let half = try f.startScript("exec $CTR import - --name \(b) < p")
            #expect(until(20) { f.exists("state/\(b)/state.json") })
            try half.signal(SIGKILL)
            _ = try half.wait(20)
            try f.ctr("import", "\(f.path)/a.tar.zst", "--name", b).succeeds()
            #expect(try f.state(b) == "stopped")
        }
    }

    @Test func whatOpensTheHostIsLeftOut() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name("a")
            try f.ctr(
                "create", n, "--template", "minimal", "--mount", "\(f.path):/host", "--cap-add", "SYS_TIME", "--nesting"
            ).succeeds()
            try f.ctr("export", n, "\(f.path)/a.tar").succeeds()
            let made = try f.ctr("import", "\(f.path)/a.tar", "--name", f.name("b")).succeeds()
            #expect(made.err.contains("--mount \(f.path):/host") && made.err.contains("--nesting"), "\(made.err)")
            let config = try f.text("root/vps/\(f.name("b"))/config.json")
            #expect(!config.contains("/host") && !config.contains("SYS_TIME"))
            try f.ctr("import", "\(f.path)/a.tar", "--name", f.name("c"), "--trust").succeeds()
            #expect(try f.text("root/vps/\(f.name("c"))/config.json").contains("SYS_TIME"))
        }
    }
}
