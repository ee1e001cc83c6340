import Kernel
import Testing

/// `--mount` and `--device`.
@Suite struct MountTests {
    private func prepare(_ f: Fixture) throws {
        try f.sh(
            "mkdir -p src/deep; echo text > src/file; echo below > src/deep/file; echo user > src/owned; chown 1000:1000 src/owned"
        ).succeeds()
    }

    @Test func directory() throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            let run = try f.sh(
                "$CTR run --mount $PWD/src:/srv/new/place minimal sh -c 'cd /srv/new/place; cat file deep/file; echo inside > made; rm file'"
            ).succeeds()
            #expect(run.lines == ["text", "below"])
            #expect(try f.sh("cat src/made; ls src/file").lines == ["inside"])
        }
    }

    @Test func file() throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            let run = try f.sh(
                "$CTR run --mount $PWD/src/file:/etc/passwd --mount $PWD/src/file:/opt/a/b minimal sh -c 'cat /etc/passwd /opt/a/b; echo more >> /opt/a/b'"
            ).succeeds()
            #expect(run.lines == ["text", "text"])
            #expect(try f.text("src/file") == "text\nmore\n")
        }
    }

    @Test func readOnly() throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            let run = try f.sh(
                """
                $CTR run --mount $PWD/src:/m:ro minimal sh -c '
                  cat /m/file; for n in /m/file /m/new /m/deep/file; do { true > $n; } 2>/dev/null && echo WROTE $n; done
                  mount -o remount,rw /m 2>/dev/null && echo REMOUNTED; mount -o remount,rw,bind /m 2>/dev/null && echo REMOUNTED
                  umount /m 2>/dev/null && echo UNMOUNTED; touch /m/file 2>/dev/null && echo TOUCHED; chmod 600 /m/file 2>/dev/null && echo CHANGED; true'
                """)
            #expect(run.lines == ["text"], "\(run.both)")
        }
    }

    /// A mount below the source comes along, and read only means it too (mount_setattr with AT_RECURSIVE).
    @Test func readOnlyGoesAllTheWayDown() throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            let run = try f.sh(
                """
                unshare -m bash -c '
                  mkdir other; mount --bind other src/deep; echo below > src/deep/file
                  $CTR run --mount $PWD/src:/m:ro minimal sh -c "cat /m/deep/file; { true > /m/deep/file; } 2>/dev/null && echo WROTE; mount -o remount,rw,bind /m/deep 2>/dev/null && echo REMOUNTED; true"
                  $CTR run --mount $PWD/src:/m minimal sh -c "echo changed > /m/deep/file"
                  cat src/deep/file'
                """)
            #expect(run.lines == ["below", "changed"], "\(run.both)")
        }
    }

    @Test(arguments: ["auto", "host"])
    func idsAreMapped(_ userns: String) throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            let run = try f.sh(
                "$CTR run --userns \(userns) --mount $PWD/src:/m minimal sh -c 'stat -c %u:%g /m /m/file /m/owned; touch /m/new; touch /m/theirs && chown 33:44 /m/theirs'"
            ).succeeds()
            #expect(run.lines == ["0:0", "0:0", "1000:1000"], "\(run.both)")
            // On the host what the VPS's root makes is root's, and so on.
            #expect(try f.sh("stat -c %u:%g src/new src/theirs").lines == ["0:0", "33:44"])
        }
    }

    @Test func setuidAndDevicesHaveNoEffectThere() throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            try f.sh("mknod src/mem c 1 1; mknod src/null c 1 3").succeeds()
            let run = try f.sh(
                "$CTR run --mount $PWD/src:/m minimal sh -c 'cp /bin/busybox /m/id; chmod 4755 /m/id; for d in mem null; do { head -c 1 /m/$d > /dev/null; } 2>/dev/null && echo OPENED $d; done; grep \" /m \" /proc/self/mountinfo'"
            ).succeeds()
            #expect(!run.out.contains("OPENED"), "\(run.both)")
            #expect(run.out.contains("nosuid") && run.out.contains("nodev"), "\(run.out)")
        }
    }

    @Test func missingSource() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "--mount", "\(f.path)/none:/m", "minimal", "true").fails(125, words: "\(f.path)/none")
        }
    }

    @Test(arguments: [
        "/etc", "/etc:", ":/m", "etc:/m", "/etc:m", "/etc:/", "/etc:/m:rx", "/etc:/m:ro:x", "/etc:/a/../b",
        "/etc:/proc", "/etc:/proc/sys", "/etc:/sys/fs/x", "/etc://proc", "/etc:/./proc", "/etc:/proc/../proc/x",
    ])
    func mountThatIsNone(_ value: String) throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "--mount", value, "minimal", "true").fails(125, words: "mount")
        }
    }

    /// CVE-2015-1335, CVE-2021-30465: links at the destination lead nowhere but inside.
    @Test(arguments: ["/evil/x", "/evil", "/up/etc/made-by-a-test", "/proclink/x"])
    func destinationThroughLinks(_ destination: String) throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            try f.sh("mkdir target").succeeds()
            try f.plantTemplate(
                "links", "ln -s \(f.path)/target evil; ln -s ../../../../../../../../../.. up; ln -s /proc proclink")
            let run = try f.sh("$CTR run --mount $PWD/src:\(destination) links sh -c 'cat \(destination)/file'")
            #expect(run.line == "text" || run.status == 125, "\(run.both)")
            #expect(try f.sh("ls target; ls /etc/made-by-a-test 2>/dev/null").out == "")
        }
    }

    @Test func twoOverlappingMounts() throws {
        try Fixture.with { (f) throws in
            try prepare(f)
            try f.sh("mkdir other; echo other > other/file").succeeds()
            let run = try f.sh(
                "$CTR run --mount $PWD/src:/m --mount $PWD/other:/m/deep:ro minimal sh -c 'cat /m/file /m/deep/file; ls /m'"
            ).succeeds()
            #expect(run.lines.prefix(2) == ["text", "other"])
        }
    }

    // MARK: devices

    @Test func device() throws {
        try Fixture.with { (f) throws in
            guard f.exists("/dev/fuse") else {
                Issue.record("this host has no /dev/fuse")
                return
            }
            let run = try f.ctr(
                "run", "--device", "/dev/fuse", "minimal", "sh", "-c",
                "stat -c '%t:%T %F' /dev/fuse; { true <> /dev/fuse; } && echo opened")
            #expect(run.lines == ["a:e5 character special file", "opened"], "\(run.both)")
            let without = try f.ctr("run", "minimal", "sh", "-c", "ls /dev/fuse 2>/dev/null; exit 0")
            #expect(without.out == "")
        }
    }

    @Test(arguments: ["/dev/none-such", "/etc/passwd", "fuse", "/dev/../etc/passwd", "/dev", "/dev/pts", ""])
    func deviceThatIsNone(_ path: String) throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "--device", path, "minimal", "true").fails(125, words: "device")
        }
    }
}
