import Model
import Namespaces
import Testing

@Suite struct UserTests {
    static let passwd = """
        # comment:x:1:1::/:/bin/sh
        root:x:0:0:root:/root:/bin/bash
        daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin

        broken:x:2
        broken:x:zz:2::/:/bin/sh
        broken:x:+2:2::/:/bin/sh
        broken:x: 2:2::/:/bin/sh
        broken:x:4294967295:2::/:/bin/sh
        broken:x:99999999999999999999:2::/:/bin/sh
        broken:x:002:2::/:/bin/sh
        broken:x:-1:2::/:/bin/sh
        +nis:x:3:3::/:/bin/sh
        -nis:x:3:3::/:/bin/sh
        :x:3:3::/:/bin/sh
        alice:x:1000:100:Alice,,,:/home/alice:/bin/zsh
        alice:x:0:0:second:/root:/bin/sh
        bob:x:1001:1001::home/bob:
        twin:x:1000:7::/home/twin:/bin/sh
        1002:x:0:0:digits:/root:/bin/sh
        last:x:4294967294:4294967294::/:/bin/sh
        """
    static let group = """
        root:x:0:
        wheel:x:10:root,alice
        users:x:100:
        sudo:x:27:bob,alice,carol
        again:x:27:alice
        alice2:x:28:alicex,xalice
        bad:x:zz:alice
        bad:x:29
        short:x:30:alice
        short:x:31:alice
        """

    static func resolve(
        _ text: String, passwd: String? = passwd, group: String? = group
    ) throws(CtrError) -> ResolvedUser {
        try ResolvedUser(
            UserSpec.parse(text), passwd: passwd.map { Array($0.utf8) }, group: group.map { Array($0.utf8) })
    }

    @Test(arguments: [
        ("0", UserSpec(user: .number(0))), ("1", UserSpec(user: .number(1))),
        ("4294967294", UserSpec(user: .number(4_294_967_294))),
        ("1:2", UserSpec(user: .number(1), group: .number(2))),
        ("alice", UserSpec(user: .name("alice"))),
        ("alice:sudo", UserSpec(user: .name("alice"), group: .name("sudo"))),
        ("_apt:0", UserSpec(user: .name("_apt"), group: .number(0))),
        ("1a", UserSpec(user: .name("1a"))), ("www-data", UserSpec(user: .name("www-data"))),
    ])
    func parses(text: String, spec: UserSpec) throws {
        #expect(try UserSpec.parse(text) == spec)
    }

    /// CVE-2026-30892 and its relatives.
    @Test(arguments: [
        "", ":", "1:", ":1", "+1", "-1", " 1", "1 ", "1\n", "01", "00", "4294967295", "4294967296",
        "18446744073709551616", "1:2:3", "a:", "a:b:c", "1:-1", "1:4294967295", "a b", "a/b", "../x", "a\u{0}b", "a,b",
        "\u{1b}[31m", "1:+2",
    ])
    func refuses(text: String) {
        do throws(CtrError) {
            _ = try UserSpec.parse(text)
            Issue.record("accepted '\(text.escaped)'")
        } catch {
            #expect(error.code == .usage)
            #expect(!error.message.unicodeScalars.contains { $0.value < 32 })
        }
    }

    @Test func aName() throws {
        let alice = try Self.resolve("alice")
        #expect(alice.uid == 1000 && alice.gid == 100)
        #expect(alice.groups == [100, 10, 27, 30, 31])
        #expect(alice.name == "alice" && alice.home == "/home/alice" && alice.shell == "/bin/zsh")
    }

    @Test func theFirstEntryWins() throws {
        #expect(try Self.resolve("1000").name == "alice")
        #expect(try Self.resolve("alice").uid == 1000)
    }

    @Test func aNumberWithoutAnEntry() throws {
        let user = try Self.resolve("4242")
        #expect(user.uid == 4242 && user.gid == 0 && user.groups == [0])
        #expect(user.name == nil && user.home == "/" && user.shell == nil)
    }

    /// An entry whose name is a number is no way to become its id.
    @Test func digitsAreNeverAName() throws {
        let user = try Self.resolve("1002")
        #expect(user.uid == 1002 && user.name == nil)
    }

    @Test func aGroupGivenIsTheOnlyOne() throws {
        #expect(try Self.resolve("alice:sudo").groups == [27])
        #expect(try Self.resolve("alice:5").groups == [5])
        #expect(try Self.resolve("7:wheel").gid == 10)
    }

    @Test func brokenLinesAreNoEntries() throws {
        #expect(throws: CtrError.self) { try Self.resolve("broken") }
        #expect(throws: CtrError.self) { try Self.resolve("1:bad") }
        #expect(try Self.resolve("2").name == nil)
        #expect(try Self.resolve("3").name == nil)
        #expect(try Self.resolve("last").uid == 4_294_967_294)
    }

    @Test func aRelativeHomeAndAnEmptyShellAreNotTaken() throws {
        let bob = try Self.resolve("bob")
        #expect(bob.home == "/" && bob.shell == nil)
    }

    @Test func missingFiles() throws {
        #expect(try Self.resolve("0", passwd: nil, group: nil) == Self.resolve("0", passwd: "", group: ""))
        #expect(throws: CtrError.self) { try Self.resolve("root", passwd: nil) }
        #expect(throws: CtrError.self) { try Self.resolve("0:root", group: nil) }
    }

    @Test func linesWithControlCharactersAreNoEntries() throws {
        #expect(throws: CtrError.self) { try Self.resolve("eve", passwd: "eve:x:0\u{0}:0::/:/bin/sh\n") }
        #expect(throws: CtrError.self) { try Self.resolve("eve", passwd: "eve\u{0}x:x:0:0::/:/bin/sh\n") }
        #expect(throws: CtrError.self) { try Self.resolve("eve", passwd: "eve:x:0:0::/root\r:/bin/sh\r\n") }
        #expect(throws: CtrError.self) { try Self.resolve("eve", passwd: "eve:x:0:0::/\u{1b}[2J:/bin/sh\n") }
    }

    @Test func bytesThatAreNoText() throws {
        var passwd: [UInt8] = Array("gec:x:5:5:".utf8) + [0xff, 0xfe] + Array("::/bin/sh\n".utf8)
        passwd += Array("h:x:6:6::/".utf8) + [0xff] + Array(":/bin/sh\n".utf8)
        #expect(try ResolvedUser(.parse("gec"), passwd: passwd, group: nil).uid == 5)
        #expect(throws: CtrError.self) { try ResolvedUser(.parse("h"), passwd: passwd, group: nil) }
    }

    @Test func tooManyGroups() {
        let group = (1...65537).map { "g\($0):x:\($0):alice" }.joined(separator: "\n")
        #expect { _ = try Self.resolve("alice", group: group) } throws: { ($0 as? CtrError)?.code == .config }
    }

    @Test func aLongFileWithoutLines() throws {
        let junk = String(repeating: "a", count: 1 << 20)
        #expect(throws: CtrError.self) { try Self.resolve("a", passwd: junk, group: junk) }
        #expect(throws: CtrError.self) { try Self.resolve("a", passwd: String(repeating: ":", count: 1 << 20)) }
    }
}
