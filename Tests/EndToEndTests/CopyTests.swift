import Glibc
import Kernel
import Testing

/// `ctr cp`, into and out of VPSs that run and that are stopped.
@Suite struct CopyTests {
    enum State: CaseIterable { case running, stopped, hostIDs }

    /// Content and metadata of a tree, a line for each file; without the owner.
    static let describe = #"""
        describe() (
            cd "$1" && find . -printf '%P|%y|%m|%T@|%l|%n|' \( -type f -printf '%s' -o -printf '-' \) -printf '\n' | LC_ALL=C sort
            find . -type f ! -size +64M -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
            getfattr -R -d . 2>/dev/null
        )

        """#

    /// A tree `src` with one of everything.
    static let makeSource = #"""
        mkdir -p src/sub/deep 'src/a b' src/empty && cd src
        echo hello > file; chmod 640 file; ln file hard; ln -s file link; ln -s /etc/shadow outward; ln -s nowhere dangling
        printf begin > sparse; truncate -s 300M sparse; printf end >> sparse
        head -c 3000000 /dev/urandom > big; echo x > $'new\nline'; echo y > "a b/ü"
        echo deep > sub/deep/file; chmod 500 sub/deep
        setfattr -n user.note -v value file; setfattr -n user.dir -v value sub
        touch -d '2001-02-03 04:05:06.123456789Z' file sub/deep 'a b'; touch -h -d '1980-01-01Z' link; touch -d '1960-01-01Z' big
        cd ..
        """#

    /// Starts a kept VPS `a` that sleeps, and stops it again where the test wants it so.
    private func vps(_ f: Fixture, _ state: State = .running, _ script: String = "exec sleep 1000") throws {
        try f.write("script", script)
        let options = state == .hostIDs ? "--userns host" : ""
        try f.sh("$CTR run -d --keep \(options) --name $N-a minimal sh -c \"$(cat script)\"").succeeds()
        if state == .stopped { try f.ctr("stop", f.name()).succeeds() }
    }

    private func destroy(_ f: Fixture) throws { try f.ctr("destroy", "--force", f.name()).succeeds() }

    // MARK: there and back

    @Test(arguments: State.allCases) func roundTrip(_ state: State) throws {
        try Fixture.with { (f) throws in
            try vps(f, state)
            try f.sh(CopyTests.makeSource).succeeds()
            let into = try f.ctr("cp", "\(f.path)/src", "\(f.name()):/srv/tree").succeeds()
            #expect(into.both == "")
            let out = try f.ctr("cp", "\(f.name()):srv/tree", "\(f.path)/back").succeeds()
            #expect(out.both == "")
            try f.sh(
                CopyTests.describe + """
                    diff <(describe src) <(describe back) || exit 1
                    [ "$(du -k back/sparse | cut -f1)" -lt 1000 ] || { du -k back/sparse; exit 2; }
                    [ -z "$(find back ! -user 0 -o ! -group 0)" ] || exit 3
                    [ $(wc -c < back/sparse) = $(wc -c < src/sparse) ] && cmp back/sparse src/sparse
                    """
            ).succeeds()
            try destroy(f)
        }
    }

    @Test(arguments: State.allCases) func archiveThereAndBack(_ state: State) throws {
        try Fixture.with { (f) throws in
            try vps(f, state)
            try f.sh(
                CopyTests.describe + CopyTests.makeSource + """

