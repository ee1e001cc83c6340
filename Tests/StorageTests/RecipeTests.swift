import Kernel
import Model
import Testing

@testable import Storage

@Suite("Recipes")
struct RecipeTests {
    @Test("Every key")
    func whole() throws {
        let recipe = try Recipe(
            """
            # a comment
            name = web
              description = A web server, "quoted" # no comment here
            base = mmdebstrap bookworm
            packages = nginx-light libc6
            packages = g++
            init = /sbin/init --log "two words" 'single \\ quote' back\\ slash ""
            stop-signal = SIGRTMIN+3
            ready = notify
            entrypoint = /bin/env
            command = sh -c "a=\\"b\\"; echo $a"
            env = A=b c
            env = B=
            label = k=v=w
            user = www-data:1
            workdir = /srv
            run = /bin/true
            run = rm -rf /x
            """, file: "r")
        #expect(recipe.name == "web" && recipe.base == .mmdebstrap(suite: "bookworm"))
        #expect(recipe.packages == ["nginx-light", "libc6", "g++"])
        #expect(
            recipe.defaults.initCommand == ["/sbin/init", "--log", "two words", "single \\ quote", "back slash", ""])
        #expect(recipe.defaults.stopSignal == "SIGRTMIN+3" && recipe.defaults.ready == .notify)
        #expect(recipe.defaults.command == ["sh", "-c", "a=\"b\"; echo $a"])
        #expect(recipe.defaults.env == ["A=b c", "B="])
        #expect(recipe.defaults.labels == ["k": "v=w"])
        #expect(recipe.defaults.description == "A web server, \"quoted\" # no comment here")
        #expect(recipe.run == [["/bin/true"], ["rm", "-rf", "/x"]])
    }

    @Test(
        "Errors name file and line",
        arguments: [
            ("nmae = x", "r:1: unknown key 'nmae'"),
            ("ready = soon", "r:1: ready 'soon': not one of notify, marker, started"),
            ("name = a\n\nname = b", "r:3: 'name' was given in line 1"),
            ("name", "r:1: neither"), ("name =", "r:1: 'name' has no value"), ("name = Bad/Name", "r:1: template name"),
            ("name = a", "r: 'base' is missing"), ("base = empty", "r: 'name' is missing"),
            ("base = docker x", "r:1: base"), ("base = mmdebstrap", "r:1: base"),
            ("base = mmdebstrap --help", "r:1: suite"), ("base = mmdebstrap ../x", "r:1: suite"),
            ("packages = ok -o=x", "r:1: package '-o=x'"), ("packages = a,b", "r:1: package 'a,b'"),
            ("packages = UPPER", "r:1: package"), ("env = novalue", "r:1: env"), ("label = x", "r:1: label"),
            ("\n\nworkdir = here", "r:3: workdir"), ("stop-signal = 9;x", "r:1: stop signal"),
            ("run = 'open", "r:1: a quote"), ("user = a\u{1b}[2J", "r:1: a control character"),
            ("command = \"\"", "r:1: command"),
        ])
    func errors(_ text: String, _ message: String) {
        do throws(CtrError) {
            _ = try Recipe(text, file: "r")
            Issue.record("read")
        } catch {
            #expect(error.code == .badInput)
            #expect(error.message.hasPrefix(message), "\(error.message)")
            #expect(!error.message.unicodeScalars.contains { $0.value < 32 })
        }
    }

    @Test("A recipe of overlay files and commands is built, and what fails leaves nothing")
    func build() throws {
        try Fixture.with { f in
            try f.write("r/recipe", "name = small\nbase = empty\nenv = A=b\nrun = make x\nrun = check\n")
            try f.sh(
                "mkdir -p r/files/etc r/files/tmp; echo hi >r/files/etc/f; cp /bin/true r/files/etc/prog; chmod 4711 r/files/etc/prog"
            )
            try f.sh("chmod 700 r/files/etc; chown 5:5 r/files/etc/f; ln -s f r/files/etc/l")
            var seen: [[String]] = []
            let made = try f.store.build(
                recipe: "\(f.path)/r",
                runInside: { (root, words, environment) throws(CtrError) in
                    seen.append(words)
                    #expect(environment.contains("A=b"))
                    if words == ["make", "x"] {
                        do { try Kernel.open(root, [.directory]).makeDirectory("made", mode: 0o755) } catch {
                            throw CtrError(.failed, "\(error)")
                        }
                    }
                    return 0
                })
            #expect(seen == [["make", "x"], ["check"]])
            #expect(made.name == "small" && made.env == ["A=b"] && made.source == "recipe small")
            #expect(
                try f.sh(
                    "cd root/templates/small/rootfs; stat -c '%n %a %u' etc etc/f etc/prog tmp made proc; readlink etc/l"
                )
                    == "etc 755 0\netc/f 644 0\netc/prog 755 0\ntmp 1777 0\nmade 755 0\nproc 555 0\nf\n")
            do throws(CtrError) {
                try f.store.build(recipe: "\(f.path)/r", name: "two") { (_, _, _) throws(CtrError) in 3 }
                Issue.record("built")
            } catch { #expect(error.message == "build two: run 'make x' failed with status 3") }
            do throws(CtrError) {
                try f.store.build(recipe: "\(f.path)/outside", name: "two") { (_, _, _) throws(CtrError) in 0 }
                Issue.record("built")
            } catch { #expect(error.code == .notFound) }
            #expect(try f.templates() == ["small"])
        }
    }

    @Test("The recipes that we ship can be read", arguments: ["minimal", "debian-12"])
    func shipped(_ name: String) throws {
        let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
        let recipe = try Recipe(directory: "\(root)/rootfs-templates/\(name)")
        #expect(recipe.name == name)
    }
}

@Suite("SHA-256")
struct SHA256Tests {
    @Test(
        "Known hashes",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
        ])
    func known(_ text: String, _ hex: String) {
        var hash = SHA256()
        hash.update(Array(text.utf8))
        #expect(hash.hex() == hex)
    }

    @Test("Agrees with sha256sum at every length around the block size, however the data are cut")
    func lengths() throws {
        try Fixture.with { f in
            for length in [1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4097] {
                let data = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try f.write("data", data)
                let expected = try f.sh("sha256sum data").prefix(64)
                for cut in [1, 7, 64, 100] {
                    for isPortable in [true, false] {
                        var hash = SHA256(isPortable: isPortable)
                        for start in stride(from: 0, to: length, by: cut) {
                            hash.update(Array(data[start..<min(start + cut, length)]))
                        }
                        #expect(hash.hex() == expected)
                    }
                }
            }
        }
    }
}
