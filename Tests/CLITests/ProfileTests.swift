import ArgumentParser
import FoundationEssentials
import Model
import Testing

@testable import ctr

/// Profiles as `create`, `run` and `set` take them, and the verbs that show them.
@Suite struct ProfileTests {
    /// Makes a directory of profiles that the settings name.
    private func with(_ files: [(String, String)], _ body: (Program) throws -> Void) throws {
        try Program.with { (p) throws in
            try p.write("none.json", "{\"profiles\": \"\(p.path)/profiles\"}")
            try p.sh("mkdir '\(p.path)/profiles'").expectSuccess()
            for (name, text) in files { try p.write("profiles/\(name)", text) }
            try body(p)
        }
    }

    /// What a profile may have are the options of `create`, so a new one there must be known here.
    @Test func aProfileHasTheOptionsOfCreate() throws {
        let options = try FastPathTests.dumped("create").map { String($0.long.dropFirst(2)) }
        let others: Set = ["root", "state", "json", "quiet", "debug", "template", "profile"]
        let plain = Set(options).subtracting(others).filter { !$0.hasPrefix("no-") }
        #expect(plain == Profile.known)
    }

    @Test func listAndShow() throws {
        let files = [
            ("big.profile", "# x\nmemory = 4G\nlabel = a=1\nlabel = b=2\n"), ("bad.profile", "\nmemroy = 1\n"),
            ("small.profile", "cpus = 1\nonboot = yes\n"), ("Odd Name.profile", "cpus = 1\n"), ("other.txt", "x"),
        ]
        try with(files) { (p) throws in
            let list = try p.ctr("profile", "list")
            #expect(list.status == 0)
            #expect(
                list.out.split(separator: "\n").map { $0.prefix(22) } == [
                    "NAME   OPTIONS        ", "big    memory=4G label", "small  cpus=1 onboot=y",
                ])
            #expect(list.err.hasPrefix("ctr: \(p.path)/profiles/bad.profile:2: unknown option 'memroy'"))
            #expect(try p.ctr("profile", "list", "-q").out == "big\nsmall\n")
            #expect(try p.ctr("profile", "list", "-q", "--json").out == "[\n  \"big\",\n  \"small\"\n]\n")
            let show = try p.ctr("profile", "show", "big")
            #expect(show.out == "# \(p.path)/profiles/big.profile\nmemory = 4G\nlabel = a=1\nlabel = b=2\n")
            let json = try p.ctr("profile", "show", "big", "--json").out
            #expect(json.contains("\"memory\" : [\n      \"4G\"\n    ]") && json.contains("\"b=2\""))
        }
    }

    @Test(arguments: [
        ("profile show none", 66, "none"), ("profile show bad", 78, "bad.profile:1"),
        ("profile show Bad", 64, "not a name"),
        ("profile show", 64, "name"), ("profile", 64, "no command given"), ("profile show fifo", 78, "fifo.profile"),
        ("create x --template t --profile none", 66, "looked in"), ("set x --profile bad", 78, "bad.profile:1"),
        ("run --profile none t", 125, "profile none"), ("run --profile bad t", 125, "bad.profile:1"),
        ("run --profile ../bad t", 125, "not a name"), ("profile show binary", 78, "not UTF-8"),
    ])
    func errors(_ script: String, _ status: Int32, _ words: String) throws {
        try with([("bad.profile", "memory = lots\n")]) { (p) throws in
            try p.sh("mkfifo '\(p.path)/profiles/fifo.profile'; printf '\\377' > '\(p.path)/profiles/binary.profile'")
                .expectSuccess()
            let run = try p.sh("\"$CTR\" \(script)")
            #expect(run.status == status, "\(run.err)")
            #expect(run.err.contains(words) && run.err.split(separator: "\n").count == 1, "\(run.err)")
        }
    }

    @Test func whatShipsIsFoundBesideTheProgram() throws {
        try Program.with { (p) throws in
            try p.write("none.json", "{\"profiles\": \"\(p.path)/own\"}")
            let run = try p.sh(
                """
                set -e; cd '\(p.path)'
                mkdir -p usr/bin usr/share/ctr/profiles own checkout/bin checkout/share/profiles
                cp "$CTR" usr/bin/ctr; cp "$CTR" checkout/bin/ctr; : > checkout/Package.swift
                echo 'cpus = 1' > usr/share/ctr/profiles/a.profile
                echo 'cpus = 2' > usr/share/ctr/profiles/b.profile
                echo 'cpus = 3' > own/b.profile
                echo 'cpus = 4' > checkout/share/profiles/c.profile
                usr/bin/ctr profile show a; usr/bin/ctr profile show b; usr/bin/ctr profile list -q
                checkout/bin/ctr profile list -q
                """)
            #expect(run.status == 0, "\(run.err)")
            #expect(
                run.out == """
                    # \(p.path)/usr/share/ctr/profiles/a.profile
                    cpus = 1
                    # \(p.path)/own/b.profile
                    cpus = 3
                    a
                    b
                    b
                    c

                    """)
        }
    }
}
