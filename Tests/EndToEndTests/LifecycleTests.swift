import Kernel
import Testing

/// What `run -d` starts, and the verbs on it: logs, list, show, stop, kill, destroy.
@Suite struct LifecycleTests {
    /// Starts a VPS in the background that runs a shell script.
    private func detached(_ f: Fixture, _ script: String, _ options: String = "", word: String = "a") throws {
        try f.write("script-\(word)", script)
        try f.sh("$CTR run -d \(options) --name $N-\(word) minimal sh -c \"$(cat script-\(word))\"").succeeds()
    }

    private func status(_ f: Fixture, _ word: String = "a") throws -> String? {
        let list = try JSON(text: f.ctr("--json", "list").succeeds().out)
        let all = try #require(list.array ?? list["vps"]?.array ?? list.find("list")?.array, "\(list)")
        return all.first { $0["name"]?.string == f.name(word) }?["status"]?.string
    }

    // MARK: run -d

    @Test func detachedPrintsItsName() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "-d", "minimal", "sleep", "1000").succeeds()
            #expect(run.lines.count == 1)
            #expect(run.out == run.line + "\n")
            #expect(try f.ctr("list").out.contains(run.line))
            #expect(
                try f.ctr("run", "-d", "--name", f.name(), "minimal", "sleep", "1000").succeeds().out == f.name() + "\n"
            )
            try f.ctr("destroy", "--force", run.line, f.name()).succeeds()
            #expect(try !f.ctr("list").out.contains(f.name()))
        }
    }

    @Test func detachedLetsGoOfTheCaller() throws {
        try Fixture.with { (f) throws in
            // The pipe ends although the VPS lives: nothing of ctr's caller is held open.
            let run = try f.sh("$CTR run -d --name $N-a minimal sleep 1000 2>&1 | cat; echo end", timeout: 15)
            #expect(run.lines.last == "end", "\(run.both)")
            let supervisor = try f.supervisorPid(f.name())
            #expect(try f.sh("readlink /proc/\(supervisor)/cwd").line == "/")
            let open = try f.sh("cd /proc/\(supervisor)/fd; for i in 0 1 2; do readlink $i; done").lines
            #expect(open == ["/dev/null", "/dev/null", "/dev/null"], "\(open)")
            #expect(try f.sh("ps -o sid= -p \(supervisor)").line.filter { $0 != " " } == "\(supervisor)")
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func detachedFailsInTheForeground() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "-d", "minimal", "no-such-command").fails(127, words: "no-such-command")
            try f.ctr("run", "-d", "no-such-template", "true").fails(125, words: "no-such-template")
            try f.ctr("run", "-d", "--memory", "4K", "minimal", "true").fails(125, words: "memory")
        }
    }

    @Test func ephemeralIsGoneAfterItsEnd() throws {
        try Fixture.with { (f) throws in
            try detached(f, "sleep 0.2; exit 3")
            // Without any other verb: its supervisor removes it.
            #expect(until(10) { (try? f.leftovers().isEmpty) == true }, "\(f.left)")
        }
    }

    @Test func keepStaysInTheListAsStopped() throws {
        try Fixture.with { (f) throws in
            try detached(f, "echo output; exit 3", "--keep")
            #expect(try until(10) { try status(f) == "stopped" })
            #expect(try f.ctr("logs", f.name()).succeeds().out == "output\n")
            let show = try JSON(text: f.ctr("--json", "show", f.name()).succeeds().out)
            #expect(show.find("exitStatus")?.int == 3, "\(show)")
            try f.ctr("destroy", f.name()).succeeds()
            #expect(try status(f) == nil)
        }
    }

    @Test func keepInTheForeground() throws {
        try Fixture.with { (f) throws in
            #expect(
                try f.ctr("run", "--keep", "--name", f.name(), "minimal", "sh", "-c", "echo x > /kept; exit 4").status
                    == 4)
            #expect(try status(f) == "stopped")
            #expect(try f.sh("cat root/vps/$N-a/disk/upper/kept").line == "x")
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    @Test func takenNameChangesNothing() throws {
        try Fixture.with { (f) throws in
            try detached(f, "echo first; exec sleep 1000")
            let before = try f.sh("cat state/$N-a/*.json | sha256sum").line
            try f.ctr("run", "--name", f.name(), "minimal", "true").fails(125, words: f.name(), "exists")
            try f.ctr("run", "-d", "--name", f.name(), "minimal", "true").fails(125, words: f.name(), "exists")
            #expect(try f.sh("cat state/$N-a/*.json | sha256sum").line == before)
            #expect(try status(f) == "running")
            try f.ctr("exec", f.name(), "--", "true").succeeds()
            try f.ctr("destroy", "--force", f.name()).succeeds()
            // A stopped one keeps its name too.
            try f.ctr("run", "--keep", "--name", f.name(), "minimal", "touch", "/mine").succeeds()
            try f.ctr("run", "--name", f.name(), "minimal", "true").fails(125, words: "exists")
            #expect(f.exists("root/vps/\(f.name())/disk/upper/mine"))
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    @Test(arguments: ["A", "a b", "../x", ".", "-x", "", "a/b", "ü", "a\nb", String(repeating: "a", count: 64)])
    func nameThatIsNone(_ name: String) throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "--name=\(name)", "minimal", "true").fails(125)
            try f.ctr("show", name).fails(64, 66)
        }
    }

    // MARK: logs

    @Test func logs() throws {
        try Fixture.with { (f) throws in
            try detached(f, "echo to stdout; echo to stderr >&2; exec sleep 1000")
            #expect(until(10) { (try? f.ctr("logs", f.name()).lines.count) == 2 })
            #expect(try f.ctr("logs", f.name()).out == "to stdout\nto stderr\n")
            try f.ctr("destroy", "--force", f.name()).succeeds()
            try f.ctr("logs", f.name()).fails(66, words: f.name())
        }
    }

    @Test func followEndsWithTheVPS() throws {
        try Fixture.with { (f) throws in
            try detached(f, "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done", "--keep")
            let logs = try f.ctr("logs", f.name(), "-f", timeout: 20).succeeds()
            #expect(logs.lines == (1...5).map { "line \($0)" }, "\(logs.both)")
            try f.ctr("destroy", f.name()).succeeds()
            // An ephemeral one takes its log along; whoever follows has seen all of it or nearly.
            try detached(f, "echo begin; while [ ! -e /end ]; do sleep 0.05; done")
            let follow = try f.start("logs", f.name(), "-f")
            try follow.awaitOutput("begin")
            _ = try f.ctr("exec", f.name(), "--", "touch", "/end")
            #expect(try follow.wait(20).out.contains("begin"))
        }
    }

    @Test func followStopsWhenNobodyReads() throws {
        try Fixture.with { (f) throws in
            try detached(f, "while :; do echo line; sleep 0.02; done")
            let run = try f.sh("$CTR logs -f $N-a | head -2; echo end", timeout: 15)
            #expect(run.lines == ["line", "line", "end"], "\(run.both)")
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    // MARK: list and show

    @Test func listAndShow() throws {
        try Fixture.with { (f) throws in
            try detached(f, "exec sleep 1000", "--label team=web --description 'the shop'")
            let list = try f.ctr("list").succeeds()
            for word in [f.name(), "running", "minimal"] { #expect(list.out.contains(word), "\(list.out)") }
            let show = try JSON(text: f.ctr("--json", "show", f.name()).succeeds().out)
            #expect(show.find("name")?.string == f.name())
            #expect(show.find("template")?.string == "minimal")
            #expect(show.find("status")?.string == "running")
            #expect(show.find("labels")?["team"]?.string == "web")
            #expect(show.find("description")?.string == "the shop")
            #expect(show.find("pid")?.int == Int(try f.initPid(f.name())))
            #expect(try f.ctr("show", f.name()).succeeds().out.contains(f.name()))
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func emptyListIsAnEmptyDocument() throws {
        try Fixture.with { (f) throws in
            let json = try JSON(text: f.ctr("--json", "list").succeeds().out)
            #expect((json.array ?? json["vps"]?.array)?.isEmpty == true, "\(json)")
        }
    }

    @Test(arguments: ["show", "stop", "kill", "destroy", "logs"])
    func unknownVPS(_ verb: String) throws {
        try Fixture.with { (f) throws in
            try f.ctr(verb, f.name("none")).fails(66, words: f.name("none"))
            let json = try f.ctr("--json", verb, f.name("none"))
            #expect(json.status == 66)
            let error = try #require(try JSON(text: json.err)["error"], "\(json.both)")
            #expect(error["code"]?.string == "notFound")
            #expect(error["message"]?.string?.contains(f.name("none")) == true)
        }
    }

    // MARK: stop

    @Test func stopLetsItFinish() throws {
        try Fixture.with { (f) throws in
            try detached(f, "trap 'echo stopping; exit 0' TERM; echo ready; while :; do sleep 0.05; done", "--keep")
            #expect(until(10) { (try? f.ctr("logs", f.name()).out.contains("ready")) == true })
            try f.ctr("stop", f.name()).succeeds()
            #expect(try status(f) == "stopped")
            #expect(try f.ctr("logs", f.name()).out == "ready\nstopping\n")
            // Stopping what is stopped is what was wanted.
            try f.ctr("stop", f.name()).succeeds()
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    @Test func stopSignalOfTheVPS() throws {
        try Fixture.with { (f) throws in
            try detached(
                f, "trap 'echo by USR1; exit 0' USR1; trap : TERM USR2; echo ready; while :; do sleep 0.05; done",
                "--keep --stop-signal SIGUSR1")
            #expect(until(10) { (try? f.ctr("logs", f.name()).out.contains("ready")) == true })
            try f.ctr("stop", f.name()).succeeds()
            #expect(try f.ctr("logs", f.name()).out == "ready\nby USR1\n")
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    @Test func stopKillsWhatDoesNotListen() throws {
        try Fixture.with { (f) throws in
            try detached(f, "trap '' TERM USR2; echo ready; while :; do sleep 0.05; done", "--keep")
            #expect(until(10) { (try? f.ctr("logs", f.name()).out.contains("ready")) == true })
            try f.ctr("stop", f.name(), "--timeout", "1", timeout: 15).succeeds()
            #expect(try status(f) == "stopped")
            try f.ctr("destroy", f.name()).succeeds()
            // One that handles the signal and goes on.
            try detached(f, "trap 'echo no' TERM USR2; echo ready; while :; do sleep 0.05; done", "--keep")
            #expect(until(10) { (try? f.ctr("logs", f.name()).out.contains("ready")) == true })
            try f.ctr("stop", f.name(), "--timeout", "1", timeout: 15).succeeds()
            #expect(try status(f) == "stopped")
            #expect(try f.ctr("logs", f.name()).out.contains("no"))
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    @Test func twoStopsAtOnce() throws {
        try Fixture.with { (f) throws in
            for options in ["--keep", ""] {
                try detached(f, "trap 'sleep 0.3; exit 0' TERM USR2; while :; do sleep 0.05; done", options)
                let stops = try (1...4).map { _ in try f.start("stop", f.name()) }
                for stop in stops {
                    let outcome = try stop.wait(30)
                    // An ephemeral one may be gone before the last of them looks.
                    #expect(outcome.status == 0 || (options.isEmpty && outcome.status == 66), "\(outcome.both)")
                }
                if !options.isEmpty { try f.ctr("destroy", f.name()).succeeds() }
            }
        }
    }

    // MARK: kill, destroy

    @Test func killSendsASignal() throws {
        try Fixture.with { (f) throws in
            try detached(f, "trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done", "--keep")
            #expect(until(10) { (try? f.ctr("logs", f.name()).out.contains("ready")) == true })
            try f.ctr("kill", f.name(), "USR1").succeeds()
            #expect(until(10) { (try? f.ctr("logs", f.name()).out.contains("got it")) == true })
            #expect(try status(f) == "running")
            try f.ctr("kill", f.name(), "NOSUCH").fails(64, words: "NOSUCH")
            try f.ctr("kill", f.name(), "SIGKILL").succeeds()
            #expect(try status(f) == "stopped")
            try f.ctr("kill", f.name(), "TERM").fails(1, words: "not running")
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    @Test func destroyOfARunningOneNeedsForce() throws {
        try Fixture.with { (f) throws in
            try detached(f, "exec sleep 1000")
            try f.ctr("destroy", f.name()).fails(1, words: "running", "--force")
            #expect(try status(f) == "running")
            try f.ctr("exec", f.name(), "--", "true").succeeds()
            try f.ctr("destroy", "--force", f.name()).succeeds()
            #expect(try status(f) == nil)
            try f.ctr("destroy", "--force", f.name()).fails(66)
        }
    }

    @Test func destroyOfMoreWithOneUnknown() throws {
        try Fixture.with { (f) throws in
            try detached(f, "exec sleep 1000", word: "a")
            try detached(f, "exec sleep 1000", word: "b")
            // The known ones go all the same, and it says which one was not there.
            try f.ctr("destroy", "--force", f.name("a"), f.name("none"), f.name("b")).fails(66, words: f.name("none"))
            #expect(try status(f, "b") == nil)
        }
    }

    @Test func templateInUseStays() throws {
        try Fixture.with { (f) throws in
            try f.plantTemplate("used")
            try f.ctr("run", "-d", "--name", f.name(), "used", "sleep", "1000").succeeds()
            try f.ctr("template", "remove", "used").fails(75, words: "used", f.name())
            try f.ctr("exec", f.name(), "--", "true").succeeds()
            try f.ctr("destroy", "--force", f.name()).succeeds()
            try f.ctr("template", "remove", "used").succeeds()
            try f.ctr("run", "used", "true").fails(125, words: "used")
        }
    }

    // MARK: many

    @Test(.timeLimit(.minutes(1)))
    func twentyAtOnce() throws {
        try Fixture.with { (f) throws in
            let runs = try (1...20).map { try f.start("run", "minimal", "sh", "-c", "echo \($0); exit \($0)") }
            for (number, run) in zip(1..., runs) {
                let outcome = try run.wait(50)
                #expect(outcome.status == Int32(number) && outcome.out == "\(number)\n", "\(outcome.both)")
            }
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func fiftyDetachedAndDestroyed() throws {
        try Fixture.with { (f) throws in
            let starts = try (1...50).map {
                try f.start("run", "-d", "--name", f.name("\($0)"), "minimal", "sleep", "1000")
            }
            for start in starts { try start.wait(60).succeeds() }
            let bases = try f.idLinks().map { $0.prefix { $0 != " " } }.filter { $0.allSatisfy(\.isNumber) }
            #expect(Set(bases).count == 50)
            #expect(try f.ctr("list").lines.filter { $0.contains("running") }.count == 50)
            let ends = try (1...50).map { try f.start("destroy", "--force", f.name("\($0)")) }
            for end in ends { try end.wait(60).succeeds() }
        }
    }
}
