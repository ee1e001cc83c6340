import Glibc
import Kernel
import Testing

/// The identity that a VPS gets before its first start: see docs/identity.md.
@Suite struct IdentityTests {
    private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5a7qFf0RB8tZAZ6+vO5SdbJmVCyOcYmC1Cj1rMYG8D me@here"
    private static let hash = "$6$saltsalt$\(String(repeating: "a", count: 86))"
    private static let look = """
        cat /etc/hostname /etc/hosts /etc/machine-id /etc/resolv.conf /root/.ssh/authorized_keys
        stat -c '%n %u %g %a' /etc/hostname /etc/shadow /root/.ssh /root/.ssh/authorized_keys; grep ^root: /etc/shadow
        """

    private static var kinds: [String] { Disks.lack == nil ? ["none", "256M"] : ["none"] }

    @Test(arguments: kinds) func isWrittenOnceBeforeTheFirstStart(disk: String) throws {
        try Fixture.withServers { (f) throws in
            try f.write("key.pub", IdentityTests.key + "\n")
            try f.template("t", "echo uninitialized > etc/machine-id").succeeds()
            let (n, c) = (f.name("a"), f.name("c"))
            try f.ctr(
                "create", n, "--template", "t", "--init", "/sbin/init", "--stop-signal", "SIGUSR2", "--disk", disk,
                "--domain", "example.org", "--dns", "192.0.2.53",
                "--ssh-key", "\(f.path)/key.pub", "--password-hash", IdentityTests.hash
            ).succeeds()
            try f.ctr("start", n).succeeds()
            let seen = try f.ctr("exec", n, "--", "sh", "-c", IdentityTests.look).both
            #expect(seen.hasPrefix("\(n)\n") && seen.contains("127.0.1.1\t\(n).example.org \(n)\n"), "\(seen)")
            #expect(seen.contains("search example.org\nnameserver 192.0.2.53\n\(IdentityTests.key)\n"), "\(seen)")
            #expect(seen.contains("/root/.ssh 0 0 700\n/root/.ssh/authorized_keys 0 0 600\n"), "\(seen)")
            #expect(seen.contains("root:\(IdentityTests.hash):") && !seen.contains("uninitialized"), "\(seen)")
            let id = try f.ctr("exec", n, "cat", "/etc/machine-id").succeeds().out

            // What is changed inside stays.
            try f.ctr("exec", n, "--", "sh", "-c", "echo mine > /etc/resolv.conf; echo k > /root/.ssh/authorized_keys")
                .succeeds()
            try f.ctr("restart", n).succeeds()
            let kept = try f.ctr("exec", n, "cat", "/etc/resolv.conf", "/root/.ssh/authorized_keys", "/etc/machine-id")
            #expect(kept.out == "mine\nk\n\(id)")
            // Only what is set is written, and only from the next start on.
            let told = try f.ctr("set", n, "--hostname", "other").succeeds()
            #expect(told.err.contains("--hostname"))
            try f.ctr("restart", n).succeeds()
            #expect(
                try f.ctr("exec", n, "cat", "/etc/hostname", "/etc/resolv.conf", "/etc/machine-id").succeeds().out
                    == "other\nmine\n\(id)")

            // A clone of it while it runs is another one, with what was changed inside.
            try f.ctr("clone", n, c).succeeds()
            try f.ctr("start", c).succeeds()
            let clone = try f.ctr("exec", c, "cat", "/etc/hostname", "/root/.ssh/authorized_keys", "/etc/machine-id")
                .succeeds().lines
            #expect(clone.count == 3 && clone[0] == c && clone[1] == "k" && clone[2] + "\n" != id, "\(clone)")
        }
    }

    @Test func whatIsWrongIsRefusedBeforeAnythingIsMade() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name("a")
            try f.write("private", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
            for (words, status, word) in [
                (["--password-hash", "secret"], 64, "crypt"), (["--ssh-key", "\(f.path)/none"], 66, "none"),
                (["--ssh-key", "\(f.path)/private"], 65, "private key"), (["--dns", "name"], 64, "IP address"),
                (["--timezone", "../x"], 64, "time zone"),
            ] as [([String], Int32, String)] {
                let refused = try f.start(f.program, ["create", n, "--template", "minimal"] + words).wait()
                #expect(refused.status == status && refused.err.contains(word), "\(refused.both)")
                #expect(!f.exists("root/vps/\(n)"))
            }
        }
    }

    /// A kill leaves it due, whoever comes next does it: `exec --offline`, `cp`, `start`.
    @Test(arguments: ["exec --offline $A cat /etc/hostname", "cp $A:/etc/hostname -"])
    func whoComesFirstDoesIt(command: String) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name("a")
            try f.ctr("create", n, "--template", "minimal").succeeds()
            #expect(try f.text("root/vps/\(n)/config.json").contains("identityDue"))
            #expect(try f.sh("A=\(n); $CTR \(command)").succeeds().out.contains(n))
            #expect(try !f.text("root/vps/\(n)/config.json").contains("identityDue"))
        }
    }

    /// A disk of before it, an archive of before it, another name: it is written where it is missing.
    @Test func isThereWhateverBecameOfTheDisk() throws {
        try Fixture.withServers { (f) throws in
            let (n, b) = (f.name("a"), f.name("b"))
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.ctr("snapshot", "create", n, "s").succeeds()
            try f.ctr("export", n, "\(f.path)/a.tar").succeeds()
            let hostname = { (name: String) throws in
                try f.ctr("exec", "--offline", name, "cat", "/etc/hostname").succeeds().out
            }
            #expect(try hostname(n) == n + "\n")
            try f.ctr("snapshot", "revert", n, "s").succeeds()
            #expect(try hostname(n) == n + "\n")
            try f.ctr("rename", n, b).succeeds()
            #expect(try hostname(b) == b + "\n")
            try f.ctr("import", "\(f.path)/a.tar").succeeds()
            #expect(try hostname(n) == n + "\n")
        }
    }

    /// A root that takes none is a clear error, and there is a way in.
    @Test func aRootThatTakesNone() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name("a")
            try f.template("t", "rm -f etc/hostname; mkdir etc/hostname").succeeds()
            try f.ctr("create", n, "--template", "t", "--init", "sleep 1000").succeeds()
            let refused = try f.ctr("start", n)
            #expect(refused.status == 74 && refused.err.contains("/etc/hostname") && refused.err.contains("--rescue"))
            try f.sh("$CTR start --rescue \(n)").succeeds()
            try f.ctr("exec", n, "rmdir", "/etc/hostname").succeeds()
            try f.ctr("stop", n, "--timeout", "0").succeeds()
            try f.ctr("start", n).succeeds()
        }
    }

    @Test func runTakesWhatItIsGiven() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "--dns", "192.0.2.1", "minimal", "cat", "/etc/resolv.conf").succeeds()
            #expect(run.out == "nameserver 192.0.2.1\n")
        }
    }
}
