import Kernel
import Testing

/// `ctr run` in the foreground: the status, the bytes, the signals.
@Suite struct RunTests {
    @Test func hello() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "echo", "hello").succeeds()
            #expect(run.out == "hello\n")
            #expect(run.err == "")
        }
    }

    @Test func theTemplatesOwnCommandRunsWithoutWords() throws {
        try Fixture.with { (f) throws in
            // minimal's is a shell, which reads its commands from standard input.
            let run = try f.ctr("run", "minimal", input: "echo from a shell; exit 3")
            #expect(run.out == "from a shell\n")
            #expect(run.status == 3)
        }
    }

    @Test func wordsArePassedAsTheyAre() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "minimal", "printf", "<%s>", "-t", "--", "a b", "", "*", "$HOME", "ü\n", "--name")
            #expect(run.out == "<-t><--><a b><><*><$HOME><ü\n><--name>")
        }
    }

    @Test(arguments: [0, 1, 7, 42, 125, 126, 127, 255])
    func exitStatus(_ status: Int) throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "sh", "-c", "exit \(status)")
            #expect(run.status == Int32(status), "\(run.both)")
        }
    }

    @Test(arguments: [1, 6, 9, 10, 11, 13, 15, 31])
    func endBySignal(_ signal: Int) throws {
        try Fixture.with { (f) throws in
            // Process 1 is shielded from its own signals, so a child has the fate and the shell reports it.
            let child = try f.ctr("run", "minimal", "sh", "-c", "sh -c 'kill -\(signal) $$'; exit $?")
            #expect(child.status == Int32(128 + signal), "\(child.both)")
        }
    }

    @Test func commandThatIsNotThere() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "minimal", "no-such-command").fails(127, words: "no-such-command")
            try f.ctr("run", "minimal", "/no/such/path").fails(127, words: "/no/such/path")
            try f.ctr("run", "minimal", "/etc/passwd/x").fails(127)
        }
    }

    @Test func commandThatCantBeExecuted() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "minimal", "/etc/passwd").fails(126, words: "/etc/passwd")
            try f.ctr("run", "minimal", "/etc").fails(126, words: "/etc")
            try f.plantTemplate(
                "odd",
                "printf 'not a program' > bin/odd; chmod 755 bin/odd; printf '#!/no/interpreter\\n' > bin/script; chmod 755 bin/script"
            )
            try f.ctr("run", "odd", "odd").fails(126, words: "odd")
            // The kernel says ENOENT for a missing interpreter, as for a missing file.
            try f.ctr("run", "odd", "script").fails(126, 127, words: "script")
        }
    }

    @Test func environmentOfTheCommand() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh("SECRET=hidden exec $CTR run --env A=1 --env B='x y' --env A=2 minimal env").succeeds()
            let names = Set(run.lines.map { $0.prefix { $0 != "=" } }.map(String.init))
            #expect(names.subtracting(["PATH", "HOME", "A", "B", "TERM", "HOSTNAME", "container"]) == [])
            #expect(run.lines.contains("A=2"))
            #expect(!run.lines.contains("A=1"))
            #expect(run.lines.contains("B=x y"))
            #expect(run.lines.contains("HOME=/root"))
            #expect(run.lines.contains { $0.hasPrefix("PATH=") && $0.contains("/usr/bin") })
        }
    }

    // MARK: streams

    /// 64 MiB of random bytes in and out through the VPS.
    @Test(.timeLimit(.minutes(2)))
    func bytesPassUnchangedThroughPipes() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh(
                """
                head -c 64M /dev/urandom | tee >(sha256sum > before) | $CTR run minimal cat | sha256sum > after
                until [ -s before ]; do :; done
                cmp before after
                """, timeout: 90)
            #expect(run.status == 0, "\(run.both)")
        }
    }

    @Test func bytesPassUnchangedThroughFiles() throws {
        try Fixture.with { (f) throws in
            try f.sh(
                """
                head -c 1M /dev/urandom > in
                $CTR run minimal sh -c 'cat; echo err >&2' < in > out 2> err && cmp in out && [ "$(cat err)" = err ]
                # Appending, and the offset that a file is at.
                printf abc > log; $CTR run minimal echo def >> log; [ "$(cat log)" = abcdef ]
                (read -r first; $CTR run minimal cat) < <(printf 'one\\ntwo\\n') | grep -qx two
                """
            ).succeeds()
        }
    }

    @Test(.timeLimit(.minutes(6)))
    func oneGibibyteInAPipe() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh("head -c 1G /dev/zero | $CTR run minimal cat | wc -c", timeout: 90)
            #expect(run.line == "1073741824", "\(run.both)")
        }
    }

    @Test func streamsAreApart() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "sh", "-c", "echo out; echo err >&2")
            #expect(run.out == "out\n")
            #expect(run.err == "err\n")
        }
    }

    @Test(arguments: ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
    func closedStreams(_ redirection: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.sh("$CTR run minimal sh -c 'ls -l /proc/self/fd > /tmp/x; exit 5' \(redirection)")
            #expect(run.status == 5, "\(run.both)")
        }
    }

    @Test func closedOutputIsNoFileOfTheHost() throws {
        try Fixture.with { (f) throws in
            // What ctr opens first must not become descriptor 1, nor what the VPS writes go there.
            let run = try f.sh(
                "$CTR run minimal sh -c 'echo \"$(readlink /proc/1/fd/0)\" >&2; echo \"$(readlink /proc/1/fd/1)\" >&2' <&- >&-"
            )
            #expect(
                run.err.split(separator: "\n").allSatisfy { $0 == "/dev/null" || $0.hasPrefix("pipe:") }, "\(run.err)")
            let files = try f.sh("grep -rl fd/1 root/vps state")
            #expect(files.out == "")
        }
    }

    @Test func brokenPipeEndsIt() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh("$CTR run minimal yes | head -1; echo ${PIPESTATUS[0]}")
            // 141 is what the shell says of yes itself: ended by SIGPIPE. As process 1 it gets EPIPE instead: status 1.
            #expect(run.lines.first == "y")
            #expect(["141", "1"].contains(run.lines.last), "\(run.both)")
        }
    }

    @Test func inputThatNobodyReadsIsNoHang() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh("yes | $CTR run minimal true; echo ${PIPESTATUS[@]}")
            #expect(run.line == "141 0", "\(run.both)")
        }
    }

    @Test func inputStaysForTheNextReader() throws {
        try Fixture.with { (f) throws in
            // ctr itself must not read ahead of the VPS.
            let run = try f.sh("printf 'a\\nb\\n' > in; ($CTR run minimal true; cat) < in")
            #expect(run.out == "a\nb\n", "\(run.both)")
        }
    }

    // MARK: signals

    @Test(arguments: [
        ("INT", Signal.interrupt), ("TERM", Signal.terminate), ("HUP", Signal.hangup), ("QUIT", Signal.quit),
        ("USR1", Signal.user1), ("USR2", Signal.user2),
    ])
    func signalReachesAHandler(_ name: String, _ number: Int32) throws {
        try Fixture.with { (f) throws in
            let run = try f.start(
                "run", "minimal", "sh", "-c",
                "trap 'echo got \(name); exit 9' \(name); echo ready; while :; do sleep 0.05; done")
            try run.awaitOutput("ready")
            try run.signal(number)
            let outcome = try run.wait()
            #expect(outcome.out == "ready\ngot \(name)\n", "\(outcome.both)")
            #expect(outcome.status == 9)
        }
    }

    @Test(arguments: [Signal.interrupt, Signal.terminate, Signal.hangup, Signal.quit, Signal.user1])
    func signalWithoutAHandlerEndsIt(_ number: Int32) throws {
        try Fixture.with { (f) throws in
            // No shell: one that has been given a command catches SIGINT itself until it executes it.
            let run = try f.start("run", "--hostname", "ready", "minimal", "tail", "-f", "/proc/sys/kernel/hostname")
            try run.awaitOutput("ready")
            try run.signal(number)
            #expect(try run.wait().status == 128 + number)
        }
    }

    @Test func ignoredSignalStaysIgnored() throws {
        try Fixture.with { (f) throws in
            let run = try f.start(
                "run", "minimal", "sh", "-c",
                "trap '' INT HUP; trap 'echo end; exit 4' TERM; echo ready; while :; do sleep 0.05; done")
            try run.awaitOutput("ready")
            try run.signal(Signal.interrupt)
            try run.signal(Signal.hangup)
            try run.signal(Signal.terminate)
            let outcome = try run.wait()
            #expect(outcome.status == 4, "\(outcome.both)")
            #expect(outcome.out == "ready\nend\n")
        }
    }

    @Test func signalsOfTheCallerDontGoIn() throws {
        try Fixture.with { (f) throws in
            // Neither what ctr blocks and ignores nor what its caller does.
            let run = try f.sh("trap '' INT TERM PIPE CHLD; exec $CTR run minimal grep Sig /proc/self/status")
            for field in ["SigBlk", "SigIgn", "SigCgt"] {
                #expect(run.out.contains("\(field):\t0000000000000000"), "\(run.both)")
            }
        }
    }

    @Test func childrenEndWithTheFirstProcess() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "sh", "-c", "sleep 1000 > /dev/null 2>&1 & exit 6", timeout: 10)
            #expect(run.status == 6)
        }
    }
}
