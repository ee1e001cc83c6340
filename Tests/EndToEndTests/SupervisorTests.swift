import Glibc
import Kernel
import Testing

/// The supervisor of a kept VPS: console, log, its own death.
@Suite struct SupervisorTests {
    @Test func killedItIsReplacedByTheNextVerb() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            let (pid, supervisor) = (try f.pid(n), try f.number("supervisor", n))
            kill(supervisor)
            // Whatever verb comes first when it has gone.
            let replaced = try until(10) {
                try f.ctr("exec", n, "true").succeeds()
                return try f.number("supervisor", n) != supervisor
            }
            #expect(replaced)
            #expect(try f.pid(n) == pid)
            // It sees the end, and its cause.
            try f.ctr("exec", n, "poweroff").succeeds()
            #expect(until(20) { (try? f.state(n)) == "stopped" })
            #expect(until(20) { !f.exists("state/\(n)") })
        }
    }

    @Test func aVPSWithoutItsSupervisorStops() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            kill(try f.number("supervisor", n))
            try f.ctr("stop", n).succeeds()
            #expect(try f.state(n) == "stopped")
        }
    }

    /// Before Linux 6.15 only its parent learns how a process ended, so it is not the reboot alone that counts here.
    @Test func theNewOneStartsItAgain() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--restart", "always")
            kill(try f.number("supervisor", n))
            _ = try f.state(n)
            let before = try f.pid(n)
            try f.ctr("exec", n, "reboot").succeeds()
            #expect(until(20) { (try? f.pid(n)) != before && (try? f.state(n)) == "running" })
        }
    }

    @Test func outputWithoutATerminalGoesOnWithTheNewOne() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr(
                "run", "-d", "--keep", "--name", n, "minimal", "sh", "-c",
                "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"
            ).succeeds()
            let lines = { try f.ctr("logs", n).lines.count }
            #expect(until(10) { (try? lines()) ?? 0 > 3 })
            kill(try f.number("supervisor", n))
            _ = try f.state(n)
            let before = try lines()
            #expect(until(10) { (try? lines()) ?? 0 > before + 3 })
            #expect(try f.ctr("exec", n, "true").status == 0)
        }
    }

    @Test func initAndSupervisorKilledIsStopped() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            kill(try f.number("supervisor", n))
            kill(try f.pid(n))
            #expect(until(10) { (try? f.state(n)) == "stopped" })
            try f.ctr("start", n).succeeds()
            try f.ctr("exec", n, "true").succeeds()
        }
    }

    @Test func stateDirectoryGoneAsAfterAReboot() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            kill(try f.number("supervisor", n))
            kill(try f.pid(n))
            try f.sh("rm -rf state/\(n)").succeeds()
            #expect(until(10) { (try? f.state(n)) == "stopped" })
            try f.ctr("start", n).succeeds()
            try f.ctr("exec", n, "true").succeeds()
        }
    }

    @Test func terminateHaltsTheVPSInOrder() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--restart", "always")
            try f.ctr("exec", n, "sh", "-c", "until [ -e /proc/1/exe ]; do :; done").succeeds()
            #expect(Glibc.kill(try f.number("supervisor", n), SIGTERM) == 0)
            #expect(until(20) { (try? f.state(n)) == "stopped" })
            #expect(try f.ctr("show", n).out.contains("stopped by an operator"))
        }
    }

    /// As `ctr stop` would: what does not halt when it is asked to is killed.
    @Test func terminateEndsAnInitThatDoesNotHalt() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--init", "/stubborn", "--restart", "always").succeeds()
            try f.write(
                "root/vps/\(n)/disk/upper/stubborn",
                "#!/bin/sh\ntrap : TERM\n: > /ready\nwhile :; do sleep 0.1; done\n",
                mode: 0o755)
            try f.ctr("start", n).succeeds()
            #expect(until(10) { f.exists("root/vps/\(n)/disk/upper/ready") })
            #expect(Glibc.kill(try f.number("supervisor", n), SIGTERM) == 0)
            #expect(until(20) { (try? f.state(n)) == "stopping" })
            #expect(until(30) { (try? f.state(n)) == "stopped" })
            #expect(try f.ctr("show", n).out.contains("stopped by an operator"))
        }
    }

    /// Its descriptors, and what wakes it, are not those of an idle process if any of this grows.
    @Test func idleItWaitsInOnePoll() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            let supervisor = try f.number("supervisor", n)
            let switches = { () throws -> String in
                try f.sh("grep ^voluntary /proc/\(supervisor)/status").succeeds().line
            }
            // Its start has to be over.
            #expect(
                try until(20) {
                    let before = try switches()
                    CurrentProcess.sleep(milliseconds: 1000)
                    return try switches() == before
                })
            #expect(try f.sh("ls /proc/\(supervisor)/task | wc -l").line == "1")
        }
    }

    // MARK: console

    @Test func severalAreAttachedAtOnce() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--init", "/bin/sh")
            let one = try Pty(f, "$CTR console \(n)")
            let two = try Pty(f, "$CTR console \(n)")
            try one.expect("^] leaves")
            try two.expect("^] leaves")
            // Once it answers both are attached, or nearly: the second asks as well.
            try two.type("\r")
            try two.expect("#")
            try one.type("echo mar''ker\r")
            try one.expect("marker")
            try two.expect("marker")
            try two.type("\u{1d}")
            #expect(try two.finish() == 0)
            try one.type("echo ano''ther\r")
            try one.expect("another")
            // The end of the VPS is the end of the session.
            try one.type("exit\r")
            try one.expect("closed")
            #expect(try one.finish() == 0)
            #expect(try f.ctr("logs", n).out.contains("marker"))
        }
    }

    @Test func consoleOfOneInTheForegroundIsRefused() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            let run = try f.start("run", "--name", n, "minimal", "sh", "-c", "echo ready; sleep 1000")
            try run.awaitOutput("ready")
            let console = try f.ctr("console", n)
            #expect(console.status == 1)
            #expect(console.err.contains("foreground"), "\(console.both)")
        }
    }

    // MARK: rescue and offline

    @Test func rescueIsAShellOnItsDisk() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.ctr("exec", n, "sh", "-c", "echo kept > /root/file; rm /sbin/init").succeeds()
            try f.ctr("stop", n).succeeds()
            let broken = try f.ctr("start", n)
            #expect(broken.status == 127, "\(broken.both)")
            try f.ctr("start", "--rescue", n).succeeds()
            #expect(try f.ctr("exec", n, "cat", "/root/file").out == "kept\n")
            try f.ctr("exec", n, "ln", "-s", "../bin/busybox", "/sbin/init").succeeds()
            let refused = try f.ctr("start", n)
            #expect(refused.status == 1)
            #expect(refused.err.contains("rescue"), "\(refused.both)")
            try f.ctr("stop", n).succeeds()
            try f.ctr("start", n).succeeds()
            #expect(try f.ctr("exec", n, "cat", "/proc/1/comm").out == "init\n")
        }
    }

    @Test func offlineRunsOnTheDiskOfAStoppedOne() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--pids", "50").succeeds()
            let run = try f.ctr(
                "exec", "--offline", n, "--", "sh", "-c", "echo kept > /root/file; cat /proc/1/comm; exit 7")
            #expect(run.status == 7)
            #expect(run.out == "sh\n", "\(run.both)")
            #expect(try f.state(n) == "stopped")
            try f.ctr("start", n).succeeds()
            #expect(try f.ctr("exec", n, "cat", "/root/file").out == "kept\n")
            let refused = try f.ctr("exec", "--offline", n, "true")
            #expect(refused.status == 125)
            #expect(refused.err.contains("runs"), "\(refused.both)")
        }
    }

    // MARK: action scripts

    @Test func scriptsRunInTheirPlaces() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.sh(
                """
                d=root/vps/\(n)/scripts; mkdir $d
                printf '#!/bin/sh\\necho $CTR_ACTION $CTR_NAME >> \(f.path)/calls\\n' | tee $d/pre-start > $d/post-stop
                chmod +x $d/*
                echo 'echo $CTR_ACTION $(cat /proc/1/comm) >> /root/calls' | tee $d/start > $d/stop
                """
            ).succeeds()
            try f.ctr("start", n).succeeds()
            #expect(try f.text("calls") == "pre-start \(n)\n")
            try f.ctr("stop", n).succeeds()
            #expect(try f.text("calls") == "pre-start \(n)\npost-stop \(n)\n")
            #expect(try f.text("root/vps/\(n)/disk/upper/root/calls") == "start init\nstop init\n")
        }
    }

    @Test(arguments: ["pre-start", "start"])
    func aFailingScriptStopsTheStart(_ action: String) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.sh(
                """
                d=root/vps/\(n)/scripts; mkdir $d
                printf '#!/bin/sh\\necho no licence >&2\\nexit 3\\n' > $d/\(action); chmod +x $d/\(action)
                """
            ).succeeds()
            let run = try f.ctr("start", n)
            #expect(run.status == 1)
            #expect(run.err.contains("scripts/\(action)"), "\(run.both)")
            #expect(run.err.contains("status 3: no licence"), "\(run.both)")
            #expect(try f.state(n) == "stopped")
        }
    }

    @Test func failingScriptsOfTheEndAreReported() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.ctr("start", n).succeeds()
            try f.sh(
                """
                d=root/vps/\(n)/scripts; mkdir $d
                echo 'echo not now >&2; exit 4' > $d/stop
                printf '#!/bin/sh\\nexit 5\\n' > $d/post-stop; chmod +x $d/*
                """
            ).succeeds()
            let refused = try f.ctr("stop", n)
            #expect(refused.status == 1)
            #expect(refused.err.contains("status 4: not now"), "\(refused.both)")
            #expect(try f.state(n) == "running")
            try f.sh("rm root/vps/\(n)/scripts/stop").succeeds()
            let stopped = try f.ctr("stop", n)
            #expect(stopped.status == 1)
            #expect(stopped.err.contains("status 5"), "\(stopped.both)")
            #expect(try f.state(n) == "stopped")
        }
    }

    private func kill(_ pid: Int32) { #expect(Glibc.kill(pid, SIGKILL) == 0) }
}
