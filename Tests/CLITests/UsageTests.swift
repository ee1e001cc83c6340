import ArgumentParser
import FoundationEssentials
import Testing

@testable import ctr

/// The built program's usage errors, help, exit statuses and streams, as a script meets them.
@Suite struct UsageTests {
    @Test func version() throws {
        try Program.with { (p) throws in
            for words in [["--version"], ["--json", "--version"]] {
                let run = try p.sh("\"$CTR\" \(words.joined(separator: " "))")
                #expect(run.status == 0)
                #expect(run.out == "\(Version.number)\n")
            }
        }
    }

    static let wrong: [(script: String, status: Int32, words: String)] = [
        ("", 64, "no command given"), ("--json", 64, "no command given"), ("bogus", 64, "bogus: unknown command"),
        ("--bogus list", 64, "--bogus"), ("--root", 64, "--root"), ("--root relative list", 64, "not an absolute path"),
        ("list --bogus", 64, "--bogus"), ("list extra", 64, "extra"), ("list --state odd", 64, "not a state"),
        ("list --state /tmp", 64, "ctr --state DIR list"), ("list --label x", 64, "not KEY=VALUE"),
        ("show", 64, "name"), ("show nothing", 66, "nothing"), ("show Bad", 64, "not a name"),
        ("stop", 64, "name the VPSs"),
        ("stop a --timeout -1", 64, "timeout"), ("stop --timeout x a", 64, "x"), ("stop nothing", 66, "nothing"),
        ("kill nothing", 66, "nothing"), ("kill nothing NOSIG", 64, "NOSIG"), ("destroy nothing", 66, "nothing"),
        ("logs nothing", 66, "nothing"), ("completion tcsh", 64, "tcsh"), ("completion", 64, "shell"),
        ("template", 64, "no command given"), ("template bild", 64, "template bild"), ("host", 64, "no command given"),
        ("template show nothing", 66, "nothing"), ("template remove nothing", 66, "nothing"),
        ("template export nothing x.tar", 66, "nothing"), ("template import x", 64, "--name"),
        ("template list --bogus", 64, "ctr template list --help"), ("supervise x", 64, "unknown command"),
        ("snapshot x", 64, "unknown command"), ("create x", 64, "--template"), ("create --template x", 64, "name"),
        ("create Bad --template x", 64, "not a name"), ("create x --template t --memory lots", 64, "--memory 'lots'"),
        ("create x --template t --keep", 64, "--keep"), ("create x --template t --boot-priority -1001", 64, "-1001"),
        ("create x --template t --restart maybe", 64, "no, on-failure or always"), ("set x", 64, "nothing to change"),
        ("set --memory 1G", 64, "name"), ("set Bad --memory 1G", 64, "not a name"), ("set x --unset", 64, "--unset"),
        ("set x --template t", 64, "--template"),
        ("list -o bogus", 64, "known are name, state"), ("list --sort -bogus", 64, "--sort 'bogus'"),
        ("list -o", 64, "-o"),
        ("events Bad", 64, "not a name"), ("events --since never", 64, "neither a time"),
        ("events --bogus", 64, "bogus"),
        // Whatever goes wrong in ctr for these, no script takes it for the command's own status.
        ("run", 125, "template"), ("run --bogus x", 125, "--bogus"), ("run --memory lots x", 125, "--memory 'lots'"),
        ("run nothing", 125, "nothing"), ("--root rel run x", 125, "not an absolute path"), ("exec", 125, "name"),
        ("exec a", 125, "no command given"), ("exec nothing ls", 125, "nothing"), ("exec a -x ls", 125, "-x"),
        ("enter nothing", 125, "nothing"), ("enter", 125, "name"), ("run --name Bad x", 125, "not a name"),
    ]

    @Test(arguments: wrong.indices) func wrongUsage(_ index: Int) throws {
        let (script, status, words) = Self.wrong[index]
        try Program.with { (p) throws in
            let run = try p.sh("\"$CTR\" \(script)")
            #expect(run.status == status, "\(script): \(run.err)")
            #expect(run.out == "", "\(script)")
            if script == "--json" {
                #expect(run.err.hasPrefix(#"{"error":{"code":"usage","#))
            } else {
                #expect(run.err.hasPrefix("ctr: "), "\(script): \(run.err)")
            }
            #expect(run.err.lowercased().contains(words.lowercased()), "\(script): \(run.err)")
            #expect(run.err.split(separator: "\n").count == 1, "\(script): \(run.err)")
        }
    }

    private struct Document: Decodable {
        let error: Facts
        struct Facts: Decodable {
            let code: String
            let message: String
        }
    }

    @Test(arguments: [
        ("--json show nothing", "notFound"), ("show nothing --json", "notFound"), ("list --json --bogus", "usage"),
        ("--json run --bogus x", "usage"), ("run --json --memory x minimal", "usage"), ("--json bogus", "usage"),
        ("template --json show nothing", "notFound"), ("run --json nothing", "notFound"),
    ])
    func errorsAsJSON(_ script: String, _ code: String) throws {
        try Program.with { (p) throws in
            let run = try p.sh("\"$CTR\" \(script)")
            let document = try JSONDecoder().decode(Document.self, from: Data(run.err.utf8))
            #expect(document.error.code == code)
            #expect(!document.error.message.isEmpty)
            #expect(run.out == "")
        }
    }

