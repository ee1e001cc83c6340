import Kernel
import Testing

/// What a VPS may not do: capabilities, seccomp, the classic leaks (peers.md, section H).
@Suite struct SecurityTests {
    // MARK: capabilities

    private func capabilities(_ f: Fixture, _ options: String) throws -> [String: UInt64] {
        let run = try f.sh("$CTR run \(options) minimal grep ^Cap /proc/self/status").succeeds()
        return run.lines.reduce(into: [:]) { sets, line in
            let parts = line.split(separator: "\t")
            sets[String(parts[0].dropLast())] = UInt64(parts[1].drop { $0 == " " }, radix: 16)
        }
    }

    @Test func allFiveSets() throws {
        try Fixture.with { (f) throws in
            let sets = try capabilities(f, "")
            #expect(sets["CapInh"] == 0)
            #expect(sets["CapAmb"] == 0)
            #expect(sets["CapPrm"] == sets["CapBnd"])
            #expect(sets["CapEff"] == sets["CapBnd"])
            let bounding = try #require(sets["CapBnd"])
            // SYS_MODULE, SYS_RAWIO, SYS_TIME, SYSLOG, MAC_ADMIN, BPF, PERFMON, CHECKPOINT_RESTORE: the host's alone.
            for number in [16, 17, 25, 33, 34, 38, 39, 40] { #expect(bounding & 1 << number == 0, "\(number)") }
            // CHOWN, SETUID, NET_ADMIN, SYS_CHROOT: a system needs them.
            for number in [0, 7, 12, 18] { #expect(bounding & 1 << number != 0, "\(number)") }
        }
    }

    @Test func aUserHasNone() throws {
        try Fixture.with { (f) throws in
            let sets = try capabilities(f, "--user daemon")
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] { #expect(sets[set] == 0, "\(set)") }
        }
    }

    @Test func addingAndDropping() throws {
        try Fixture.with { (f) throws in
            let usual = try #require(try capabilities(f, "")["CapBnd"])
            let changed = try capabilities(f, "--cap-drop CAP_CHOWN,net_raw --cap-add SYS_TIME")
            let wanted = (usual & ~(1 << 0) & ~(1 << 13)) | 1 << 25
            for set in ["CapBnd", "CapPrm", "CapEff"] { #expect(changed[set] == wanted, "\(set)") }
            #expect(changed["CapInh"] == 0)
            let none = try capabilities(f, "--cap-drop ALL")
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"] { #expect(none[set] == 0, "\(set)") }
            try f.ctr("run", "--cap-drop", "CHOWN", "minimal", "sh", "-c", "touch /x && ! chown 1 /x").succeeds()
        }
    }

    @Test(arguments: ["CAP_NONE_SUCH", "SYS_TIM", ",,", "21"])
    func unknownCapability(_ name: String) throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "--cap-add", name, "minimal", "true").fails(125, words: "cap")
            try f.ctr("run", "--cap-drop", name, "minimal", "true").fails(125, words: "cap")
        }
    }

    // MARK: seccomp

