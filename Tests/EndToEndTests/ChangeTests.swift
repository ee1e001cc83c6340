import Testing

/// `ctr set` on a VPS that runs, limits that are met, and what is written down of it.
@Suite struct ChangeTests {
    @Test func limitsActAtOnceAndAreKept() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--memory", "64M")
            try f.ctr("set", n, "--memory", "96M", "--pids", "40", "--cpus", "0.5", "--label", "tier=web").succeeds()
            let show = try f.ctr("show", n).succeeds().out
            for words in ["of 96M", "of 40", "0.5", "tier=web"] { #expect(show.contains(words), "\(show)") }
            // The 40th process is refused, by the kernel and not by us.
            let forks = try f.ctr("exec", n, "sh", "-c", "for i in $(seq 60); do sleep 5 & done; wait 2>&1; echo end")
            #expect(forks.both.contains("can't fork"), "\(forks.both)")
            try f.ctr("restart", n).succeeds()
            #expect(try f.ctr("show", n).succeeds().out.contains("of 96M"))
            try f.ctr("set", n, "--unset", "memory").succeeds()
            #expect(try f.ctr("show", n).succeeds().out.contains("no limit"))
        }
    }

    @Test func memoryInUseIsNotTakenAway() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--memory", "128M", "--swap", "0")
            // In a tmpfs of its own, so that nothing can be reclaimed.
            try f.ctr("exec", n, "dd", "if=/dev/zero", "of=/tmp/held", "bs=1M", "count=40").succeeds()
            let run = try f.ctr("set", n, "--memory", "8M", "--description", "not to be kept")
            #expect(run.status == 75, "\(run.both)")
            #expect(run.err.contains("in use"), "\(run.both)")
            let show = try f.ctr("show", n).succeeds().out
            #expect(show.contains("of 128M"), "\(show)")
            #expect(!show.contains("not to be kept"))
            try f.ctr("exec", n, "true").succeeds()
        }
    }

    @Test func whatNeedsARestartIsSaid() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            let run = try f.ctr("set", n, "--hostname", "other", "--env", "A=b").succeeds()
            #expect(run.err.contains("--hostname") && run.err.contains("--env"), "\(run.both)")
            #expect(try f.ctr("exec", n, "hostname").out == "\(n)\n")
            try f.ctr("restart", n).succeeds()
            #expect(try f.ctr("exec", n, "sh", "-c", "hostname; echo $A").out == "other\nb\n")
        }
    }

    @Test func ulimitsReachWhatRuns() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.ctr("set", n, "--ulimit", "nofile=300:400").succeeds()
            #expect(try f.ctr("exec", n, "sh", "-c", "ulimit -n; grep 'open files' /proc/1/limits").out.contains("300"))
            let limits = try f.sh("grep 'open files' /proc/\(f.pid(n))/limits").out
            #expect(limits.contains("300") && limits.contains("400"), "\(limits)")
        }
    }

    @Test func theRestartPolicyCanBeChangedWhileItRuns() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--restart", "always", "--init", "/bin/sleep 1000")
            try f.ctr("set", n, "--restart", "no").succeeds()
            #expect(try f.sh("kill -9 \(f.pid(n))").status == 0)
            #expect(until(20) { (try? f.state(n)) == "stopped" })
        }
    }

    @Test func wantOfMemoryIsRecordedAndHurtsNobodyElse() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--memory", "32M", "--swap", "0")
            let other = try f.server("--memory", "32M", name: "b")
            let (pid, supervisor) = (try f.pid(other), try f.number("supervisor", n))
            let run = try f.ctr("exec", n, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=60M count=1; echo $?")
            #expect(run.out.contains("137"), "\(run.both)")
            #expect(until(20) { (try? f.ctr("events", n).out.contains("oomKill")) == true })
            #expect(try f.ctr("show", n).out.contains("processes killed"))
            #expect(try f.state(n) == "running")
            #expect(try f.pid(other) == pid)
            #expect(try f.number("supervisor", n) == supervisor)
            try f.ctr("exec", other, "true").succeeds()
        }
    }

    @Test func eventsTellALife() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.ctr("pause", n).succeeds()
            try f.ctr("unpause", n).succeeds()
            try f.ctr("set", n, "--description", "x").succeeds()
            try f.ctr("stop", n).succeeds()
            try f.ctr("rename", n, f.name("z")).succeeds()
            try f.ctr("destroy", f.name("z")).succeeds()
            let lines = try f.ctr("--json", "events").succeeds().lines
            let kinds = try lines.map { try JSON(text: $0)["event"]?.string ?? "" }
            let wanted = ["created", "started", "paused", "unpaused", "changed", "stopped", "renamed", "destroyed"]
            #expect(kinds == wanted, "\(lines)")
            #expect(lines.contains { $0.contains("\"cause\":\"operator\"") }, "\(lines)")
        }
    }

    @Test func waitReturnsWhenInitSaysSo() throws {
        try Fixture.withServers { (f) throws in
            try f.template(
                "slow",
                "printf '#!/bin/sh\\nsleep 1; : > /root/was-here\\n' > etc/rc.d/50-slow; chmod 755 etc/rc.d/50-slow"
            ).succeeds()
            // What an import takes from a directory has no init of its own: as `minimal` has it.
            try f.sh(
                "cd root/templates && sed 's/\"name\" : \"minimal\"/\"name\" : \"slow\"/' minimal/template.json > slow/template.json"
            ).succeeds()
            let n = f.name()
            try f.ctr("create", n, "--template", "slow").succeeds()
            try f.ctr("start", n, "--wait").succeeds()
            try f.ctr("exec", n, "test", "-e", "/root/was-here").succeeds()
        }
    }

    @Test func waitEndsWithTheVPSOrItsTime() throws {
        try Fixture.withServers { (f) throws in
            try f.template("dumb", ":").succeeds()
            try f.sh(
                """
                cd root/templates
                sed 's/"name" : "minimal"/"name" : "dumb"/; s/"\\/sbin\\/init"/"\\/bin\\/sleep", "1000"/' minimal/template.json > dumb/template.json
                """
            ).succeeds()
            let n = f.name()
            try f.ctr("create", n, "--template", "dumb").succeeds()
            let late = try f.ctr("start", n, "--wait", "--timeout", "1")
            #expect(late.status == 1)
            #expect(late.err.contains("it runs on"), "\(late.both)")
            #expect(try f.state(n) == "running")
            let waiting = try f.start("start", n, "--wait")
            aMoment()
            try f.ctr("kill", n).succeeds()
            let ended = try waiting.wait()
            #expect(ended.status == 1)
            #expect(ended.err.contains("ended before"), "\(ended.both)")
        }
    }
}

private func aMoment() { until(3) { false } }
