import Kernel
import Testing

/// The life of a VPS that is kept: create, start, stop, restart, pause, rename, destroy.
@Suite struct ServerTests {
    // MARK: create

    @Test func createdStartedStoppedDestroyed() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            #expect(try f.ctr("create", n, "--template", "minimal", "--disk", "none").succeeds().out == "\(n)\n")
            #expect(try f.state(n) == "stopped")
            #expect(try f.ctr("start", n).succeeds().out == "\(n)\n")
            #expect(try f.state(n) == "running")
            #expect(try f.ctr("exec", n, "cat", "/proc/1/comm").succeeds().out == "init\n")
            try f.ctr("exec", n, "sh", "-c", "echo kept > /root/file").succeeds()
            try f.ctr("stop", n).succeeds()
            #expect(try f.state(n) == "stopped")
            try f.ctr("start", n).succeeds()
            #expect(try f.ctr("exec", n, "cat", "/root/file").succeeds().out == "kept\n")
            let refused = try f.ctr("destroy", n)
            #expect(refused.status == 1)
            #expect(refused.err.contains("running"), "\(refused.both)")
            try f.ctr("stop", n).succeeds()
            try f.ctr("destroy", n).succeeds()
            #expect(try f.ctr("show", n).status == 66)
        }
    }

    @Test func startAndStopAreIdempotentAndSaySo() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            let again = try f.ctr("start", n)
            #expect(again.status == 0)
            #expect(again.err.contains("runs already"), "\(again.both)")
            let json = try f.ctr("--json", "start", n).succeeds().out
            #expect(json.contains("\"unchanged\""), "\(json)")
            try f.ctr("stop", n).succeeds()
            let stopped = try f.ctr("stop", n)
            #expect(stopped.status == 0)
            #expect(stopped.err.contains("stopped already"), "\(stopped.both)")
        }
    }

    @Test func secondCreateOfANameChangesNothing() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--description", "first").succeeds()
            let second = try f.ctr("create", n, "--template", "minimal", "--description", "second")
            #expect(second.status == 73)
            #expect(second.err.contains("exists already"), "\(second.both)")
            #expect(try f.ctr("show", n).succeeds().out.contains("first"))
        }
    }

    @Test(arguments: [
        (["--seccomp", "/no/such"], 65), (["--cap-add", "CAP_NONE"], 64), (["--device", "/dev/none"], 64),
        (["--memory", "0"], 64), (["--restart", "often"], 64),
    ])
    func whatAStartWouldRefuseIsRefusedBefore(_ options: [String], _ status: Int) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            let run = try f.start(f.program, ["create", n, "--template", "minimal"] + options).wait()
            #expect(run.status == Int32(status), "\(run.both)")
            #expect(try f.ctr("show", n).status == 66)
        }
    }

    @Test func unknownNamesAre66() throws {
        try Fixture.withServers { (f) throws in
            for verb in ["start", "stop", "restart", "pause", "unpause", "destroy", "kill", "console"] {
                let run = try f.ctr(verb, f.name("none"))
                #expect(run.status == 66, "\(verb): \(run.both)")
            }
            #expect(try f.ctr("rename", f.name("none"), f.name("other")).status == 66)
            #expect(try f.ctr("create", f.name(), "--template", "none").status == 66)
        }
    }

    @Test func severalAtOnceAreEachReported() throws {
        try Fixture.withServers { (f) throws in
            let names = ["a", "b", "c"].map(f.name)
            for name in names { try f.ctr("create", name, "--template", "minimal").succeeds() }
            let started = try f.start(f.program, ["start"] + names + [f.name("none")]).wait()
            #expect(started.status == 66)
            #expect(Set(started.lines) == Set(names))
            #expect(started.err.contains(f.name("none")), "\(started.both)")
            for name in names { #expect(try f.state(name) == "running") }
            let stopped = try f.ctr("--json", "stop", "--all").succeeds().out
            for name in names {
                #expect(stopped.contains(name))
                #expect(try f.state(name) == "stopped")
            }
        }
    }

    @Test func onlyWhatIsMarkedStartsOnBoot() throws {
        try Fixture.withServers { (f) throws in
            let (first, second, not) = (f.name("first"), f.name("second"), f.name("not"))
            try f.ctr("create", second, "--template", "minimal", "--onboot").succeeds()
            try f.ctr("create", first, "--template", "minimal", "--onboot", "--boot-priority", "5").succeeds()
            try f.ctr("create", not, "--template", "minimal").succeeds()
            let run = try f.ctr("start", "--onboot").succeeds()
            #expect(run.lines == [first, second])
            #expect(try f.state(not) == "stopped")
        }
    }

    @Test func protectedIsNotDestroyed() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal", "--protect").succeeds()
            let run = try f.ctr("destroy", "--force", n)
            #expect(run.status == 1)
            #expect(run.err.contains("--no-protect"), "\(run.both)")
            #expect(try f.state(n) == "stopped")
            try f.ctr("set", n, "--no-protect").succeeds()
            try f.ctr("destroy", n).succeeds()
        }
    }

    // MARK: names

    @Test func renameKeepsTheDiskAndMovesTheHostName() throws {
        try Fixture.withServers { (f) throws in
            let (old, new) = (try f.server(), f.name("new"))
            try f.ctr("exec", old, "sh", "-c", "echo kept > /root/file").succeeds()
            let ids = try f.text("root/vps/\(old)/config.json").firstMatch(of: /"base":(\d+)/)?.1
            #expect(try f.ctr("rename", old, new).err.contains("running"))
            try f.ctr("stop", old).succeeds()
            #expect(try f.ctr("rename", old, new).succeeds().out == "\(new)\n")
            #expect(try f.ctr("show", old).status == 66)
            try f.ctr("start", new).succeeds()
            #expect(try f.ctr("exec", new, "cat", "/root/file", "/proc/sys/kernel/hostname").out == "kept\n\(new)\n")
            #expect(try f.text("root/vps/\(new)/config.json").firstMatch(of: /"base":(\d+)/)?.1 == ids)
        }
    }

    @Test func renameToATakenNameChangesNothing() throws {
        try Fixture.withServers { (f) throws in
            let (a, b) = (f.name("a"), f.name("b"))
            for name in [a, b] { try f.ctr("create", name, "--template", "minimal").succeeds() }
            let run = try f.ctr("rename", a, b)
            #expect(run.status == 73)
            #expect(try f.state(a) == "stopped")
            #expect(try f.state(b) == "stopped")
        }
    }

    /// As if `rename` had been killed after rename(2).
    @Test func aHalfDoneRenameIsReadRightly() throws {
        try Fixture.withServers { (f) throws in
            let (old, new) = (f.name("old"), f.name("new"))
            try f.ctr("create", old, "--template", "minimal").succeeds()
            try f.sh("mv root/vps/\(old) root/vps/\(new)").succeeds()
            try f.ctr("start", new).succeeds()
            #expect(try f.ctr("exec", new, "hostname").out == "\(new)\n")
            #expect(try f.ctr("show", old).status == 66)
            // The ids of the old name.
            try f.ctr("host", "recover").succeeds()
        }
    }

    // MARK: pause

    @Test func pausedStandsStillAndGoesOn() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.ctr(
                "exec", n, "sh", "-c", "(while :; do echo; sleep 0.02; done > /root/ticks) > /dev/null 2>&1 &"
            ).succeeds()
            let ticks = { try f.sh("wc -l < root/vps/\(n)/disk/upper/root/ticks").line }
            until(10) { (try? ticks()) != nil && (try? ticks()) != "0" }
            try f.ctr("pause", n).succeeds()
            #expect(try f.state(n) == "paused")
            let before = try ticks()
            CurrentProcess.sleep(milliseconds: 300)
            #expect(try ticks() == before)
            let exec = try f.ctr("exec", n, "true")
            #expect(exec.status == 125)
            #expect(exec.err.contains("paused"), "\(exec.both)")
            #expect(try f.ctr("pause", n).err.contains("paused already"))
            try f.ctr("unpause", n).succeeds()
            #expect(until(10) { (try? ticks()) != before })
            #expect(try f.ctr("unpause", n).err.contains("not paused"))
        }
    }

    @Test(arguments: [["stop"], ["restart"], ["kill"], ["destroy", "--force"]])
    func pausedCanBeEnded(_ verb: [String]) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.ctr("pause", n).succeeds()
            let run = try f.start(f.program, verb + [n]).wait(20)
            #expect(run.status == 0, "\(run.both)")
        }
    }

    /// As if `pause` had been killed before it froze anything.
    @Test func aHalfDonePauseIsTakenBack() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.sh("sed -i 's/\"status\":\"running\"/\"status\":\"paused\"/' state/\(n)/state.json").succeeds()
            #expect(try f.state(n) == "running")
            try f.ctr("exec", n, "true").succeeds()
        }
    }

    // MARK: the end

    @Test func rebootInsideStartsItAgain() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            let before = try f.pid(n)
            try f.ctr("exec", n, "reboot").succeeds()
            #expect(until(20) { ![0, before].contains((try? f.pid(n)) ?? 0) && (try? f.state(n)) == "running" })
            #expect(try f.ctr("exec", n, "echo", "back").out == "back\n")
            #expect(try f.ctr("show", n).out.contains("rebooted from inside"))
        }
    }

    @Test func poweroffInsideLeavesItStopped() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--restart", "always")
            try f.ctr("exec", n, "poweroff").succeeds()
            #expect(until(20) { (try? f.state(n)) == "stopped" })
            #expect(try f.ctr("show", n).out.contains("halted from inside"))
        }
    }

    @Test func restartPolicyStartsWhatFailed() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server(
                "--restart", "on-failure", "--init",
                "/bin/sh -c sleep${IFS}0.2;test${IFS}-e${IFS}/root/two||exit${IFS}3"
            )
            // Once it has failed, it is given what it wants, and ends well.
            #expect(until(20) { (try? f.ctr("show", n).out.contains("status 3")) == true })
            try f.sh("mkdir -p root/vps/\(n)/disk/upper/root; : > root/vps/\(n)/disk/upper/root/two").succeeds()
            #expect(until(20) { (try? f.state(n)) == "stopped" })
            #expect(try f.ctr("show", n).out.contains("status 0"))
        }
    }

    @Test func stopEndsTheWaitForARestart() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--restart", "always", "--init", "/bin/false")
            #expect(until(20) { (try? f.state(n)) == "restarting" })
            try f.ctr("stop", n).succeeds()
            #expect(try f.state(n) == "stopped")
        }
    }

    @Test func operatorsEndIsForGood() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--restart", "always")
            try f.ctr("kill", n).succeeds()
            #expect(try f.state(n) == "stopped")
            #expect(try f.ctr("show", n).out.contains("stopped by an operator"))
        }
    }
}

extension Fixture {
    /// A VPS of `minimal` that runs its init, made with these options.
    func server(_ options: String..., name word: String = "a") throws -> String {
        let n = name(word)
        try start(program, ["create", n, "--template", "minimal"] + options).wait().succeeds()
        try ctr("start", n).succeeds()
        return n
    }

    /// As `ctr list` names it; nil if it is not there.
    func state(_ name: String) throws -> String? {
        for line in try ctr("list").succeeds().lines {
            let words = line.split(separator: " ")
            if words.count > 1, words[0] == name { return String(words[1]) }
        }
        return nil
    }

    func pid(_ name: String) throws -> Int32 { try number("pid", name) }

    /// A number of state.json.
    func number(_ key: String, _ name: String) throws -> Int32 {
        let text = try text("state/\(name)/state.json")
        for part in text.split(separator: ",") where part.contains("\"\(key)\":") {
            return Int32(part.split(separator: ":").last.map { $0.filter(\.isNumber) } ?? "") ?? 0
        }
        return 0
    }
}
