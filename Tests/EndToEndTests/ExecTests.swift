import Kernel
import Testing

/// `ctr exec`: a process more in a running VPS, as walled off as its first one.
@Suite struct ExecTests {
    private func running(_ f: Fixture, _ options: String = "", _ command: String = "sleep 1000") throws {
        try f.sh("$CTR run -d \(options) --name $N-a minimal \(command)").succeeds()
    }

    @Test func joinsAllNamespaces() throws {
        try Fixture.with { (f) throws in
            try running(f)
            let script = (IsolationTests.kinds + ["pid_for_children"]).map { "readlink /proc/self/ns/\($0)" }.joined(
                separator: "; ")
            let host = try f.sh(
                "for k in \(IsolationTests.kinds.joined(separator: " ")); do readlink /proc/\(f.initPid(f.name()))/ns/$k; done"
            ).lines
            let inside = try f.ctr("exec", f.name(), "--", "sh", "-c", script).succeeds().lines
            #expect(Array(inside.prefix(IsolationTests.kinds.count)) == host)
            #expect(inside.last == inside.first?.replacing("pid:", with: "pid:"))
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    /// On cgroup v2 no process may be born in a cgroup that shares controllers out; systemd makes its own one while it begins.
    @Test(
        .enabled(
            if: (try? open("/sys/fs/cgroup/cgroup.controllers", [.readOnly])) != nil,
            "no cgroup v2 with all controllers"))
    func theGuestTurnsItsCgroupIntoAnInnerNode() throws {
        try Fixture.with { (f) throws in
            let toggle = """
                cd /sys/fs/cgroup && mkdir first && echo 1 >first/cgroup.procs
                echo >/tmp/ready
                while :; do echo +pids >cgroup.subtree_control; echo -pids >cgroup.subtree_control; done 2>/dev/null
                """
            try running(f, "", "sh -c '\(toggle)'")
            #expect(until(20) { (try? f.ctr("exec", f.name(), "--", "ls", "/tmp/ready").status) == 0 })
            for _ in 0..<40 { try f.ctr("exec", f.name(), "--", "true").succeeds() }
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func joinsCgroupCapabilitiesFilterAndLimits() throws {
        try Fixture.with { (f) throws in
            try running(f, "--cap-drop CHOWN --ulimit nofile=100:100 --pids 50")
            let script =
                "grep -E '^(Cap|Seccomp:|Uid|Gid|Groups|SigIgn|SigBlk)' /proc/N/status; cat /proc/N/cgroup; grep files /proc/N/limits; cat /proc/N/oom_score_adj"
            let first = try f.ctr("exec", f.name(), "--", "sh", "-c", script.replacing("N", with: "1")).succeeds().out
            let own = try f.ctr("exec", f.name(), "--", "sh", "-c", script.replacing("N", with: "self")).succeeds().out
            #expect(first == own)
            #expect(own.contains("Seccomp:\t2"))
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func seesItsProcessesAndFiles() throws {
        try Fixture.with { (f) throws in
            try running(f, "", "sh -c 'echo x > /tmp/made; exec sleep 1000'")
            #expect(until(10) { (try? f.ctr("exec", f.name(), "--", "cat", "/tmp/made").line) == "x" })
            #expect(try f.ctr("exec", f.name(), "--", "cat", "/proc/1/cmdline").out.hasPrefix("sleep"))
            #expect(try f.ctr("exec", f.name(), "--", "hostname").line == f.name())
            // A session of its own, which no other process of the VPS is in.
            let run = try f.ctr(
                "exec", f.name(), "--", "sh", "-c",
                "read a b c d e f g < /proc/$$/stat; [ $a = $e ] && [ $a = $f ] && echo leader")
            #expect(run.line == "leader", "\(run.both)")
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func environmentUserAndDirectory() throws {
        try Fixture.with { (f) throws in
            try running(f, "--env A=1 --env B=2")
            let run = try f.sh("SECRET=x exec $CTR exec $N-a -e B=3 -e 'C=x y' -- env").succeeds()
            for line in ["A=1", "B=3", "C=x y"] { #expect(run.lines.contains(line), "\(run.out)") }
            #expect(!run.out.contains("SECRET") && !run.lines.contains("B=2") && !run.out.contains("CTR_"))
            let user = try f.ctr(
                "exec", f.name(), "-u", "daemon", "-w", "/etc", "--", "sh", "-c",
                "echo $(id -u) $(id -g) $PWD $HOME; grep CapEff /proc/self/status"
            ).succeeds()
            #expect(user.lines.first == "1 1 /etc /usr/sbin", "\(user.both)")
            #expect(user.lines.last == "CapEff:\t0000000000000000")
            #expect(try f.ctr("exec", f.name(), "-u", "7:8", "--", "id", "-G").line == "8")
            for spec in ["1:", ":1", "+1", "nobody2", "4294967296"] {
                try f.ctr("exec", f.name(), "--user=\(spec)", "--", "id").fails(125)
            }
            try f.ctr("exec", f.name(), "-w", "/none", "--", "pwd").fails(125, words: "/none")
            for number in [3, 7, 8, 9, 10] {
                let leak = try f.sh("exec 7</etc 8</; $CTR exec $N-a -w /proc/self/fd/\(number) -- ls -a")
                #expect(leak.status == 125 && leak.out == "", "\(leak.both)")
            }
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func statusAndStreams() throws {
        try Fixture.with { (f) throws in
            try running(f)
            for status in [0, 1, 7, 125, 255] {
                #expect(try f.ctr("exec", f.name(), "--", "sh", "-c", "exit \(status)").status == Int32(status))
            }
            #expect(try f.ctr("exec", f.name(), "--", "sh", "-c", "kill -9 $$").status == 137)
            #expect(try f.ctr("exec", f.name(), "--", "sh", "-c", "kill -TERM $$").status == 143)
            try f.ctr("exec", f.name(), "--", "none-such").fails(127, words: "none-such")
            try f.ctr("exec", f.name(), "--", "/etc/passwd").fails(126, words: "/etc/passwd")
            #expect(try f.ctr("exec", f.name(), "--", "cat", input: "typed").out == "typed")
            let run = try f.ctr("exec", f.name(), "--", "sh", "-c", "echo out; echo err >&2")
            #expect(run.out == "out\n" && run.err == "err\n")
            try f.sh("head -c 8M /dev/urandom > in; $CTR exec $N-a -- cat < in | cmp in").succeeds()
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test(arguments: [Signal.interrupt, Signal.terminate, Signal.hangup, Signal.user1])
    func signals(_ number: Int32) throws {
        try Fixture.with { (f) throws in
            try running(f)
            let plain = try f.start("exec", f.name(), "--", "sh", "-c", "echo ready; exec sleep 1000")
            try plain.awaitOutput("ready")
            try plain.signal(number)
            #expect(try plain.wait().status == 128 + number)
            let handled = try f.start(
                "exec", f.name(), "--", "sh", "-c", "trap 'exit 9' \(number); echo ready; while :; do sleep 0.05; done")
            try handled.awaitOutput("ready")
            try handled.signal(number)
            #expect(try handled.wait().status == 9)
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func endsWithTheVPS() throws {
        try Fixture.with { (f) throws in
            try running(f)
            let run = try f.start("exec", f.name(), "--", "sh", "-c", "echo ready; exec sleep 1000")
            try run.awaitOutput("ready")
            try f.ctr("destroy", "--force", f.name()).succeeds()
            #expect(try run.wait(10).status == 137)
        }
    }

    @Test func killedExecLeavesTheVPS() throws {
        try Fixture.with { (f) throws in
            try running(f)
            let run = try f.start("exec", f.name(), "--", "sh", "-c", "echo ready; exec sleep 1000")
            try run.awaitOutput("ready")
            try run.signal(Signal.kill)
            try run.wait()
            try f.ctr("exec", f.name(), "--", "true").succeeds()
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func unknownAndStopped() throws {
        try Fixture.with { (f) throws in
            try f.ctr("exec", f.name("none"), "--", "true").fails(125, words: f.name("none"))
            try f.ctr("run", "--keep", "--name", f.name(), "minimal", "true").succeeds()
            try f.ctr("exec", f.name(), "--", "true").fails(125, words: f.name(), "not running")
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    /// Whatever moment of the VPS's end it meets: a status of the command or a clear error, and no hang.
    @Test(.timeLimit(.minutes(2)))
    func racingWithTheEnd() throws {
        try Fixture.with { (f) throws in
            for round in 1...30 {
                try f.sh("$CTR run -d --name $N-\(round) minimal sh -c 'sleep 0.0\(Int.random(in: 10...99))'")
                    .succeeds()
                while true {
                    let run = try f.ctr("exec", f.name("\(round)"), "--", "true", timeout: 10)
                    if run.status == 0 { continue }
                    #expect(run.status == 125 || run.status == 137, "round \(round): \(run.both)")
                    if run.status == 125 {
                        #expect(run.err.hasPrefix("ctr: ") && run.err.split(separator: "\n").count == 1, "\(run.err)")
                        let clear = ["no such VPS", "not running", "ended", "destroyed"].contains {
                            run.err.contains($0)
                        }
                        #expect(clear, "round \(round): \(run.err)")
                    }
                    break
                }
            }
        }
    }

    /// The guest's own files can't harm the one who enters: a passwd that never ends, a /proc of its own.
    @Test func hostileGuest() throws {
        try Fixture.with { (f) throws in
            try running(f)
            try f.ctr(
                "exec", f.name(), "--", "sh", "-c",
                "rm /etc/passwd; mkfifo /etc/passwd; rm /etc/group; ln -s /proc/kmsg /etc/group"
            ).succeeds()
            try f.ctr("exec", f.name(), "-u", "daemon", "--", "id", timeout: 10).fails(125)
            let run = try f.ctr("exec", f.name(), "-u", "5", "--", "id", "-u", timeout: 10)
            #expect(run.status == 125 || run.line == "5", "\(run.both)")
            // A proc of lies over the real one, and a pts that is a directory.
            _ = try f.ctr(
                "exec", f.name(), "--", "sh", "-c",
                "mount -t tmpfs none /proc; mkdir -p /proc/self/fd /proc/1; umount -l /dev/pts; mkdir -p /dev/pts; ln -s /etc/hostname /dev/pts/ptmx"
            )
            let after = try f.ctr("exec", f.name(), "--", "sh", "-c", "echo in; echo $$ > /dev/null", timeout: 10)
            #expect(after.lines == ["in"] || after.status == 125, "\(after.both)")
            let pty = try Pty(f, "$CTR exec $N-a -t -- true; echo status $?")
            // Whether the guest could take its /dev/pts away or not.
            try pty.expect("status ")
            try pty.finish()
            #expect(["0", "125"].contains(pty.seen.split(whereSeparator: \.isWhitespace).last), "\(pty.seen)")
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }
}
