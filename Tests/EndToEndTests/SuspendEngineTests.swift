import Glibc
import Testing

/// The criu that `suspend` and `resume` work with, and what it finds of the host.
@Suite(.serialized, .enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"))
struct SuspendEngineTests {
    @Test(arguments: [
        ("old", "is version 3.17, 4.2 or later is needed"), ("mute", "does not say its version"), ("missing", "not at"),
        ("noisy", "does not say its version"), ("slow", "is version 3.17"),
    ]) func oneThatWillNotDo(criu: String, reason: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try f.write("old", "#!/bin/sh\necho 'Version: 3.17'\n", mode: 0o755)
            try f.write("mute", "#!/bin/sh\n", mode: 0o755)
            try f.write("noisy", "#!/bin/sh\nhead -c 300000 /dev/zero | tr '\\000' x\n", mode: 0o755)
            try f.write("slow", "#!/bin/sh\nprintf Ver; sleep 0.3; printf 'sion: 3.17'\n", mode: 0o755)
            let config = try f.text("config.json").dropLast() + ", \"criu\": \"\(f.path)/\(criu)\"}"
            try f.write("other.json", String(config))
            let ctr = "export CTR_CONFIG=$PWD/other.json; $CTR"
            try f.sh("\(ctr) suspend \(n)").fails(69, words: "criu", reason)
            #expect(try f.state(n) == "running" && !f.sh("ls root/vps/\(n)").out.contains("checkpoint"))
            #expect(try !f.sh("ls state/\(n)").out.contains("criu"))
            try f.goesOn(n)
            try f.ctr("suspend", n).succeeds()
            try f.sh("\(ctr) resume \(n)").fails(69, words: "criu", reason)
            #expect(try f.state(n) == "suspended")
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    /// criu would wait for minutes.
    @Test func withoutTheHostsLoopback() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none", "--net", "none")
            let without = "unshare -n $CTR"
            try f.sh("\(without) suspend \(n)").fails(69, words: "loopback", "ip link set lo up")
            try f.goesOn(n)
            try f.ctr("suspend", n).succeeds()
            try f.sh("\(without) resume \(n)").fails(69, words: "loopback", "ip link set lo up")
            #expect(try f.state(n) == "suspended")
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    /// It uses the host's mounts of the cgroup hierarchies, of which neither the VPS nor the host keeps anything.
    @Test(arguments: [["--userns", "host"], []]) func findsTheCgroups(options: [String]) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name("a")
            try f.start(f.program, ["create", n, "--template", "minimal", "--disk", "none"] + options).wait().succeeds()
            try f.ctr("start", n).succeeds()
            func seen() throws -> [String] {
                try f.ctr(
                    "exec", n, "--", "sh", "-c",
                    "cut -d' ' -f4- /proc/1/mountinfo | sed 's/lowerdir=.*//'; cat /proc/1/cgroup"
                ).lines.sorted()
            }
            let before = try seen()
            try f.wrapCRIU(atTheEnd: ":")
            try f.sh("sed -i 's|^words=()|&; echo \"$*\" >> \(f.path)/words|' criu").succeeds()
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", n).succeeds()
            let called = try f.text("words").split(separator: "\n").filter { $0.contains(" --cgroup-yard ") }
            #expect(called.map { $0.prefix(4) } == ["dump", "rest"])
            #expect(try f.sh("ls state/\(n)").out.contains("criu") == false)
            let after = try seen()
            #expect(after == before, "\(Set(after).symmetricDifference(before).sorted())")
        }
    }
}
