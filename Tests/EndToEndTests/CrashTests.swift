import Kernel
import Testing

/// Ends that nobody planned: kill -9 of ctr, of a supervisor, of init. The next verb, whichever it is, removes what was
/// left (the fixture's own end check holds the host against it).
@Suite(.serialized) struct CrashTests {
    /// What `ctr list` has to have put right.
    private func expectClean(_ f: Fixture, _ what: String, at location: SourceLocation = #_sourceLocation) throws {
        try f.ctr("list", at: location).succeeds(at: location)
        let left = try f.leftovers()
        #expect(left.isEmpty, "\(what): \(left)", sourceLocation: location)
    }

    /// From before its first step to after its last.
    @Test(.timeLimit(.minutes(2)), arguments: [["--pids", "100"], ["--userns", "host"], ["--keep"]])
    func killedAtAnyMoment(_ options: [String]) throws {
        try Fixture.with { (f) throws in
            for round in 0..<20 {
                let name = f.name("\(round)")
                let run = try f.start(
                    f.program, ["run"] + options + ["--name", name, "minimal", "sh", "-c", "sleep 0.02"])
                CurrentProcess.sleep(milliseconds: Int.random(in: 0...60))
                try? run.signal(Signal.kill)
                try run.wait()
                if options == ["--keep"] {
                    // Either it is there, as a stopped or running VPS that can be destroyed, or it never was.
                    try f.ctr("list").succeeds()
                    let gone = try f.ctr("destroy", "--force", name)
                    #expect(gone.status == 0 || gone.status == 66, "round \(round): \(gone.both)")
                }
                try expectClean(f, "round \(round)")
            }
        }
    }

    @Test func killedWhileItRuns() throws {
        try Fixture.with { (f) throws in
            let run = try f.start(
                "run", "--name", f.name(), "minimal", "sh", "-c", "sleep 1000 & sleep 1000 & echo ready; wait")
            try run.awaitOutput("ready")
            try run.signal(Signal.kill)
            try run.wait()
            // An ephemeral VPS in the foreground ends with its ctr, by itself.
            #expect(until(10) { f.processes().isEmpty }, "\(f.processes().map { f.commandLine($0) })")
            try expectClean(f, "killed while it ran")
        }
    }

    /// A first process that has changed its user loses the signal that it would get at its parent's death.
    @Test func killedWhileAnotherUserRuns() throws {
        try Fixture.with { (f) throws in
            let run = try f.start(
                "run", "--name", f.name(), "minimal", "sh", "-c",
                "echo ready; exec setpriv --nnp sleep 1000 || exec sleep 1000")
            try run.awaitOutput("ready")
            try run.signal(Signal.kill)
            try run.wait()
            try expectClean(f, "killed")
        }
    }

