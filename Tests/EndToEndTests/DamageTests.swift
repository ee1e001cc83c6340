import Kernel
import Testing

/// What is broken or not ours must neither be lost nor keep an operator from the rest.
@Suite struct DamageTests {
    @Test func oneDamagedVPSHindersNoOther() throws {
        try Fixture.withServers { (f) throws in
            let (bad, good) = (f.name("bad"), f.name("good"))
            for name in [bad, good] { try f.ctr("create", name, "--template", "minimal", "--onboot").succeeds() }
            try f.sh("echo '{' > root/vps/\(bad)/config.json").succeeds()
            let list = try f.ctr("list").succeeds()
            #expect(list.out.contains(good) && !list.out.contains(bad))
            #expect(list.err.contains("\(bad)") && list.err.contains("damaged"), "\(list.both)")
            #expect(try f.ctr("start", "--onboot").succeeds().lines == [good])
            #expect(try f.ctr("stop", "--all").succeeds().lines == [good])
            try f.ctr("host", "recover").succeeds()
            #expect(try f.ctr("destroy", bad).status == 78)
            try f.ctr("destroy", "--force", bad).succeeds()
            #expect(!f.exists("root/vps/\(bad)"))
        }
    }

    @Test func directoriesOfOthersAreLeftAlone() throws {
        try Fixture.with { (f) throws in
            try f.sh("mkdir -p root/vps/backup; echo precious > root/vps/backup/file").succeeds()
            let list = try f.ctr("list").succeeds()
            #expect(list.err.contains("left alone"), "\(list.both)")
            try f.ctr("host", "recover").succeeds()
            #expect(try f.text("root/vps/backup/file") == "precious\n")
            try f.ctr("destroy", "--force", "backup").succeeds()
        }
    }

    @Test func aDiskWhoseConfigurationIsLostStays() throws {
        try Fixture.with { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.ctr("exec", "--offline", n, "--", "sh", "-c", "echo precious > /root/file").succeeds()
            try f.sh("rm root/vps/\(n)/config.json").succeeds()
            try f.ctr("list").succeeds()
            try f.ctr("host", "recover").succeeds()
            #expect(try f.text("root/vps/\(n)/disk/upper/root/file") == "precious\n")
            #expect(try f.ctr("destroy", n).err.contains("--force"))
            try f.ctr("destroy", "--force", n).succeeds()
        }
    }

    /// As if `destroy` had been killed after its first step.
    @Test func whatWasBeingDestroyedGoes() throws {
        try Fixture.with { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.ctr("exec", "--offline", n, "--", "sh", "-c", "echo > /root/file").succeeds()
            try f.sh("cd root/vps/\(n) && mv config.json .destroyed.json").succeeds()
            #expect(try f.ctr("list").succeeds().err == "")
            #expect(!f.exists("root/vps/\(n)"))
        }
    }

    /// Until its root is its own, its process's root is the host's.
    @Test func nobodyEntersBeforeTheRootIsItsOwn() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            let start = try f.startScript(
                "exec strace -f -qq -o /dev/null -e trace=pivot_root -e inject=pivot_root:delay_enter=2000000 $CTR start \(n)"
            )
            var seen: [String] = []
            until(30) {
                guard let run = try? f.ctr("exec", n, "cat", "/proc/sys/kernel/hostname") else { return false }
                if run.status == 0 { seen.append(run.line) }
                return run.status == 0
            }
            #expect(seen == [n])
            try f.ctr("kill", n).succeeds()
            try start.wait()
        }
    }

    @Test func aStartThatFailsAgainLeavesNothingRunning() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.sh("d=root/vps/\(n)/scripts; mkdir $d; echo 'exit 3' > $d/start").succeeds()
            try f.ctr("exec", n, "reboot", "-f")
            #expect(until(20) { (try? f.state(n)) == "stopped" })
            #expect(try f.ctr("logs", n).out.contains("start again"))
        }
    }

    @Test func aScriptCantBeChangedFromInside() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--userns", "host").succeeds()
            try f.sh("d=root/vps/\(n)/scripts; mkdir $d; echo 'echo changed >> /proc/self/fd/0' > $d/start").succeeds()
            try f.ctr("start", n)
            #expect(try f.text("root/vps/\(n)/scripts/start") == "echo changed >> /proc/self/fd/0\n")
        }
    }

    @Test func killedStartsSupervisorGoesOn() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.sh(
                "d=root/vps/\(n)/scripts; mkdir $d; printf '#!/bin/sh\nsleep 2\n' > $d/pre-start; chmod +x $d/pre-start"
            ).succeeds()
            let start = try f.start("start", n)
            #expect(until(10) { f.exists("state/\(n)/state.json") })
            try start.signal(Signal.kill)
            try start.wait()
            #expect(until(20) { (try? f.state(n)) == "running" })
            // Its supervisor is there, and no other had to come.
            #expect(!(try f.ctr("events", n).out.contains("supervisorLost")))
        }
    }

    @Test func aLogThatIsRemovedEndsNoSupervisor() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--init", "/bin/sh").succeeds()
            try f.ctr("start", n).succeeds()
            let supervisor = try f.number("supervisor", n)
            try f.sh("rm root/vps/\(n)/log/console.log").succeeds()
            try f.ctr("exec", n, "sh", "-c", "head -c 5242880 /dev/zero > /dev/console").succeeds()
            try f.ctr("exec", n, "sh", "-c", "echo the last words > /dev/console").succeeds()
            #expect(until(10) { (try? f.ctr("logs", n).out.contains("the last words")) == true })
            #expect(try f.number("supervisor", n) == supervisor)
            #expect(try !f.ctr("events", n).out.contains("supervisorLost"))
        }
    }

    @Test func setTakesBackWhatItHadSet() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--memory", "200M")
            let run = try f.ctr("set", n, "--memory", "64M", "--ulimit", "nofile=2000000000")
            #expect(run.status == 69, "\(run.both)")
            #expect(try f.ctr("stats", n).out.contains("200M"))
        }
    }

    @Test func pausedWithAStopScriptStops() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.sh("d=root/vps/\(n)/scripts; mkdir $d; echo 'echo > /root/stopped' > $d/stop").succeeds()
            try f.ctr("pause", n).succeeds()
            try f.ctr("stop", n).succeeds()
            #expect(f.exists("root/vps/\(n)/disk/upper/root/stopped"))
        }
    }
}
