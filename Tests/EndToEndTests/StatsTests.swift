import Glibc
import Kernel
import Testing

/// `stats` and `top` of VPSs that run.
@Suite struct StatsTests {
    /// The VPS of this name in a document of `stats --json`.
    private func vps(_ name: String, _ text: String) throws -> JSON {
        let all = try #require(try JSON(text: text)["vps"]?.array, "\(text)")
        return try #require(all.first { $0["name"]?.string == name }, "\(text)")
    }

    /// A fixture whose VPSs end with the test.
    private func with(_ body: (Fixture) throws -> Void) throws {
        try Fixture.with { (f) throws in
            try body(f)
            try f.sh("\"$CTR\" list -q | xargs -r \"$CTR\" destroy --force").succeeds()
        }
    }

    private func start(_ f: Fixture, _ word: String, _ options: String..., script: String = "sleep 1000") throws {
        try f.start(f.program, ["run", "-d", "--name", f.name(word)] + options + ["minimal", "sh", "-c", script])
            .wait().succeeds()
    }

    @Test func useAgainstLimit() throws {
        try with { (f) throws in
            try start(f, "a", "--memory", "32M", "--pids", "20", "--cpus", "0.5")
            try start(f, "b", script: "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000")
            let usage = try #require(try vps(f.name(), try f.ctr("stats", "--json", f.name()).succeeds().out)["usage"])
            #expect(usage["memory"]?["limit"]?.int == 32 << 20)
            #expect((usage["memory"]?["current"]?.int ?? 0) > 0)
            #expect((usage["memory"]?["anonymous"]?.int ?? 0) > 0)
            #expect(usage["memory"]?["oomKills"]?.int == 0)
            #expect(usage["processes"]?["limit"]?.int == 20)
            #expect((usage["processes"]?["current"]?.int ?? 0) >= 1)
            #expect(usage["processor"]?["limit"] == .number(0.5))
            // All that run, for people.
            let all = try f.ctr("stats").succeeds()
            for words in ["\(f.name("a")): running", "\(f.name("b")): running", "RESOURCE", "anonymous", "32M", "0.50"]
            {
                #expect(all.out.contains(words), "\(all.out)")
            }
            for line in all.lines { #expect(line.count <= 80, "\(line)") }
        }
    }

    @Test func limitsThatAreMetAreCounted() throws {
        try with { (f) throws in
            try start(
                f, "a", "--memory", "16M", "--pids", "12",
                // The shell that can't fork ends.
                script: "head -c 100m /dev/zero | tail -c 99m; (while :; do sleep 1000 & done); sleep 1000")
            func usage() throws -> JSON? { try vps(f.name(), try f.ctr("stats", "--json", f.name()).out)["usage"] }
            #expect(try until(30) { try (usage()?["memory"]?["oomKills"]?.int ?? 0) >= 1 })
            #expect(try until(30) { try (usage()?["processes"]?["refused"]?.int ?? 0) >= 1 })
            #expect(try f.ctr("stats", f.name()).out.contains("killed: out of memory"))
        }
    }

    @Test func oneThatDoesNotRunSaysSo() throws {
        try with { (f) throws in
            try f.ctr("run", "--keep", "--name", f.name(), "minimal", "true").succeeds()
            let document = try vps(f.name(), try f.ctr("stats", "--json", f.name()).succeeds().out)
            #expect(document["status"]?.string == "stopped")
            #expect(document["usage"] == nil)
            #expect(try f.ctr("stats", f.name()).succeeds().line == "\(f.name()): stopped")
            // Among all that run it is none.
            let all = try f.ctr("stats").succeeds()
            #expect(all.out == "" && all.err.contains("no VPS is running"))
            #expect(try JSON(text: try f.ctr("stats", "--json").succeeds().out)["vps"]?.array == [])
            // Nothing to follow.
            try f.ctr("stats", "-f", f.name()).succeeds()
            try f.ctr("stats", f.name(), "nothing").fails(66, words: "nothing")
            try f.ctr("stats", "--interval", "1").fails(64, words: "--follow")
            try f.ctr("stats", "-f", "--interval", "0").fails(64, words: "--interval")
            try f.ctr("destroy", f.name()).succeeds()
        }
    }

    @Test func followedUntilItEnds() throws {
        try with { (f) throws in
            try start(f, "a", script: "while :; do :; done")
            let run = try f.start("stats", "-f", "--interval", "0.2", "--json", f.name())
            try run.awaitOutput("\"rates\"")
            try f.ctr("destroy", "--force", f.name()).succeeds()
            let lines = try run.wait().succeeds().lines
            // One document a line: the first without rates, the last without the VPS.
            let documents = try lines.map { try vps(f.name(), $0) }
            #expect(documents.first?["rates"] == nil && documents.first?["usage"] != nil)
            #expect(documents.contains { if case .number(let cpu)? = $0["rates"]?["cpu"] { cpu > 0 } else { false } })
            #expect(documents.last?["usage"] == nil)
            #expect(documents.last?["status"]?.string == "stopped")
        }
    }

    @Test func followedUntilInterrupted() throws {
        try with { (f) throws in
            try start(f, "a")
            let run = try f.start("stats", "--follow", "--interval", "0.2")
            try run.awaitOutput("  now: cpu ")
            try run.signal(Signal.terminate)
            #expect(try run.wait().status == 143)
        }
    }

    // MARK: top

    /// Runs top on a terminal; the script says afterwards how it ended and whether the terminal is as it was.
    private func top(_ f: Fixture, _ options: String = "", rows: UInt16 = 24, columns: UInt16 = 80) throws -> Pty {
        try Pty(
            f,
            """
            stty -g >before
            sh -c 'echo $$ >pid; exec "$CTR" top -d 0.3 \(options)'
            echo "status $?"
            stty -g >after; cmp before after && echo restored
            """, rows: rows, columns: columns)
    }

    private static let enter = "\u{1b}[?1049h"
    private static let leave = "\u{1b}[?25h\u{1b}[?1049l"

    private func expectRestored(_ pty: Pty, status: Int32, at location: SourceLocation = #_sourceLocation) throws {
        try pty.expect("restored", at: location)
        try pty.finish(at: location)
        let parts = pty.seen.split(separator: Self.leave, omittingEmptySubsequences: false)
        #expect(parts.last?.contains("status \(status)") == true, "\(pty.seen)", sourceLocation: location)
        #expect(parts.last?.contains(Self.enter) == false, "\(pty.seen)", sourceLocation: location)
    }

    @Test func keysSortAndQuit() throws {
        try with { (f) throws in
            try start(f, "a", "--memory", "32M")
            try start(f, "b", script: "while :; do :; done")
            let pty = try top(f)
            try pty.expect(f.name("b"))
            #expect(pty.seen.contains("2 running  by cpu"), "\(pty.seen)")
            for (key, words) in [
                ("m", "by memory"), ("r", "by memory, reversed"), ("i", "by io, reversed"), ("p", "by pids, reversed"),
                ("n", "by name, reversed"), ("r", "by name\u{1b}"), ("\u{1b}[c", "by name"), ("c", "by cpu\u{1b}"),
            ] {
                try pty.type(key)
                try pty.expect(words.replacing("\u{1b}", with: "\r\n"))
            }
            // It goes on by itself, and shows who is new and not who has gone.
            try f.ctr("destroy", "--force", f.name("b")).succeeds()
            try pty.expect("1 running")
            try pty.type("q")
            try expectRestored(pty, status: 0)
        }
    }

    @Test func windowsOfAnySize() throws {
        try with { (f) throws in
            for word in ["a", "b", "c"] { try start(f, word) }
            let pty = try top(f, "--sort name", rows: 5, columns: 80)
            try pty.expect("3 running, 2 shown")
            #expect(!pty.seen.contains(f.name("c")))
            try pty.resize(rows: 24, columns: 40)
            try pty.expect("3 running  by name")
            try pty.type("q")
            try expectRestored(pty, status: 0)
            let text = pty.seen.replacing("\u{1b}[H", with: "\r\n").replacing(/\u{1b}\[[0-9;?]*[a-zA-Z]/, with: "")
            for line in text.split(separator: "\r\n") where !line.contains("status") {
                #expect(line.count <= 80, "\(line)")
            }
        }
    }

    @Test(arguments: [Signal.terminate, Signal.interrupt, Signal.hangup]) func signals(_ signal: Int32) throws {
        try with { (f) throws in
            try start(f, "a")
            let pty = try top(f)
            try pty.expect(f.name("a"))
            let pid = try #require(Int32(try f.text("pid").filter(\.isNumber)))
            try ProcessHandle(pid: pid).signal(signal)
            try expectRestored(pty, status: 128 + signal)
        }
    }

    @Test func stoppedAndContinued() throws {
        try with { (f) throws in
            try start(f, "a")
            let pty = try top(f)
            try pty.expect(f.name("a"))
            let top = try ProcessHandle(pid: try #require(Int32(try f.text("pid").filter(\.isNumber))))
            try top.signal(Signal.terminalStop)
            try pty.expect(Self.leave)
            try top.signal(Signal.cont)
            try pty.expect(Self.enter, times: 2)
            // The interrupt key.
            try pty.type("\u{3}")
            try expectRestored(pty, status: 0)
        }
    }

    @Test func tablesWithoutATerminal() throws {
        try with { (f) throws in
            try start(f, "a", "--memory", "32M")
            let one = try f.ctr("top").succeeds()
            #expect(one.lines.count == 2 && one.out.hasPrefix("NAME "), "\(one.out)")
            #expect(one.lines.last?.hasPrefix(f.name("a")) == true && one.lines.last?.contains(" 32M ") == true)
            let three = try f.ctr("top", "--batch", "-n", "3", "-d", "0.1").succeeds()
            #expect(three.lines.filter { $0.hasPrefix(f.name("a")) }.count == 3, "\(three.out)")
            let json = try f.ctr("top", "--json", "-n", "2", "-d", "0.1").succeeds()
            #expect(json.lines.count == 2)
            for line in json.lines { #expect(try vps(f.name("a"), line)["rates"] != nil) }
            try f.ctr("top", "--sort", "size").fails(64, words: "--sort")
            try f.ctr("top", "-d", "0").fails(64, words: "--delay")
            try f.ctr("top", "-n", "0").fails(64, words: "--count")
        }
    }
}
