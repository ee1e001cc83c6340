import Kernel
import Testing

/// `-t`: a terminal made inside the VPS, and the user's own as it was before.
@Suite struct TerminalTests {
    @Test func aTerminalOfItsOwn() throws {
        try Fixture.with { (f) throws in
            let pty = try Pty(
                f,
                "$CTR run -t minimal sh -c 'tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all three; echo $TERM; exit 7'",
                rows: 33, columns: 99)
            #expect(try pty.finish() == 7)
            for words in ["/dev/pts/0\r\n", "33 99\r\n", "all three\r\n", "xterm"] {
                #expect(pty.seen.contains(words), "\(pty.seen)")
            }
        }
    }

    @Test func itIsTheControllingTerminal() throws {
        try Fixture.with { (f) throws in
            let pty = try Pty(
                f,
                "$CTR run -t minimal sh -c 'echo to the tty > /dev/tty; echo to the console > /dev/console; ls -l /dev/console'"
            )
            #expect(try pty.finish() == 0)
            #expect(pty.seen.contains("to the tty") && pty.seen.contains("to the console"), "\(pty.seen)")
        }
    }

    @Test func keysArriveAndEcho() throws {
        try Fixture.with { (f) throws in
            let pty = try Pty(
                f, "$CTR run -t minimal sh -c 'echo ready; read line; echo \"<$line>\"; cat; echo end of file'")
            try pty.expect("ready")
            try pty.type("typed\r")
            try pty.expect("<typed>")
            try pty.type("\u{4}")
            try pty.expect("end of file")
            #expect(try pty.finish() == 0)
        }
    }

    @Test func interruptKeyIsForTheVPS() throws {
        try Fixture.with { (f) throws in
            let pty = try Pty(
                f,
                "$CTR run -t minimal sh -c 'trap \"echo interrupted; exit 5\" INT; echo ready; while :; do sleep 0.05; done'"
            )
            try pty.expect("ready")
            try pty.type("\u{3}")
            #expect(try pty.finish() == 5)
            #expect(pty.seen.contains("interrupted"), "\(pty.seen)")
        }
    }

    @Test func resize() throws {
        try Fixture.with { (f) throws in
            let pty = try Pty(
                f,
                "$CTR run -t --name $N-a minimal sh -c 'trap \"stty size\" WINCH; echo ready; while :; do sleep 0.05; done'",
                rows: 24, columns: 80)
            try pty.expect("ready")
            try pty.resize(rows: 50, columns: 132)
            try pty.expect("50 132")
            try pty.resize(rows: 10, columns: 20)
            try pty.expect("10 20")
            try ProcessHandle(pid: f.supervisorPid(f.name())).signal(Signal.terminate)
            #expect(try pty.finish() == 143)
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func muchOutputArrivesWhole() throws {
        try Fixture.with { (f) throws in
            let pty = try Pty(f, "$CTR run -t minimal sh -c 'seq 1 200000; echo done'")
            try pty.finish(150)
            let lines = pty.seen.split(separator: "\r\n")
            #expect(lines.count == 200001, "\(lines.count)")
            #expect(lines.last == "done")
            #expect(lines.dropFirst(199999).first == "200000")
        }
    }

    // MARK: the user's terminal afterwards

    private func unchanged(_ f: Fixture, _ script: String, _ drive: (Pty) throws -> Void) throws {
        let pty = try Pty(
            f, "trap : INT TERM HUP; stty -a > before; \(script); echo status $?; stty -a > after; echo script done")
        try drive(pty)
        try pty.expect("script done")
        try pty.finish()
        #expect(try f.text("before") == f.text("after"), "\(pty.seen)")
        #expect(try f.text("before").contains(" echo "))
    }

    @Test func restoredAfterExit() throws {
        try Fixture.with { (f) throws in
            try unchanged(f, "$CTR run -t minimal stty raw -echo") { try $0.expect("status 0") }
        }
    }

    @Test func restoredWhenTheVPSIsKilled() throws {
        try Fixture.with { (f) throws in
            try unchanged(f, "$CTR run -t --name $N-a minimal sh -c 'echo ready; sleep 1000'") { pty in
                try pty.expect("ready")
                try f.ctr("kill", f.name(), "KILL").succeeds()
                try pty.expect("status 137")
            }
        }
    }

    @Test func restoredWhenInitIsKilledByTheHost() throws {
        try Fixture.with { (f) throws in
            try unchanged(f, "$CTR run -t --name $N-a minimal sh -c 'echo ready; sleep 1000'") { pty in
                try pty.expect("ready")
                try ProcessHandle(pid: f.initPid(f.name())).signal(Signal.kill)
                try pty.expect("status 137")
            }
        }
    }

    @Test(arguments: [Signal.terminate, Signal.hangup, Signal.quit])
    func restoredAfterASignalToCtr(_ number: Int32) throws {
        try Fixture.with { (f) throws in
            try unchanged(f, "$CTR run -t --name $N-a minimal sh -c 'echo ready; exec sleep 1000'") { pty in
                try pty.expect("ready")
                try ProcessHandle(pid: f.supervisorPid(f.name())).signal(number)
                try pty.expect("status \(128 + number)")
            }
        }
    }

    @Test func restoredAfterErrors() throws {
        try Fixture.with { (f) throws in
            try unchanged(f, "$CTR run -t no-such-template true") { try $0.expect("status 125") }
            try unchanged(f, "$CTR run -t minimal no-such-command") { try $0.expect("status 127") }
            try unchanged(f, "$CTR run -t --workdir /none minimal true") { try $0.expect("status 125") }
        }
    }

    @Test func terminalThatHangsUpEndsIt() throws {
        try Fixture.with { (f) throws in
            // The session's leader goes, and the kernel hangs up its terminal: ctr gets SIGHUP.
            let pty = try Pty(f, "$CTR run -t --name $N-a minimal sh -c 'echo ready; exec sleep 1000'; true")
            try pty.expect("ready")
            try pty.program.signal(Signal.kill)
            #expect(until(10) { (try? f.leftovers().isEmpty) == true }, "\(f.left)")
        }
    }

    // MARK: terminals of other programs

    @Test func underScript() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh("script -qec \"$CTR run -t minimal sh -c 'tty; exit 4'\" /dev/null < /dev/null")
            #expect(run.status == 4, "\(run.both)")
            #expect(run.out.contains("/dev/pts/0"))
        }
    }