    @Test func filterIsThere() throws {
        try Fixture.with { (f) throws in
            let state = ["grep", "Seccomp:", "/proc/self/status"]
            #expect(try f.sh("$CTR run minimal \(state.joined(separator: " "))").line == "Seccomp:\t2")
            #expect(try f.sh("$CTR run --user daemon minimal \(state.joined(separator: " "))").line == "Seccomp:\t2")
            #expect(
                try f.sh("$CTR run --seccomp unconfined minimal \(state.joined(separator: " "))").line == "Seccomp:\t0")
        }
    }

    @Test func profileOfTheUser() throws {
        try Fixture.with { (f) throws in
            try f.write(
                "profile.json",
                #"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}"#
            )
            let run = try f.sh("$CTR run --seccomp $PWD/profile.json minimal sh -c 'touch /x && mkdir /y'")
            #expect(run.status != 0)
            #expect(run.err.contains("Permission denied"), "\(run.both)")
            try f.ctr("run", "minimal", "mkdir", "/y").succeeds()
        }
    }

    @Test(arguments: [
        "", "{", "[]", #"{"defaultAction": "SCMP_ACT_NONE"}"#,
        #"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": 7}]}"#,
    ])
    func brokenProfile(_ text: String) throws {
        try Fixture.with { (f) throws in
            try f.write("profile.json", text)
            try f.ctr("run", "--seccomp", "\(f.path)/profile.json", "minimal", "true").fails(125, words: "profile.json")
            try f.ctr("run", "--seccomp", "\(f.path)/none.json", "minimal", "true").fails(125, words: "none.json")
        }
    }

    @Test func userNamespacesOfItsOwnAreRefused() throws {
        try Fixture.with { (f) throws in
            #expect(try f.ctr("run", "minimal", "unshare", "-U", "true").status != 0)
            try f.ctr("run", "minimal", "unshare", "-m", "true").succeeds()
            try f.ctr("run", "--nesting", "minimal", "unshare", "-U", "true").succeeds()
        }
    }

    // MARK: mounts are locked

    /// What the host's side mounts is locked for a guest in a user namespace of its own.
    @Test(arguments: [
        "umount /dev", "umount -l /dev/shm", "umount /run", "umount /tmp", "umount /dev/pts",
        "mount -o remount,rw /sys",
        "mount -o remount,dev /", "mount -o remount,dev,bind /", "mount -o remount,suid,bind /tmp",
    ])
    func lockedMount(_ attempt: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "sh", "-c", attempt)
            #expect(run.status != 0, "\(attempt): \(run.both)")
        }
    }

    /// Masks lie in the guest's own namespaces: its root may lift them where it has a user namespace of its own (and
    /// then finds files that belong to the host's root), and can't without one.
    @Test(arguments: [
        "umount /proc/keys", "umount /sys/firmware", "umount /proc/interrupts", "mount -o remount,rw,bind /proc/bus",
        "mount -o remount,rw,bind /proc/sys",
    ])
    func maskOfTheHostsRoot(_ attempt: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "--userns", "host", "minimal", "sh", "-c", attempt)
            #expect(run.status != 0, "\(attempt): \(run.both)")
        }
    }

    @Test func whatMasksHideCantBeWritten() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "minimal", "sh", "-c",
                """
                umount /proc/keys /proc/interrupts /proc/timer_list /sys/firmware; mount -o remount,rw,bind /proc/irq
                for k in /proc/irq/default_smp_affinity /proc/sysrq-trigger /sys/kernel/profiling /proc/sys/vm/overcommit_memory; do
                  [ -e $k ] && true >> $k && echo LEAK $k
                done 2> /dev/null
                cat /proc/timer_list > /dev/null 2>&1 && echo LEAK timers
                true
                """)
            #expect(run.status == 0 && !run.out.contains("LEAK"), "\(run.both)")
        }
    }

    @Test(arguments: ["auto", "host"])
    func nothingShowsAgainElsewhere(_ userns: String) throws {
        try Fixture.with { (f) throws in
            // A second proc or sysfs, or a copy of the first without what lies on it, would show what is masked.
            let run = try f.ctr(
                "run", "--userns", userns, "minimal", "sh", "-c",
                """
                mkdir -p /p /s; mount -t proc proc /p; mount -t sysfs sysfs /s
                mount --bind /proc /mnt 2>/dev/null || mount --bind /proc/sys /mnt
                wc -c < /p/kcore; head -c 1 /p/kcore; head -c 1 /mnt/kcore; cat /p/keys /mnt/keys; ls /s/firmware/*
                for d in /p /mnt; do for k in sysrq-trigger sys/kernel/core_pattern; do [ -e $d/$k ] && true >> $d/$k && echo LEAK $d/$k; done; done
                true
                """)
            #expect(!run.out.contains("LEAK"), "\(run.both)")
            #expect(!run.out.contains("ELF") && !run.out.contains("_uid"), "\(run.both)")
            if userns == "host" { #expect(!run.out.contains("acpi"), "\(run.both)") }
        }
    }

    // MARK: the classic leaks, a probe each

    @Test(arguments: ["auto", "host"])
    func knobsOfTheHost(_ userns: String) throws {
        try Fixture.with { (f) throws in
            let knobs = [
                "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
                "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic", "/proc/sys/kernel/sysrq",
                "/proc/sys/vm/drop_caches",
                "/proc/sys/fs/binfmt_misc/register", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
                "/sys/power/state",
                "/sys/kernel/mm/ksm/run", "/sys/devices/system/cpu/cpu1/online", "/sys/fs/cgroup/release_agent",
                "/proc/sys/kernel/randomize_va_space", "/proc/irq/0/smp_affinity", "/proc/scsi/scsi",
                "/proc/timer_list",
            ]
            // Opening for writing is the whole question; nothing is written to.
            let script = knobs.map { "{ true >> \($0); } 2>/dev/null && echo OPEN \($0)" }.joined(separator: "\n")
            let run = try f.ctr("run", "--userns", userns, "minimal", "sh", "-c", script)
            // /dev/null over it takes everything and does nothing.
            for line in run.lines where line.hasPrefix("OPEN") {
                let path = String(line.dropFirst(5))
                let kind = try f.ctr("run", "--userns", userns, "minimal", "stat", "-c", "%t:%T", path).line
                #expect(kind == "1:3", "\(path) can be written to")
            }
        }
    }

    @Test(arguments: ["auto", "host"])
    func memoryOfTheHost(_ userns: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "--userns", userns, "minimal", "sh", "-c",
                """
                for file in /proc/kcore /dev/mem /dev/kmem /dev/port /dev/kmsg /proc/kmsg /proc/kpageflags /proc/1/../kcore; do
                  [ "$(head -c 1 $file 2>/dev/null | wc -c)" = 0 ] || echo LEAK $file
                done
                ls /sys/firmware | grep . && echo LEAK firmware
                dmesg 2>/dev/null | grep . && echo LEAK dmesg
                for n in "mem c 1 1" "kmsg c 1 11" "sda b 8 0" "loop0 b 7 0" "fuse c 10 229" "tun c 10 200" "vda b 254 0"; do
                  set -- $n; mknod /tmp/$1 $2 $3 $4 2>/dev/null && head -c 1 /tmp/$1 > /dev/null 2>&1 && echo LEAK mknod $1
                  mknod /$1 $2 $3 $4 2>/dev/null && head -c 1 /$1 > /dev/null 2>&1 && echo LEAK mknod /$1
                done
                true
                """)
            #expect(run.status == 0 && !run.out.contains("LEAK"), "\(run.both)")
        }
    }

    @Test func cgroupFilesOfTheHost() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "minimal", "sh", "-c",
                """
                mkdir /c; for t in memory devices cpu freezer pids; do mount -t cgroup -o $t none /c 2>/dev/null && ls /c | grep -q release_agent && echo LEAK $t; umount /c 2>/dev/null; done
                mount -t cgroup2 none /c && [ "$(cat /c/cgroup.procs | head -1)" != 1 ] && echo LEAK cgroup2
                ls /c /sys/fs/cgroup | grep -E 'system.slice|ctr-' && echo LEAK names
                echo 1 > /sys/fs/cgroup/../cgroup.procs 2>/dev/null && echo LEAK parent; true
                """)
            #expect(!run.out.contains("LEAK"), "\(run.both)")
        }
    }

    @Test func limitsOfItsOwnCantBeRaised() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "--pids", "20", "minimal", "sh", "-c",
                "for i in $(seq 1 40); do sleep 5 & done 2>/tmp/err; ls /proc | grep -c '^[0-9]'; for x in /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max; do echo max > $x && echo RAISED; done; exit 0",
                timeout: 20)
            #expect(!run.out.contains("RAISED"), "\(run.both)")
            // The shell gives up when it can't fork, so nothing may have been printed at all.
            if let count = run.lines.first.flatMap({ Int($0) }) { #expect(count <= 20) }
        }
    }

    @Test func programsOfTheHostDontShow() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "minimal", "sh", "-c",
                "readlink /proc/1/exe; readlink /proc/1/root; cat /proc/1/environ; ls -l /proc/1/cwd")
            #expect(!run.out.contains(f.path), "\(run.both)")
        }
    }

    // MARK: the host's user namespace

    /// CVE-2019-5736: a guest that is the host's root opens ctr's program for writing while `ctr exec` is at work.
    @Test(.timeLimit(.minutes(2)))
    func programOfTheHostCantBeOverwritten() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh(
                """
                cp "$CTR" ctr; CTR=$PWD/ctr; before=$(sha256sum < ctr)
                $CTR run -d --userns host --name $N-a minimal sh -c '
                  while :; do for p in /proc/[0-9]*; do
                    (exec 9<> $p/exe && printf evil >&9 && echo OPENED $p) 2>/dev/null
                    { true >> $p/exe; } 2>/dev/null && echo APPENDED $p
                  done; done' || exit 1
                for i in $(seq 1 50); do $CTR exec $N-a -- true || echo exec failed; done
                $CTR logs $N-a
                $CTR destroy --force $N-a
                [ "$before" = "$(sha256sum < ctr)" ] && echo unchanged
                """, timeout: 90)
            #expect(run.lines.last == "unchanged", "\(run.both)")
            #expect(!run.out.contains("exec failed"), "\(run.both)")
            // busybox itself is the guest's own; what must not be there is a program from outside.
        }
    }

    @Test(arguments: ["auto", "host"])
    func scriptOfTheProgramItself(_ userns: String) throws {
        try Fixture.with { (f) throws in
            try f.plantTemplate(
                "evil",
                "printf '#!/proc/self/exe\\n' > bin/evil; chmod 755 bin/evil; rm bin/sh; printf '#!/proc/self/exe\\n' > bin/sh; chmod 755 bin/sh"
            )
            let run = try f.sh(
                """
                cp "$CTR" ctr; before=$(sha256sum < ctr)
                for command in /bin/evil /proc/self/exe /proc/1/exe /bin/sh; do timeout 20 ./ctr run --userns \(userns) evil $command list; echo status $?; done
                [ "$before" = "$(sha256sum < ctr)" ] && echo unchanged
                """, timeout: 60)
            #expect(run.lines.last == "unchanged", "\(run.both)")
        }
    }
}
