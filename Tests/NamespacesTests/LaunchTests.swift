import Kernel
import Model
import NamespaceProbeRequest
import Testing

/// What a start makes: namespaces, and everything about the process that enters them. As root.
@Suite(.requiresRoot) struct LaunchTests {
    /// The names of /proc/PID/ns and the flags that make them.
    static let flags: [(name: String, flag: NamespaceFlags)] = [
        ("mnt", .mount), ("pid", .pid), ("uts", .uts), ("ipc", .ipc), ("user", .user), ("net", .network),
        ("cgroup", .cgroup), ("time", .time),
    ]

    /// Those of the links that differ between the host and the program.
    private func own(_ reply: ProbeReply) -> Set<String> {
        Set(Self.flags.map(\.name).filter { reply.namespaces[$0] != reply.before.namespaces[$0] })
    }

    @Test(arguments: ["uts", "ipc", "net", "cgroup", "time", "pid", "mnt"])
    func eachNamespaceAlone(name: String) throws {
        let flag = try #require(Self.flags.first { $0.name == name }).flag
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo ready; read line", flag)
            request.awaiting = "ready\n"
            let reply = try fixture.launch(request)
            #expect(reply.failure == nil)
            // A root of its own always takes a mount namespace.
            #expect(own(reply) == [name, "mnt"])
            #expect(reply.ending?.exited == 0)
            fixture.expectUnchanged(reply)
        }
    }

    /// Only the owner of a pid namespace may mount its /proc, so a user namespace alone can't be.
    @Test func aUserNamespaceNeedsItsOwnProcesses() throws {
        try Fixture.with { (fixture) throws in
            let reply = try fixture.launch(fixture.request("true", [.user, .mount]))
            #expect(reply.failure?.step == "mount /proc and /sys")
            #expect(reply.failure?.errno == Errno.perm)
            fixture.expectUnchanged(reply)
            var request = fixture.request("echo ready; read line", [.user, .mount, .pid])
            request.awaiting = "ready\n"
            let minimal = try fixture.launch(request)
            #expect(minimal.failure == nil)
            #expect(own(minimal) == ["user", "mnt", "pid"])
        }
    }

    @Test func allTogether() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo ready; read line")
            request.awaiting = "ready\n"
            let reply = try fixture.launch(request)
            #expect(reply.failure == nil)
            #expect(own(reply) == Set(Self.flags.map(\.name)))
            fixture.expectUnchanged(reply)
            // While it runs the starter has the pidfd and its end of the socket pair more, and one child.
            let before = Set(reply.before.descriptors)
            let more = Set(reply.afterStart.descriptors).subtracting(before).map { $0.split(separator: " ")[1] }
            #expect(more.count == 2 && more.contains("anon_inode:[pidfd]") && more.contains { $0.hasPrefix("socket:") })
            #expect(before.isSubset(of: reply.afterStart.descriptors))
            #expect(reply.afterStart.children == [reply.pid])
            #expect(reply.afterStart.namespaces == reply.before.namespaces)
            #expect(reply.afterStart.cwd == reply.before.cwd)
            #expect(reply.afterStart.root == reply.before.root)
            #expect(reply.afterStart.status == reply.before.status)
        }
    }

    @Test func refusedInAProcessWithThreads() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("true")
            request.thread = true
            let reply = try fixture.launch(request)
            #expect(reply.failure?.message.contains("2 threads") == true)
            #expect(reply.after.children == [])
            #expect(reply.before.descriptors == reply.after.descriptors)
        }
    }

    // MARK: the process

    @Test func firstOfItsKind() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request(
                """
                echo $$; hostname; id -u; umask; pwd
                # Its own process group and session.
                cut -d' ' -f5,6 /proc/1/stat
                """)
            request.hostname = "guest"
            request.umask = 0o077
            request.cwd = "/etc"
            #expect(try fixture.output(request) == "1\nguest\n0\n0077\n/etc\n1 1\n")
            // A shell sets some of these itself.
            request.args = ["grep", "-E", "^(SigBlk|SigIgn|SigCgt|Groups):", "/proc/1/status"]
            let none = "0000000000000000"
            #expect(
                try fixture.output(request)
                    == "Groups:\t \nSigBlk:\t\(none)\nSigIgn:\t\(none)\nSigCgt:\t\(none)\n")
        }
    }

    @Test func nameOfTheDomain() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname")
            request.hostname = String(repeating: "h", count: 64)
            request.domainname = "example.org"
            #expect(try fixture.output(request) == "\(request.hostname!)\nexample.org\n")
        }
    }

    @Test func onlyItsOwnEnvironmentAndDescriptors() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request(args: ["env"])
            request.env = ["PATH=/bin", "A=ü b"]
            #expect(try fixture.output(request) == "PATH=/bin\nA=ü b\n")
            request.args = ["ls", "-l", "/proc/self/fd"]
            let links = try fixture.output(request).split(separator: "\n").compactMap { line -> [Substring]? in
                let words = line.split(separator: " ")
                return words.count > 3 && words[words.count - 2] == "->" ? [words[words.count - 3], words.last!] : nil
            }
            // The directory that ls has open is closed when it looks at the links.
            #expect(links.map { $0[0] } == ["0", "1", "2"], "\(links)")
            #expect(links[0][1].hasPrefix("pipe:") && links[1][1] == links[2][1] && links[0][1] != links[1][1])
        }
    }

    @Test func anotherUser() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("id -u; id -g; id -G; grep -E '^Cap(Prm|Eff):' /proc/self/status")
            request.uid = 1000
            request.gid = 100
            request.groups = [27, 5]
            let none = "0000000000000000"
            #expect(try fixture.output(request) == "1000\n100\n100 5 27\nCapPrm:\t\(none)\nCapEff:\t\(none)\n")
        }
    }

    @Test func aUserByName() throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("echo 'web:x:33:34::/srv:/bin/sh' > template/etc/passwd")
            var request = fixture.request("id -u; id -g; echo $HOME")
            request.userName = "web"
            #expect(try fixture.output(request) == "33\n34\n/srv\n")
        }
    }

    @Test func aTerminal() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request(
                "tty; echo hello > /dev/tty; stat -c %t:%T /dev/console; stat -c %u:%g /dev/pts/0")
            request.terminal = true
            #expect(try fixture.output(request) == "/dev/pts/0\r\nhello\r\n88:0\r\n0:5\r\n")
        }
    }

    @Test func limits() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj")
            request.rlimits = [
                RLimit(resource: 7, soft: 100, hard: 200), RLimit(resource: 4, soft: 0, hard: 0),
            ]
            request.oomScoreAdj = 500
            #expect(try fixture.output(request) == "100\n200\n0\n500\n")
        }
    }

    @Test func shiftedClocks() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime")
            let day: Int64 = 86_400_000_000_000
            request.timeOffsets = TimeOffsets(monotonic: 100 * day + 250, boottime: 200 * day)
            request.hostBeforeExecute = ["cut -d. -f1 /proc/uptime"]
            request.hostWhileRunning = ["cut -d. -f1 /proc/uptime"]
            let reply = try fixture.launch(request)
            #expect(reply.failure == nil)
            let lines = try #require(reply.ending).output.split(separator: "\n")
            #expect(lines[0].split(separator: " ") == ["monotonic", "8640000", "250"])
            #expect(lines[1].split(separator: " ") == ["boottime", "17280000", "0"])
            let host = try reply.host.map { try #require(Int($0.output.dropLast())) }
            let shifted = try #require(Int(lines[2])) - 17_280_000
            // What its starter starts later has the host's clocks.
            // The guest may come to look after the host did: a minute is not the days that it is about.
            #expect(host[0] <= shifted && shifted <= host[1] + 60)
            fixture.expectUnchanged(reply)
        }
    }

    @Test func clocksThatRunBehind() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("cat /proc/self/timens_offsets")
            request.timeOffsets = TimeOffsets(monotonic: -1, boottime: -1_500_000_000)
            let words = try fixture.output(request).split(whereSeparator: \.isWhitespace)
            #expect(words == ["monotonic", "-1", "999999999", "boottime", "-2", "500000000"])
        }
    }

    // MARK: ends

    @Test func endsWithItsStarter() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo ready; exec sleep 1000")
            request.awaiting = "ready\n"
            request.parentDeathSignal = Signal.kill
            request.ending = .dieRunning
            #expect(try Fixture.ends(try fixture.launch(request).pid))
        }
    }

    @Test func livesOnWithoutItsStarter() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo ready; exec sleep 1000")
            request.awaiting = "ready\n"
            request.ending = .dieRunning
            let reply = try fixture.launch(request)
            let process = try ProcessHandle(pid: reply.pid)
            try process.signal(Signal.kill)
            #expect(try Fixture.ends(reply.pid))
        }
    }

    /// A starter that is killed after "ready" leaves no process, and the program was never executed.
    @Test func killedBeforeExecute() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo > /marker")
            request.ending = .dieReady
            #expect(try Fixture.ends(try fixture.launch(request).pid))
            #expect(try fixture.sh("ls disk/upper").contains("marker") == false)
        }
    }

    @Test func abandonedWhenReady() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo > /marker")
            request.ending = .abandon
            let reply = try fixture.launch(request)
            #expect(reply.failure == nil)
            fixture.expectUnchanged(reply)
            #expect(try fixture.sh("ls disk/upper").contains("marker") == false)
        }
    }
}
