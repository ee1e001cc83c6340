import Testing

/// What suspend, hibernate and resume say: on a terminal, and where they fail.
@Suite(.serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")))
struct SuspendTerminalTests {
    /// Of several at once there is no line that one of them draws over another's.
    @Test func severalAtOnceDrawNoLines() throws {
        try Fixture.withServers { (f) throws in
            let (a, b) = (try f.counter("--disk", "none"), try f.counter("--disk", "none", name: "b"))
            for n in [a, b] { try f.fillMemory(of: n, 100_000_000) }
            for verb in ["suspend", "resume"] {
                let shown = try Pty(f, "$CTR \(verb) \(a) \(b) \(f.name("nope"))")
                try shown.finish()
                let lines = shown.seen.split(separator: "\r\n").map(String.init)
                #expect(lines.count == 3 && Set(lines).isSuperset(of: [a, b]), "\(shown.seen)")
                #expect(lines.contains { $0.hasPrefix("ctr: VPS \(f.name("nope"))") }, "\(shown.seen)")
                #expect(!shown.seen.contains("\u{1b}"), "\(shown.seen)")
            }
        }
    }

    @Test func aStartTellsHowFarItIs() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try f.fillMemory(of: n, 300_000_000)
            for words in ["start \(n)", "start --wait --timeout 5 \(n)"] {
                try f.ctr("suspend", n).succeeds()
                let shown = try f.sh("script -qec '$CTR \(words)' /dev/null < /dev/null").succeeds()
                let told = shown.out.split(whereSeparator: { "\r\u{1b}".contains($0) }).filter { $0.contains(" of ") }
                #expect(told.contains { $0.hasPrefix("\(n): resume ") && $0.contains("M") }, "\(shown.out)")
            }
        }
    }

    /// A refusal begins with the verb that was given.
    @Test(arguments: ["suspend", "hibernate", "snapshot create --memory"]) func refusalsNameTheirVerb(verb: String)
        throws
    {
        if verb != "suspend", let lack = Disks.lack { try Test.cancel(Comment(rawValue: lack)) }
        let name = verb.split(separator: " --")[0]
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", verb == "suspend" ? "none" : "256M")
            let session = try f.start("exec", n, "--", "sleep", "1000")
            #expect(try until(10) { try f.ctr("exec", n, "--", "ps").out.contains("sleep 1000") })
            let refused = try f.sh("$CTR \(verb) \(n)")
            refused.fails(1, words: "brought in by ctr exec")
            #expect(refused.err.hasPrefix("ctr: \(name) \(n): process "), "\(refused.err)")
            try f.ctr("exec", n, "--", "killall", "sleep").succeeds()
            _ = try session.wait()
            for pid in f.processes() where f.commandLine(pid).contains("supervise") {
                try f.sh("kill -9 \(pid)").succeeds()
            }
            try f.ctr("list").succeeds()
            let gone = try f.sh("$CTR \(verb) \(n)")
            gone.fails(1, words: "its console has gone")
            #expect(gone.err.hasPrefix("ctr: \(name) \(n): its console"), "\(gone.err)")
        }
    }
}