    @Test(arguments: [
        "--help", "-h", "help", "create --help", "set --help", "events --help", "profile --help", "profile list --help",
        "profile show --help", "run --help", "run -h", "help run", "exec --help",
        "exec a --help", "enter --help",
        "list --help", "show --help", "stop --help", "kill --help", "destroy --help", "logs --help", "template --help",
        "help template build", "template build --help", "template import --help", "template list --help",
        "template show --help", "template export --help", "template remove --help", "host --help", "host check --help",
        "host recover --help", "completion --help",
    ])
    func help(_ script: String) throws {
        try Program.with { (p) throws in
            let run = try p.sh("\"$CTR\" \(script)")
            #expect(run.status == 0, "\(run.err)")
            #expect(run.err == "")
            #expect(run.out.contains("USAGE: ctr "))
            #expect(run.out.hasSuffix("\n"))
            // Verbs of later steps are not promised.
            #expect(!run.out.contains("supervise") && !run.out.contains("migrate"))
        }
    }

    @Test func everyVerbHasAnExample() {
        for verb in Ctr.configuration.subcommands {
            let nested = verb.configuration.subcommands
            for command in nested.isEmpty ? [verb] : nested {
                #expect(command.configuration.discussion.contains("Example"), "\(command)")
            }
        }
    }

    @Test func emptyLists() throws {
        try Program.with { (p) throws in
            #expect(try p.ctr("list", "--json").out == "[\n\n]\n")
            #expect(try p.ctr("list", "-q").out == "")
            #expect(try p.ctr("list").out == "NAME  STATE  TEMPLATE  PID  STARTED  COMMAND\n")
            #expect(try p.ctr("template", "list", "--json").out == "[\n\n]\n")
            #expect(try p.ctr("--quiet", "template", "list").out == "")
            #expect(try p.ctr("host", "recover").out == "")
        }
    }

    @Test func environmentAndOptionsNameTheDirectories() throws {
        try Program.with { (p) throws in
            let run = try p.sh(
                """
                set -e
                "$CTR" list; test -d "$CTR_ROOT"; test -d "$CTR_STATE"
                "$CTR" --root '\(p.path)/r2' --state '\(p.path)/s2' list; test -d '\(p.path)/r2'; test -d '\(p.path)/s2'
                "$CTR" show x --root '\(p.path)/r3' --state '\(p.path)/s3' || test $? = 66
                test -d '\(p.path)/r3'; test -d '\(p.path)/s3'
                """)
            #expect(run.status == 0, "\(run.err)")
        }
    }

    @Test func severalNamesAreAllReported() throws {
        try Program.with { (p) throws in
            let run = try p.ctr("destroy", "one", "two", "Bad")
            #expect(run.status == 66)
            #expect(run.err.split(separator: "\n").count == 3)
            for name in ["one", "two", "Bad"] { #expect(run.err.contains(name)) }
            let json = try p.ctr("destroy", "one", "--json")
            #expect(json.out.contains(#""failed" : ["#))
        }
    }

    @Test func streams() throws {
        try Program.with { (p) throws in
            // Nobody reads: no message, and no crash, whether SIGPIPE ends the program or not.
            let gone = try p.sh(#"trap "" PIPE; ( "$CTR" --help; echo "$?" >&2 ) | true"#)
            #expect(gone.err == "141\n" || gone.err == "0\n", "\(gone.err)")
            let surely = try p.sh(#"exec 3> >(true); wait $!; "$CTR" --help >&3; echo $?"#)
            #expect(surely.out == "141\n")
            #expect(surely.err == "")
            let full = try p.sh(#""$CTR" --help > /dev/full"#)
            #expect(full.status == 74)
            #expect(full.err.hasPrefix("ctr: standard output: "))
            // Closed streams: what is opened later does not take their place.
            #expect(try p.sh(#""$CTR" list >&-"#).status == 0)
            #expect(try p.sh(#""$CTR" list <&- >&- 2>&-"#).status == 0)
            #expect(try p.sh(#""$CTR" bogus 2>&-"#).status == 64)
        }
    }

    @Test func wordsThatAreNotText() throws {
        try Program.with { (p) throws in
            let run = try p.sh(#""$CTR" show $'\xff\xfe'"#)
            #expect(run.status == 64)
            #expect(run.err.contains("not valid UTF-8"))
        }
    }

    @Test func controlCharactersDoNotReachTheTerminal() throws {
        try Program.with { (p) throws in
            for script in [#"show $'a\e[2J'"#, #"$'\e[2J'"#, #"list $'--\e[2J'"#, #"run --name $'\e[2J' x"#] {
                #expect(try !p.sh("\"$CTR\" \(script)").err.contains("\u{1b}"), "\(script)")
            }
        }
    }
}
