import Model
import Testing

@testable import ctr

/// Options of every command, tables, and how failures are told.
@Suite struct ParsingTests {
    @Test func leadingOptions() {
        var words = ["--root", "/a", "--state=/b", "--json", "-q", "--debug", "list", "--json"][...]
        var globals = Globals()
        let taken = globals.takeLeading(&words)
        #expect(taken)
        #expect(globals == Globals(root: "/a", state: "/b", json: true, quiet: true, debug: true))
        #expect(words == ["list", "--json"])
    }

    @Test(arguments: [
        ["--root"], ["--root", "--json", "x"], ["--bogus", "x"], ["--json=1", "x"], ["--memory", "1G"],
    ])
    func oddLeadingOptions(_ words: [String]) {
        var rest = words[...]
        var globals = Globals()
        let taken = globals.takeLeading(&rest)
        #expect(!taken)
    }

    @Test func laterOptionsWin() {
        let early = Globals(root: "/a", state: "/b", json: true, quiet: false, debug: false)
        let late = Globals(root: "/c", state: nil, json: false, quiet: true, debug: false)
        #expect(early.with(late) == Globals(root: "/c", state: "/b", json: true, quiet: true, debug: false))
    }

    @Test func failureForPeople() {
        let error = CtrError(.io, "disk\n: full", step: "mount root", errno: 28)
        #expect(Failure.text(error, Globals()) == "ctr: disk\\u{a}: full")
        #expect(Failure.text(error, Globals(debug: true)) == "ctr: disk\\u{a}: full [step: mount root, errno: 28]")
        #expect(Failure.text(CtrError(.io, "x"), Globals(debug: true)) == "ctr: x")
    }

    @Test func failureForPrograms() {
        #expect(
            Failure.text(CtrError(.notFound, "VPS a/b: \"unknown\"", step: "s", errno: 2), Globals(json: true))
                == #"{"error":{"code":"notFound","errno":2,"message":"VPS a/b: \"unknown\"","step":"s"}}"#)
        #expect(
            Failure.text(CtrError(.usage, "x"), Globals(json: true))
                == #"{"error":{"code":"usage","errno":null,"message":"x","step":null}}"#)
    }

    @Test(arguments: [
        (CtrError.Code.commandNotFound, Int32(127)), (.notExecutable, 126), (.usage, 125), (.notFound, 125),
        (.unavailable, 125), (.io, 125), (.failed, 125), (.busy, 125),
    ])
    func statusOfRun(_ code: CtrError.Code, _ status: Int32) {
        #expect(ExitStatus.ofRun(CtrError(code, "x")) == status)
    }

    @Test func table() {
        var table = Table([("NAME", .left), ("SIZE", .right), ("TEXT", .left)])
        table.add(["a", "1", "x\u{1b}[31m"])
        table.add(["longer", "1000", ""])
        #expect(
            table.text == """
                NAME    SIZE  TEXT
                a          1  x\\u{1b}[31m
                longer  1000  -
                """)
    }

    @Test func facts() {
        #expect(Table.facts([("a", "1"), ("none", nil), ("long", "2\n")]) == "a:    1\nlong: 2\\u{a}")
    }

    @Test func signalsOfKill() throws {
        func meaning(_ words: String...) throws -> ([String], Int32) {
            let parsed = try #require(try Parsing.parse(KillCommand.self, words) as? KillCommand)
            let meaning = try parsed.meaning { ["a", "b"].contains($0) }
            return (meaning.names, meaning.signal)
        }
        #expect(try meaning("a") == (["a"], 9))
        #expect(try meaning("a", "TERM") == (["a"], 15))
        #expect(try meaning("a", "b", "SIGHUP") == (["a", "b"], 1))
        #expect(try meaning("a", "15") == (["a"], 15))
        #expect(try meaning("a", "b") == (["a", "b"], 9))
        #expect(try meaning("term") == (["term"], 9))
        // A mistyped signal is none's death.
        for word in ["65", "99", "0", "hupp"] { #expect(throws: CtrError.self) { _ = try meaning("a", word) } }
        #expect(try meaning("--signal", "HUP", "a", "term") == (["a", "term"], 1))
        let error = #expect(throws: CtrError.self) { _ = try meaning("a", "TREM") }
        #expect(error?.code == .usage)
    }
}
