import Glibc
import Testing

/// Who comes in, or is inside, while a VPS is written down.
@Suite(.serialized, .enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"))
struct SuspendInsideTests {
    /// A VPS in which a file is open, and a criu that waits for `go` when all of it stands still.
    private func held(_ f: Fixture, step: String = "post-dump") throws -> String {
        let n = try f.counter("--disk", "none", "--net", "none")
        try f.ctr(
            "exec", n, "--", "sh", "-c",
            "echo held > /held; setsid sh -c 'exec 5</held; : > /open; sleep 1000' </dev/null >/dev/null 2>&1 & until [ -e /open ]; do sleep 0.05; done"
        ).succeeds()
        try f.wrapCRIU(atTheEnd: "touch \(f.path)/stands; until [ -e \(f.path)/go ]; do sleep 0.05; done", step: step)
        return n
    }

    private func standing(_ f: Fixture, _ words: String...) throws -> RunningProgram {
        let run = try f.start(f.program, words)
        #expect(until(20) { f.exists("stands") })
        return run
    }

    /// They wait, and nothing of what they would do is done: its memory would not know of it.
    @Test func nobodyComesInMeanwhile() throws {
        try Fixture.withServers { (f) throws in
            let n = try held(f)
            let suspend = try standing(f, "suspend", n)
            try f.write("new", "a longer file")
            let exec = try f.start("exec", n, "--", "rm", "/held")
            let copy = try f.start("cp", "\(f.path)/new", "\(n):/held")
            usleep(500_000)
            try f.write("go", "")
            try suspend.wait().succeeds()
            try exec.wait().fails(125, words: "suspended (ctr resume \(n))")
            try copy.wait().fails(1, words: "suspended")
            try f.ctr("resume", n).succeeds()
            #expect(try f.ctr("exec", n, "--", "cat", "/held").succeeds().line == "held")
            try f.ctr("cp", "\(f.path)/new", "\(n):/held").succeeds()
            try f.ctr("exec", n, "--", "rm", "/held").succeeds()
        }
    }

    /// They go on in one that does, and are told to come again where it takes too long.
    @Test func theyWait() throws {
        try Fixture.withServers { (f) throws in
            let n = try held(f)
            let suspend = try standing(f, "suspend", "--keep-running", n)
            let late = try f.start("exec", n, "--", "cat", "/held")
            try late.wait().fails(125, words: "VPS \(n)", "being written down", "try again")
            let exec = try f.start("exec", n, "--", "cat", "/held")
            let givenUp = try f.start("exec", n, "--", "touch", "/given")
            usleep(300_000)
            try givenUp.signal(SIGTERM)
            _ = try givenUp.wait()
            try f.write("go", "")
            try suspend.wait().succeeds()
            #expect(try exec.wait().succeeds().line == "held")
            try f.ctr("exec", n, "--", "test", "!", "-e", "/given").succeeds()
        }
    }

    /// The verb's killed, and its criu goes on.
    @Test func neitherWhenTheVerbIsKilled() throws {
        try Fixture.withServers { (f) throws in
            let n = try held(f)
            let suspend = try standing(f, "suspend", n)
            try suspend.signal(SIGKILL)
            _ = try suspend.wait()
            let exec = try f.start("exec", n, "--", "rm", "/held")
            usleep(500_000)
            try f.write("go", "")
            try exec.wait().fails(125)
            #expect(until(10) { (try? f.state(n)) == "suspended" })
            try f.ctr("resume", n).succeeds()
            #expect(try f.ctr("exec", n, "--", "cat", "/held").succeeds().line == "held")
        }
    }

    /// A copy is no process inside; short ones are waited for.
    @Test func whoeverIsInside() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none", "--net", "none")
            let copy = try f.startScript(
                "(until [ -e gate ]; do sleep 0.05; done; tar -c config.json) | $CTR cp - \(n):/root")
            #expect(until(20) { (try? f.sh("flock -n state/\(n)/inside true").status) == 1 })
            try f.ctr("suspend", n).fails(75, words: "suspend \(n)", "cp - \(n):/root' (process", "is at work in it")
            try f.write("gate", "")
            try copy.wait().succeeds()
            let short = try f.start("exec", n, "--", "sh", "-c", "echo in; exec sleep 0.3")
            try short.awaitOutput("in")
            try f.ctr("suspend", n).succeeds()
            try short.wait().succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    /// criu tries the kernel out with copies of itself that stop. Where it is killed over that they have its locks.
    @Test func copiesOfAKilledOne() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none", "--net", "none")
            let copy = """
                (exec 8<root/vps/\(n) 9>>state/\(n)/inside; flock 8; flock 9
                setsid bash -c 'kill -STOP $$; :' dump "$CTR_ROOT/vps/\(n)/log" </dev/null >/dev/null 2>&1 &)
                until grep -q '^State:.T' /proc/$(pgrep -f "dump $CTR_ROOT/vps/\(n)/log")/status; do sleep 0.1; done
                """
            try f.sh(copy).succeeds()
            try f.ctr("exec", n, "--", "true").succeeds()
            try f.sh(copy).succeeds()
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    /// An operator whose host has no room left comes in all the same, and nothing is written down then.
    @Test func withoutRoomForTheLock() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none", "--net", "none")
            try f.sh("rm -f state/\(n)/inside; mkdir state/\(n)/inside").succeeds()
            try f.ctr("exec", n, "--", "true").succeeds()
            try f.ctr("suspend", n).fails(73, words: "lock of VPS \(n)")
            try f.goesOn(n)
            try f.sh("rmdir state/\(n)/inside").succeeds()
            try f.ctr("suspend", n).succeeds()
        }
    }

    /// The supervisor that puts away what was suspended is not taken for one that is to give up.
    @Test func resumedWhileItIsPutAway() throws {
        try Fixture.withServers { (f) throws in
            let n = try held(f)
            let suspend = try standing(f, "suspend", n)
            let supervisor = try #require(
                f.processes().first { f.commandLine($0).contains("supervise") && f.commandLine($0).contains("exe") })
            kill(supervisor, SIGSTOP)
            try f.write("go", "")
            #expect(until(20) { f.exists("root/vps/\(n)/checkpoint") })
            try suspend.signal(SIGKILL)
            _ = try suspend.wait()
            let resume = try f.start("resume", n)
            usleep(500_000)
            kill(supervisor, SIGCONT)
            try resume.wait().succeeds()
            let events = try f.ctr("events").out
            #expect(!events.contains("stopped") && !f.exists("root/vps/\(n)/last.json"), "\(events)")
            #expect(try f.ctr("exec", n, "--", "cat", "/held").succeeds().line == "held")
        }
    }

    /// Paths longer than the kernel takes: its disk is looked at all the same.
    @Test func itsDiskIsVeryDeep() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none", "--net", "none")
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                "cd /root; d=$(head -c 200 /dev/zero | tr '\\0' d); for i in $(seq 60); do mkdir $d $d-b && cd -P $d || exit; done; echo x > file"
            ).succeeds()
            try f.ctr("suspend", n).succeeds()
            #expect(f.exists("root/vps/\(n)/checkpoint.disk"))
            try f.sh("cd root/vps/\(n)/disk/upper/root; for i in $(seq 60); do cd -P d*d; done; echo y >> file")
                .succeeds()
            try f.ctr("resume", n).fails(1, words: "its disk was changed")
            try f.ctr("resume", "--discard", n).succeeds()
        }
    }
}