    @Test func supervisorOfADetachedOne() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "-d", "--name", f.name(), "minimal", "sh", "-c", "echo ready; exec sleep 1000").succeeds()
            let supervisor = try f.supervisorPid(f.name())
            try ProcessHandle(pid: supervisor).signal(Signal.kill)
            #expect(until(10) { !f.exists("/proc/\(supervisor)/ns/pid") })
            try expectClean(f, "supervisor killed")
        }
    }

    /// The VPS lives on; the next verb notices and takes over.
    @Test func supervisorOfAKeptOne() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "-d", "--keep", "--name", f.name(), "minimal", "sh", "-c", "echo ready; exec sleep 1000")
                .succeeds()
            let supervisor = try f.supervisorPid(f.name())
            try ProcessHandle(pid: supervisor).signal(Signal.kill)
            #expect(until(10) { !f.exists("/proc/\(supervisor)/ns/pid") })
            #expect(try f.ctr("list").out.contains("running"))
            try f.ctr("exec", f.name(), "--", "true").succeeds()
            try f.ctr("stop", f.name(), "--timeout", "1").succeeds()
            #expect(try f.ctr("list").out.contains("stopped"))
            try f.ctr("destroy", f.name()).succeeds()
            try expectClean(f, "destroyed")
        }
    }

    @Test func initKilledByTheHost() throws {
        try Fixture.with { (f) throws in
            let run = try f.start("run", "--name", f.name(), "minimal", "sh", "-c", "sleep 1000 & echo ready; wait")
            try run.awaitOutput("ready")
            try ProcessHandle(pid: f.initPid(f.name())).signal(Signal.kill)
            #expect(try run.wait(10).status == 137)
            // Without a further verb: ctr itself has cleaned up.
            #expect(try f.leftovers() == [])

            try f.ctr("run", "-d", "--name", f.name(), "minimal", "sleep", "1000").succeeds()
            try ProcessHandle(pid: f.initPid(f.name())).signal(Signal.kill)
            #expect(until(10) { (try? f.leftovers().isEmpty) == true }, "\(f.left)")

            try f.ctr("run", "-d", "--keep", "--name", f.name(), "minimal", "sleep", "1000").succeeds()
            try ProcessHandle(pid: f.initPid(f.name())).signal(Signal.kill)
            #expect(try until(10) { try f.ctr("list").out.contains("stopped") })
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    /// Both at once, supervisor first.
    @Test func supervisorAndInit() throws {
        try Fixture.with { (f) throws in
            for options in [["--keep"], []] {
                try f.start(f.program, ["run", "-d"] + options + ["--name", f.name(), "minimal", "sleep", "1000"])
                    .wait().succeeds()
                let (first, supervisor) = (try f.initPid(f.name()), try f.supervisorPid(f.name()))
                try ProcessHandle(pid: supervisor).signal(Signal.kill)
                try? ProcessHandle(pid: first).signal(Signal.kill)
                #expect(until(10) { !f.exists("/proc/\(supervisor)/ns/pid") })
                try f.ctr("list").succeeds()
                if !options.isEmpty {
                    #expect(try until(10) { try f.ctr("list").out.contains("stopped") })
                    try f.ctr("destroy", f.name()).succeeds()
                }
                try expectClean(f, "\(options)")
            }
        }
    }

    @Test func nameIsFreeAfterACrash() throws {
        try Fixture.with { (f) throws in
            let run = try f.start("run", "--name", f.name(), "minimal", "sh", "-c", "echo ready; exec sleep 1000")
            try run.awaitOutput("ready")
            try run.signal(Signal.kill)
            try run.wait()
            // No other verb between.
            try f.ctr("run", "--name", f.name(), "minimal", "true").succeeds()
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func destroyKilledAtAnyMoment() throws {
        try Fixture.with { (f) throws in
            for round in 0..<10 {
                let name = f.name("\(round)")
                try f.ctr(
                    "run", "--keep", "--name", name, "minimal", "sh", "-c",
                    "for i in $(seq 200); do mkdir -p /d$i/e; done"
                ).succeeds()
                let destroy = try f.start("destroy", name)
                CurrentProcess.sleep(milliseconds: Int.random(in: 0...20))
                try? destroy.signal(Signal.kill)
                try destroy.wait()
                let again = try f.ctr("destroy", name)
                #expect(again.status == 0 || again.status == 66, "\(again.both)")
                try expectClean(f, "round \(round)")
            }
        }
    }

    /// After the machine's restart the state directory is empty: what was ephemeral goes, what was kept is stopped.
    @Test func afterARestartOfTheMachine() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "--keep", "--name", f.name("kept"), "minimal", "touch", "/mine").succeeds()
            let run = try f.start("run", "--name", f.name("gone"), "minimal", "sh", "-c", "echo ready; exec sleep 1000")
            try run.awaitOutput("ready")
            try run.signal(Signal.kill)
            try run.wait()
            #expect(until(10) { f.processes().isEmpty })
            try f.sh("rm -rf state").succeeds()
            let list = try f.ctr("list").succeeds()
            #expect(list.out.contains(f.name("kept")) && list.out.contains("stopped"))
            #expect(!list.out.contains(f.name("gone")))
            try f.ctr("destroy", f.name("kept")).succeeds()
            try expectClean(f, "after the restart")
        }
    }
}
