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
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--memory", "200M").succeeds()
            try f.sh("prlimit --memlock=1048576:1048576 $CTR start \(n)").succeeds()
            // Without that capability nobody can lift a hard limit.
            let run = try f.sh(
                "setpriv --bounding-set=-sys_resource -- $CTR set \(n) --memory 64M --ulimit memlock=2097152")
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

    /// As by `rm -r`, or a /run that something cleaned: of the directory, or of what is in it; with or without its supervisor.
    @Test(arguments: ["state/NAME", "state/NAME/*"], [true, false])
    func aLivingVPSWhoseStateIsLostIsNotTakenForStopped(_ path: String, _ supervised: Bool) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            let pid = try f.pid(n)
            if !supervised {
                let supervisor = try f.supervisorPid(n)
                try ProcessHandle(pid: supervisor).signal(Signal.kill)
                #expect(until(10) { !f.exists("/proc/\(supervisor)/ns/pid") })
            }
            try f.sh("rm -r \(path.replacing("NAME", with: n))").succeeds()
            #expect(try f.state(n) == "lost")
            for words in [
                ["start", n], ["destroy", n], ["exec", n, "true"], ["rename", n, f.name("b")],
                ["exec", "--offline", n, "true"], ["cp", "\(n):/etc/passwd", "passwd"],
            ] {
                let run = try f.start(f.program, words).wait()
                #expect(run.status != 0 && run.err.contains("ctr stop \(n)"), "\(words): \(run.both)")
            }
            try f.ctr("host", "recover").succeeds()
            #expect(f.exists("/proc/\(pid)/ns/pid"))
            // In order: its init is asked.
            try f.ctr("stop", n).succeeds()
            #expect(until(10) { !f.exists("/proc/\(pid)/ns/pid") })
            #expect(try f.state(n) == "stopped")
            try f.ctr("start", n).succeeds()
            try f.sh("rm -r \(path.replacing("NAME", with: n))").succeeds()
            try f.ctr("kill", n).succeeds()
            #expect(try f.state(n) == "stopped")
            try f.ctr("start", n).succeeds()
            try f.ctr("exec", n, "true").succeeds()
            try f.sh("rm -r \(path.replacing("NAME", with: n))").succeeds()
            try f.ctr("destroy", "--force", n).succeeds()
        }
    }

    @Test func anEphemeralOneWhoseStateIsLostGoesOn() throws {
        try Fixture.with { (f) throws in
            let n = f.name()
            let run = try f.startScript("exec $CTR run --name \(n) minimal sleep 12")
            #expect(until(10) { f.exists("state/\(n)/state.json") })
            try f.sh("rm -r state/\(n)").succeeds()
            try f.ctr("list").succeeds()
            try f.ctr("host", "recover").succeeds()
            #expect(!run.hasEnded)
            try run.wait().succeeds()
        }
    }

    /// What is in state.json is wrong, by whatever fault: nothing runs in the host's root for it.
    @Test func theHostsRootIsNeverEntered() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--userns", "host")
            let (pid, time) = (try f.pid(n), try f.text("/proc/\(f.pid(n))/stat").split(separator: " ")[21])
            let other = try f.startScript("exec unshare -m -u -i -p -n -C --fork --kill-child sleep 1000")
            #expect(until(10) { f.processes(named: "sleep 1000").count == 2 })
            let sleep = try #require(f.processes(named: "sleep 1000").first { f.commandLine($0).hasPrefix("sleep") })
            let start = try f.text("/proc/\(sleep)/stat").split(separator: " ")[21]
            try f.sh(
                """
                cp state/\(n)/state.json kept
                sed -i -e 's/"pid":\(pid)/"pid":\(sleep)/' -e 's/"startTime":\(time)/"startTime":\(start)/' state/\(n)/state.json
                """
            ).succeeds()
            #expect(try f.pid(n) == sleep)
            try f.ctr("exec", n, "touch", "\(f.path)/entered").fails(125, words: "host's root")
            try f.ctr("exec", "-u", "root", n, "touch", "\(f.path)/entered").fails(125, words: "host's root")
            #expect(!f.exists("entered"))
            try f.write("file", "")
            try f.ctr("cp", "file", "\(n):\(f.path)/entered").fails(74, words: "host's root")
            #expect(!f.exists("entered"))
            try f.sh("cp kept state/\(n)/state.json").succeeds()
            try other.signal(Signal.kill)
            try other.wait()
            try f.ctr("exec", n, "true").succeeds()
        }
    }

    /// Between ctr's word to go on and the exec.
    @Test func aFirstProcessThatIsKilledBeforeItsExecIsAFailedStart() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--init", "/guest-init").succeeds()
            try f.write("root/vps/\(n)/disk/upper/guest-init", "#!/bin/sh\nexec sleep 1000\n", mode: 0o755)
            let start = try f.startScript(
                "exec strace -f -qq -o /dev/null -P /guest-init -e trace=execve -e inject=execve:signal=KILL $CTR start \(n)"
            )
            try start.wait().fails(1, words: "killed before it executed")
            #expect(try f.state(n) == "stopped")
            try f.ctr("start", n).succeeds()
            try f.ctr("exec", n, "true").succeeds()
            let run = try f.startScript(
                """
                exec strace -f -qq -o /dev/null -P /bin/busybox -e trace=execve -e inject=execve:signal=KILL \
                  $CTR run -d --name $N-b minimal /bin/busybox sleep 1000
                """)
            // strace itself may say something too.
            let end = try run.wait()
            #expect(end.status == 125 && end.err.contains("killed before it executed"), "\(end.both)")
            #expect(try f.ctr("-q", "list").succeeds().lines == [n])
        }
    }
}