    @Test func underTmux() throws {
        try Fixture.with { (f) throws in
            guard ToolProcess.find("tmux") != nil else {
                Issue.record("tmux is missing (scripts/setup.sh installs what tests need)")
                return
            }
            f.atEnd { _ = try? f.sh("tmux -S $CTR_TEST/tmux kill-server") }
            try f.sh(
                """
                tmux -S $CTR_TEST/tmux -f /dev/null new-session -d -x 90 -y 20 "$CTR run -t minimal sh -c 'tty; stty size; read x; echo got \\$x; exit 6' > $PWD/tty.out 2> $PWD/tty.err; echo \\$? > $PWD/status; sleep 60"
                """
            ).succeeds()
            #expect(
                until(20) { (try? f.text("tty.out").contains("20 90")) == true },
                "\((try? f.text("tty.err")) ?? "") \((try? f.text("status")) ?? "")")
            try f.sh("tmux -S $CTR_TEST/tmux send-keys word Enter").succeeds()
            #expect(until(20) { (try? f.text("status")) == "6\n" }, "\((try? f.text("tty.out")) ?? "")")
            #expect(try f.text("tty.out").contains("got word"))
            try f.sh("tmux -S $CTR_TEST/tmux kill-server").succeeds()
        }
    }

    @Test func withoutATerminalOfTheUsers() throws {
        try Fixture.with { (f) throws in
            // Pipes are relayed as if typed; it is no hang and no crash.
            let run = try f.sh("echo word | $CTR run -t minimal sh -c 'read x; tty; echo got $x; exit 3'")
            #expect(run.status == 3 || run.status == 125, "\(run.both)")
            if run.status == 3 {
                #expect(run.out.contains("got word") && run.out.contains("/dev/pts/0"), "\(run.both)")
            }
        }
    }

    @Test func exec() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "-d", "--name", f.name(), "minimal", "sleep", "1000").succeeds()
            try unchanged(f, "$CTR exec $N-a -t -- sh -c 'echo on $(tty); stty size; echo x > /dev/tty; exit 9'") {
                pty in
                try pty.expect("on /dev/pts/")
                try pty.expect("24 80")
                try pty.expect("status 9")
            }
            try unchanged(f, "$CTR exec $N-a -t -- sh -c 'echo ready; exec sleep 1000'") { pty in
                try pty.expect("ready")
                try f.ctr("destroy", "--force", f.name()).succeeds()
                try pty.expect("status 137")
            }
        }
    }

    @Test func enterIsALoginShell() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "-d", "--name", f.name(), "minimal", "sleep", "1000").succeeds()
            let pty = try Pty(f, "$CTR enter $N-a; echo status $?")
            try pty.type("echo on $(tty) as $(id -un) in $PWD; exit 8\r")
            try pty.expect("on /dev/pts/")
            try pty.expect("status 8")
            try pty.finish()
            #expect(pty.seen.contains("as root"), "\(pty.seen)")
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }
}