                    set -e -o pipefail
                    tar c -C src --xattrs --xattrs-include='user.*' -S --format=posix . > in.tar
                    $CTR cp - $N-a:/srv < in.tar
                    $CTR cp $N-a:/srv/. - > out.tar
                    mkdir back && tar x -C back --xattrs --xattrs-include='user.*' -f out.tar
                    touch -r src back
                    diff <(describe src) <(describe back)
                    [ "$($CTR cp $N-a:/srv/sub - | tar t | head -n 1)" = sub/ ]
                    """
            ).succeeds()
            try destroy(f)
        }
    }

    /// What the guest sees is what was copied, also while it runs, with its root as the owner.
    @Test func guestSeesItAsItsOwn() throws {
        try Fixture.with { (f) throws in
            try vps(f)
            try f.sh("mkdir -p d && echo hello > d/f && chown -R 1234:1235 d && chmod 2750 d && chmod 6755 d/f")
                .succeeds()
            try f.ctr("cp", "\(f.path)/d", "\(f.name()):/srv/").succeeds()
            let seen = try f.ctr("exec", f.name(), "stat", "-c", "%u:%g %a", "/srv/d", "/srv/d/f").succeeds()
            // The bits meant the rights of 1234, not those of root.
            #expect(seen.lines == ["0:0 750", "0:0 755"])
            try f.ctr("cp", "-a", "\(f.path)/d", "\(f.name()):/srv/kept").succeeds()
            let kept = try f.ctr("exec", f.name(), "stat", "-c", "%u:%g %a", "/srv/kept", "/srv/kept/f").succeeds()
            #expect(kept.lines == ["1234:1235 2750", "1234:1235 6755"])
            // On the disk as the guest has them, not as the host numbers its ids.
            try f.ctr("stop", f.name()).succeeds()
            #expect(try f.sh("stat -c %u:%g root/vps/$N-a/disk/upper/srv/kept/f").line == "1234:1235")
            try destroy(f)
        }
    }

    @Test(arguments: [State.running, .stopped]) func outOfIt(_ state: State) throws {
        try Fixture.with { (f) throws in
            try f.sh("mkdir d; echo program > d/f; chown 1000:1001 d/f; chmod 4755 d/f; chmod 2755 d").succeeds()
            try vps(f, state)
            try f.ctr("cp", "-a", "\(f.path)/d", "\(f.name()):/srv").succeeds()
            try f.ctr("cp", "\(f.name()):/srv/d", "\(f.path)/plain").succeeds()
            #expect(try f.sh("stat -c '%u:%g %a' plain plain/f").lines == ["0:0 755", "0:0 755"])
            try f.ctr("cp", "--archive", "\(f.name()):/srv/d", "\(f.path)/same").succeeds()
            #expect(try f.sh("stat -c '%u:%g %a' same same/f").lines == ["0:0 2755", "1000:1001 4755"])
            try destroy(f)
        }
    }

    @Test func ownersBeyondTheRange() throws {
        try Fixture.with { (f) throws in
            try vps(f)
            try f.sh("echo x > far; chown 3000000:0 far").succeeds()
            try f.ctr("cp", "-a", "\(f.path)/far", "\(f.name()):/srv/far").fails(1, words: "3000000", "beyond")
            try f.ctr("exec", f.name(), "test", "-e", "/srv/far").fails1()
            try f.ctr("cp", "\(f.path)/far", "\(f.name()):/srv/far").succeeds()
            // A file of a mount that the guest has, of nobody it knows.
            try f.ctr("stop", f.name()).succeeds()
            try f.sh("chown 3000000:0 root/vps/$N-a/disk/upper/srv/far").succeeds()
            try f.ctr("cp", "-a", "\(f.name()):/srv/far", "\(f.path)/out").fails(1, words: "none of the VPS's ids")
            #expect(!f.exists("out"))
            try destroy(f)
        }
    }

    // MARK: what the names mean

    @Test func meaningOfNames() throws {
        try Fixture.with { (f) throws in
            try vps(f, .stopped)
            try f.sh("mkdir -p d/e; echo 1 > d/f; echo 2 > d/e/g; echo other > h").succeeds()
            let a = f.name()
            func cp(_ from: String, _ to: String) throws -> Outcome {
                let (from, to) = (
                    from.hasPrefix("@") ? a + from.dropFirst() : from, to.hasPrefix("@") ? a + to.dropFirst() : to
                )
                return try f.sh("$CTR cp '\(from)' '\(to)'")
            }
            func files() throws -> [String] {
                try f.sh("$CTR cp $N-a:/srv/. - | tar t | sort").lines.filter { $0 != "./" }
            }
            // A name that is not there, one that is, and directories.
            try cp("d/f", "@:/srv/new").succeeds()
            try cp("h", "@:/srv/new").succeeds()
            try cp("d", "@:/srv/dir").succeeds()
            try cp("d", "@:/srv/dir").succeeds()
            try cp("d/.", "@:/srv/dot").succeeds()
            try cp("d/.", "@:/srv/dot/").succeeds()
            try cp("h", "@:/srv/dot").succeeds()
            #expect(
                try files() == [
                    "dir/", "dir/d/", "dir/d/e/", "dir/d/e/g", "dir/d/f", "dir/e/", "dir/e/g", "dir/f", "dot/",
                    "dot/e/", "dot/e/g", "dot/f", "dot/h", "new",
                ])
            try cp("@:/srv/new", "out").succeeds()
            #expect(try f.text("out") == "other\n")
            try cp("@:/srv/dot/.", ".").succeeds()
            #expect(f.exists("e/g"))
            // Mistakes change nothing.
            let before = try files()
            try cp("d/f", "@:/srv/none/").fails(73, words: "/srv/none/")
            try cp("d/f", "@:/srv/none/f").fails(73, words: "/srv/none/")
            try cp("d", "@:/srv/new").fails(73, words: "directory")
            try cp("d/f/.", "@:/srv/x").fails(66)
            try cp("none", "@:/srv/x").fails(66, words: "none")
            try cp("@:/srv/none", "x").fails(66, words: "\(a):/srv/none")
            try cp("h", "@:/srv/dir/d/e/g/f").fails(73)
            try cp("d", "h").fails(64)
            try cp("@:/x", "@:/y").fails(64)
            try cp("-", "-").fails(64)
            try cp("no-such-vps:/x", "x").fails(66, words: "no-such-vps")
            try cp("UPPER:/x", "x").fails(64, words: "./UPPER:/x")
            #expect(try files() == before)
            #expect(!f.exists("x"))
            try destroy(f)
        }
    }

    /// A directory in the place of a file, and a file in that of a directory, stay what they are.
    @Test func kindsThatClash() throws {
        try Fixture.with { (f) throws in
            try vps(f, .stopped)
            try f.sh(
                "mkdir -p one/x two; echo 1 > one/x/f; echo 2 > two/x; mkdir three; mkfifo three/x; mkdir four; echo 4 > four/x"
            ).succeeds()
            let a = f.name()
            try f.ctr("cp", "\(f.path)/one/.", "\(a):/srv").succeeds()
            try f.ctr("cp", "\(f.path)/two/.", "\(a):/srv").fails(73, words: "x", "directory")
            #expect(try f.sh("$CTR cp $N-a:/srv/x/f - | tar xO").out == "1\n")
            try f.ctr("cp", "\(f.path)/two/.", "\(a):/opt").succeeds()
            try f.ctr("cp", "\(f.path)/one/.", "\(a):/opt").fails(73, words: "x", "file")
            #expect(try f.sh("$CTR cp $N-a:/opt/x - | tar xO").out == "2\n")
            try f.ctr("cp", "\(f.path)/four/x", "\(f.path)/three/x").fails(64)
            try f.ctr("cp", "\(a):/opt/x", "\(f.path)/three/x").fails(73, words: "FIFO")
            #expect(try f.sh("stat -c %F three/x").line == "fifo")
            try destroy(f)
        }
    }

    @Test func linksOfTheHost() throws {
        try Fixture.with { (f) throws in
            try vps(f, .stopped)
            try f.sh("mkdir d; echo 1 > d/f; ln -s d link; ln -s f d/inner; ln -s . d/loop; ln -s nowhere d/dangling")
                .succeeds()
            try f.ctr("cp", "\(f.path)/link", "\(f.name()):/srv/link").succeeds()
            #expect(try f.sh("$CTR cp $N-a:/srv/link - | tar tv").out.contains("link -> d"))
            let followed = try f.ctr("cp", "-L", "\(f.path)/link", "\(f.name()):/srv/followed").succeeds()
            #expect(followed.err.contains("lead nowhere") && followed.err.contains("lead back"), "\(followed.err)")
            #expect(
                try f.sh("$CTR cp $N-a:/srv/followed - | tar tv | awk '{print substr($1,1,1), $6}' | sort").lines == [
                    "- followed/f", "- followed/inner", "d followed/",
                ])
            try destroy(f)
        }
    }

    // MARK: hostile guests

    @Test(arguments: [State.running, .stopped]) func linksOfTheGuestStayInside(_ state: State) throws {
        try Fixture.with { (f) throws in
            try f.write("secret", "the host's")
            try f.sh("mkdir outside src; echo mine > src/f").succeeds()
            try vps(f, state)
            try f.sh(
                """
                mkdir t; cd t; mkdir dir
                ln -s /etc/shadow shadow; ln -s '\(f.path)/secret' abs; ln -s ../../../../../../..'\(f.path)/secret' rel
                ln -s '\(f.path)/outside' out; ln -s ../../../../../../..'\(f.path)/outside' dir/out; ln -s /proc/1/root magic
                $CTR cp . $N-a:/srv/t
                """
            ).succeeds()
            let a = f.name()
            for link in ["shadow", "abs", "rel"] {
                try f.ctr("cp", "\(a):/srv/t/\(link)", "\(f.path)/got-\(link)").succeeds()
                #expect(try f.sh("stat -c %F got-\(link)").line == "symbolic link")
            }
            for path in ["abs/", "rel/.", "out/x", "dir/out/x", "out/", "magic/etc", "magic/"] {
                try f.ctr("cp", "\(a):/srv/t/\(path)", "\(f.path)/got").fails(66, 74, 1)
                try f.ctr("cp", "\(f.path)/src/f", "\(a):/srv/t/\(path)").fails(73, 74, 1)
            }
            // A link's target is made where the guest would make it, and nowhere else.
            try f.ctr("cp", "\(f.path)/src/f", "\(a):/srv/t/shadow").succeeds()
            #expect(try f.sh("$CTR cp $N-a:/etc/shadow - | tar xO").out == "mine\n")
            #expect(try f.text("/etc/shadow") != "mine\n")
            // A tree does not go through a link that it meets.
            try f.sh("mkdir -p tree/out tree/dir/out; echo x > tree/out/x; echo x > tree/dir/out/x").succeeds()
            try f.ctr("cp", "\(f.path)/tree/.", "\(a):/srv/t").fails(73, words: "symbolic link")
            try f.ctr("cp", "\(f.path)/tree/out/.", "\(a):/srv/t/out").fails(73)
            let archive = "tar c -C tree out/x | $CTR cp - $N-a:/srv/t"
            try f.sh(archive).fails(65, 73, words: "symbolic link")
            #expect(try f.sh("ls -A outside").out == "")
            #expect(try f.text("secret") == "the host's")
            try destroy(f)
        }
    }

    /// The guest renames for dear life while ctr walks, writes and reads.
    @Test func renamesUnderTheWalk() throws {
        try Fixture.with { (f) throws in
            try f.write("secret", "the host's secret")
            try f.sh("mkdir outside; mkdir -p src/d/d/d; for i in 1 2 3 4 5 6 7 8; do echo mine > src/d/d/d/$i; done")
                .succeeds()
            try vps(
                f, .running,
                """
                mkdir -p /srv/real/d/d /srv/swap; cd /srv; echo guest > real/d/d/secret; ln -s '\(f.path)' link
                mkfifo fifo; echo guest > file
                while :; do
                    ln -sfn '\(f.path)/outside' x; mv real/d real/e; mv link real/d; mv real/d link; mv real/e real/d
                    mv file f; mv fifo file; mv file fifo; mv f file
                done
                """)
            let a = f.name()
            try f.sh(
                """
                for i in $(seq 40); do
                    rm -rf out; timeout 20 $CTR cp $N-a:/srv/real out; [ $? != 124 ] || exit 1
                    timeout 20 $CTR cp $N-a:/srv/file out-file; [ $? != 124 ] || exit 1
                    if grep -rsq "host's" out out-file; then echo escaped; exit 1; fi
                    timeout 20 $CTR cp src/. $N-a:/srv/real; [ $? != 124 ] || exit 1
                    timeout 20 $CTR cp src/d $N-a:/srv/x; [ $? != 124 ] || exit 1
                done 2>errors
                ! grep -E 'Fatal|Stack dump' errors
                """, timeout: 120
            ).succeeds()
            #expect(try f.sh("ls -A outside").out == "")
            #expect(try f.text("secret") == "the host's secret")
            #expect(try f.sh("find . -newer secret -name '[1-8]' | grep -v -e ^./src -e ^./out -e ^./root").out == "")
            try f.ctr("destroy", "--force", a).succeeds()
        }
    }

    @Test func neitherHangsNorReadsDevices() throws {
        try Fixture.with { (f) throws in
            try vps(f)
            let a = f.name()
            try f.sh("mkfifo fifo; mkdir d; mkfifo d/fifo; echo x > d/f; mknod d/zero c 1 5").succeeds()
            try f.ctr("cp", "\(f.path)/fifo", "\(a):/srv/").fails(1, words: "FIFO")
            try f.ctr("cp", "/dev/zero", "\(a):/srv/").fails(1, words: "device")
            let left = try f.ctr("cp", "\(f.path)/d", "\(a):/srv/").succeeds()
            #expect(left.err.hasPrefix("ctr: ") && left.err.contains("left out: 2"), "\(left.err)")
            try f.ctr("exec", a, "sh", "-c", "cd /srv; mkfifo fifo d/fifo; [ ! -e d/zero ]").succeeds()
            try f.ctr("cp", "\(a):/srv/fifo", "\(f.path)/x").fails(1, words: "FIFO")
            try f.ctr("cp", "\(a):/dev/zero", "\(f.path)/x").fails(1, words: "device")
            let out = try f.ctr("cp", "\(a):/srv/d", "\(f.path)/out").succeeds()
            #expect(out.err.contains("left out: 1"), "\(out.err)")
            #expect(try f.sh("ls out").lines == ["f"])
            #expect(try f.sh("$CTR cp $N-a:/srv/d - | tar t").lines == ["d/", "d/f"])
            try f.ctr("cp", "\(a):/dev", "\(f.path)/dev", timeout: 60).succeeds()
            #expect(!f.exists("x") && !f.exists("dev/zero") && !f.exists("dev/pts/ptmx"))
            try destroy(f)
        }
    }

    @Test func kernelsFileSystems() throws {
        try Fixture.with { (f) throws in
            try vps(f)
            let a = f.name()
            try f.sh("mkdir d; echo x > d/f").succeeds()
            for path in ["/proc", "/proc/uptime", "/sys/kernel", "/dev/pts", "/sys/fs/cgroup"] {
                try f.ctr("cp", "\(a):\(path)", "\(f.path)/out").fails(1, words: path, "kernel")
                try f.ctr("cp", "\(f.path)/d", "\(a):\(path)").fails(1, 73, words: path)
            }
            // By a link, and by a mount of the guest's own.
            try f.ctr(
                "exec", a, "sh", "-c", "mkdir -p /srv/p /srv/t && ln -s /proc/sys /srv/l && mount -t proc p /srv/p"
            )
            .succeeds()
            try f.ctr("cp", "\(f.path)/d", "\(a):/srv/l").fails(1, words: "kernel")
            try f.ctr("cp", "\(f.path)/d", "\(a):/srv/p").fails(1, words: "kernel")
            try f.sh("mkdir -p s/p/d; echo x > s/p/d/f").succeeds()
            try f.ctr("cp", "\(f.path)/s/.", "\(a):/srv").fails(1, words: "kernel")
            let out = try f.ctr("cp", "\(a):/srv", "\(f.path)/out").succeeds()
            #expect(out.err.contains("/proc") && !f.exists("out/p"), "\(out.err)")
            let archive = try f.sh("tar c -C s p/d/f | $CTR cp - $N-a:/srv")
            archive.fails(1, words: "kernel")
            try destroy(f)
        }
    }

    /// The whole root, with its mounts but for the kernel's.
    @Test func wholeRoot() throws {
        try Fixture.with { (f) throws in
            try f.sh("mkdir volume; echo data > volume/f; chmod 755 . volume").succeeds()
            try f.sh("$CTR run -d --keep --name $N-a --mount $PWD/volume:/data minimal sleep 1000").succeeds()
            try f.ctr("exec", f.name(), "sh", "-c", "echo t > /tmp/t; echo r > /run/r").succeeds()
            try f.ctr("cp", "\(f.name()):/", "\(f.path)/all").succeeds()
            for file in ["data/f", "tmp/t", "run/r", "bin/busybox", "etc/passwd"] {
                #expect(f.exists("all/\(file)"), "\(file)")
            }
            #expect(!f.exists("all/proc") && !f.exists("all/sys"))
            // The bind mount's files belong to nobody that is mapped twice.
            try f.ctr("stop", f.name()).succeeds()
            let stopped = try f.ctr("cp", "\(f.name()):/data", "\(f.path)/below").succeeds()
            #expect(stopped.err.contains("/data") && stopped.err.contains("stopped"), "\(stopped.err)")
            #expect(!f.exists("below/f"))
            try destroy(f)
        }
    }

    // MARK: failures

    @Test func fullDiskInside() throws {
        try Fixture.with { (f) throws in
            try vps(f)
            try f.ctr("exec", f.name(), "mount", "-t", "tmpfs", "-o", "size=300k", "none", "/srv").succeeds()
            try f.sh("head -c 1M /dev/urandom > big; echo old > small; tar c big > big.tar; mkdir d; cp big small d")
                .succeeds()
            try f.ctr("cp", "\(f.path)/small", "\(f.name()):/srv/big").succeeds()
            try f.ctr("cp", "\(f.path)/big", "\(f.name()):/srv/big").fails(74, words: "no space")
            try f.sh("$CTR cp - $N-a:/srv < big.tar").fails(74, words: "no space")
            #expect(try f.ctr("exec", f.name(), "ls", "-A", "/srv").out == "big\n")
            #expect(try f.ctr("exec", f.name(), "cat", "/srv/big").out == "old\n")
            try f.ctr("cp", "\(f.path)/d", "\(f.name()):/srv/").fails(74, words: "no space", "big")
            #expect(try f.ctr("exec", f.name(), "ls", "-A", "/srv/d").out == "")
            try destroy(f)
        }
    }

    @Test(arguments: [SIGKILL, SIGTERM, SIGINT]) func interrupted(_ signal: Int32) throws {
        try Fixture.with { (f) throws in
            try vps(f, .stopped)
            try f.sh("echo old > f; $CTR cp f $N-a:/srv/; head -c 1M /dev/urandom > f; tar c f > f.tar").succeeds()
            let copying = try f.startScript("{ head -c 500000 f.tar; exec sleep 1000; } | exec $CTR cp - $N-a:/srv")
            var pid: Int32?
            let writes = until(20) {
                pid = f.processes(named: "cp -").first { f.commandLine($0).contains("ctr cp") }
                guard let pid else { return false }
                return (try? f.sh("ls -l /proc/\(pid)/fd | grep -c deleted").line) == "1"
            }
            try #require(writes, "no file in the making: \(copying.err)")
            // Nobody else can have it meanwhile.
            let second = try f.start("cp", "\(f.path)/f", "\(f.name()):/srv/g")
            CurrentProcess.sleep(milliseconds: 300)
            #expect(!second.hasEnded)
            kill(try #require(pid), signal)
            for writer in f.processes(named: "sleep 1000") { kill(writer, SIGKILL) }
            try f.sh("while [ -d /proc/\(pid!) ]; do sleep 0.01; done").succeeds()
            try second.wait().succeeds()
            #expect(try f.sh("$CTR cp $N-a:/srv/f - | tar xO").out == "old\n")
            #expect(try f.sh("$CTR cp $N-a:/srv - | tar t").lines == ["srv/", "srv/f", "srv/g"])
            try destroy(f)
        }
    }

    @Test func archivesThatAreNone() throws {
        try Fixture.with { (f) throws in
            try vps(f, .stopped)
            try f.sh("mkdir d; echo x > d/f; tar cz d > d.tgz; tar c d > d.tar; head -c 700 d.tar > cut.tar").succeeds()
            try f.sh("$CTR cp - $N-a:/srv < d.tgz").fails(65, words: "zcat")
            try f.sh("$CTR cp - $N-a:/srv < /etc/passwd").fails(65)
            try f.sh("$CTR cp - $N-a:/srv < cut.tar").fails(65, words: "truncated")
            try f.sh("$CTR cp - $N-a:/srv/none < d.tar").fails(73)
            try f.sh("tar cP /etc/hostname | $CTR cp - $N-a:/srv").fails(65, words: "absolute")
            #expect(try f.sh("$CTR cp $N-a:/srv - | tar t | grep -v '^srv/d/$'").lines == ["srv/"])
            try destroy(f)
        }
    }

    @Test func ephemeralAndGone() throws {
        try Fixture.with { (f) throws in
            try f.sh("$CTR run -d --name $N-a minimal sleep 1000; echo x > f").succeeds()
            try f.ctr("cp", "\(f.path)/f", "\(f.name()):/root/f").succeeds()
            #expect(try f.ctr("exec", f.name(), "cat", "/root/f").out == "x\n")
            try f.ctr("destroy", "--force", f.name()).succeeds()
            try f.ctr("cp", "\(f.name()):/root/f", "\(f.path)/g").fails(66)
            #expect(!f.exists("g"))
        }
    }

    /// A kept VPS that lost its supervisor runs on: its files are reached through it, not mounted a second time.
    @Test func supervisorKilled() throws {
        try Fixture.with { (f) throws in
            try vps(f)
            kill(try f.supervisorPid(f.name()), SIGKILL)
            try f.ctr("exec", f.name(), "sh", "-c", "echo t > /tmp/t").succeeds()
            #expect(try f.sh("$CTR cp $N-a:/tmp/t - | tar xO").out == "t\n")
            try destroy(f)
        }
    }
}

extension Outcome {
    /// Expects a command's own status 1.
    fileprivate func fails1(at location: SourceLocation = #_sourceLocation) {
        #expect(status == 1, "status \(status ?? -1), \(both)", sourceLocation: location)
    }
}
