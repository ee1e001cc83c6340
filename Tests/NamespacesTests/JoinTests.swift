import Kernel
import Model
import NamespaceProbeRequest
import Testing

/// Processes that enter a running VPS. As root.
@Suite(.requiresRoot) struct JoinTests {
    private func running(
        _ fixture: Fixture, _ namespaces: NamespaceFlags = Fixture.all, _ joins: [ProbeJoin]
    ) throws -> ProbeReply {
        var request = fixture.request("echo ready; read line", namespaces)
        request.awaiting = "ready\n"
        request.joins = joins
        let reply = try fixture.launch(request)
        #expect(reply.failure == nil)
        #expect(reply.after.children == [])
        #expect(reply.before.descriptors == reply.after.descriptors)
        return reply
    }

    private func output(_ joined: ProbeReply.Joined?) throws -> String {
        let joined = try #require(joined)
        #expect(joined.failure == nil)
        #expect(joined.ended?.exited == 0, "\(joined)")
        return joined.ended?.output ?? ""
    }

    @Test(arguments: [Fixture.all, Fixture.standard, [.mount, .uts], [.mount, .pid, .user]])
    func inAllItsNamespaces(namespaces: NamespaceFlags) throws {
        try Fixture.with { (fixture) throws in
            let names = LaunchTests.flags.map(\.name)
            let script = "for n in \(names.joined(separator: " ")); do readlink /proc/self/ns/$n; done"
            let reply = try running(fixture, namespaces, [ProbeJoin(["sh", "-c", script])])
            let links = try output(reply.joins.first).split(separator: "\n").map(String.init)
            #expect(links == names.map { reply.namespaces[$0] })
        }
    }

    @Test func asRootOfTheVPS() throws {
        try Fixture.with { (fixture) throws in
            let join = ProbeJoin(
                ["sh", "-c", "id -u; id -G; pwd; stat -c %i / /proc/1/root; ls /proc/self/fd | wc -l; grep -E '^(SigBlk|SigIgn|NSpid)' /proc/self/status; cut -d' ' -f5,6 /proc/$$/stat"])
            let reply = try running(fixture, [join])
            let lines = try output(reply.joins.first).split(separator: "\n").map(String.init)
            #expect(Array(lines[..<3]) == ["0", "0", "/"])
            #expect(lines[3] == lines[4])
            // 0, 1, 2 and what ls itself opens.
            #expect(lines[5] == "4")
            #expect(lines.contains("SigBlk:\t0000000000000000") && lines.contains("SigIgn:\t0000000000000000"))
            // A session of its own.
            let session = try #require(lines.last).split(separator: " ")
            #expect(session.count == 2 && session[0] == session[1] && session[0] != "1")
        }
    }

    private func running(_ fixture: Fixture, _ joins: [ProbeJoin]) throws -> ProbeReply {
        try running(fixture, Fixture.all, joins)
    }

    @Test func aTerminalInside() throws {
        try Fixture.with { (fixture) throws in
            var join = ProbeJoin(["sh", "-c", "tty; echo hello > /dev/tty; stat -c %u:%g:%a $(tty)"])
            join.terminal = true
            let reply = try running(fixture, [join])
            #expect(try output(reply.joins.first) == "/dev/pts/0\r\nhello\r\n0:5:620\r\n")
        }
    }

    @Test func aUserOfTheVPSWithLimits() throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("echo 'web:x:33:34::/srv:/bin/sh' > template/etc/passwd")
            var join = ProbeJoin(["sh", "-c", "id -u; id -g; echo $HOME; ulimit -n"])
            join.userName = "web"
            join.rlimits = [RLimit(resource: 7, soft: 99, hard: 99)]
            let reply = try running(fixture, [join])
            #expect(try output(reply.joins.first) == "33\n34\n/srv\n99\n")
        }
    }

    @Test func errorsAreData() throws {
        try Fixture.with { (fixture) throws in
            var elsewhere = ProbeJoin(["true"])
            elsewhere.cwd = "/nowhere"
            var limited = ProbeJoin(["true"])
            limited.rlimits = [RLimit(resource: 7, soft: 1 << 40, hard: 1 << 40)]
            var unknown = ProbeJoin(["true"])
            unknown.userName = "nobody-here"
            let joins = [ProbeJoin(["nothing"]), ProbeJoin(["/bin"]), elsewhere, limited, unknown, ProbeJoin(["true"])]
            let reply = try running(fixture, joins)
            let failures = reply.joins.map(\.failure)
            #expect(failures[0]?.code == .commandNotFound && failures[0]?.errno == Errno.noEntry)
            #expect(failures[1]?.code == .notExecutable && failures[1]?.errno == Errno.access)
            #expect(failures[2]?.step == "working directory" && failures[2]?.errno == Errno.noEntry)
            #expect(failures[3]?.step == "ulimit" && failures[3]?.errno == Errno.perm)
            #expect(failures[4]?.message.contains("nobody-here") == true)
            #expect(failures[5] == nil && reply.joins[5].ended?.exited == 0)
        }
    }

    /// CVE-2024-21626: the guest points a link at a descriptor of the process that enters.
    @Test func aLeakedDirectory() throws {
        try Fixture.with { (fixture) throws in
            let joins = (3...9).flatMap { number in
                ["/proc/self/fd/\(number)", "/link\(number)"].map { cwd in
                    var join = ProbeJoin(["ls"])
                    join.cwd = cwd
                    return join
                }
            }
            try fixture.sh("for n in 3 4 5 6 7 8 9; do ln -s /proc/self/fd/$n template/link$n; done")
            let reply = try running(fixture, joins)
            #expect(reply.joins.count == 14)
            for joined in reply.joins { #expect(joined.failure?.step == "working directory", "\(joined)") }
            // One of them is a directory of the host that the probe has open.
            #expect(reply.joins.contains { $0.failure?.errno == Errno.access })
        }
    }

    /// /dev/pts/ptmx is the guest's to replace.
    @Test func aTerminalThatIsNone() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("mount -t tmpfs x /dev/pts; ln -s ../null /dev/pts/ptmx; echo ready; read line")
            request.awaiting = "ready\n"
            var join = ProbeJoin(["true"])
            join.terminal = true
            request.joins = [join]
            let reply = try fixture.launch(request)
            #expect(reply.joins.first?.failure?.step == "open terminal", "\(reply)")
            #expect(reply.joins.first?.failure?.errno == Errno.noDevice)
        }
    }

    @Test func afterTheEnd() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo ready; read line")
            request.awaiting = "ready\n"
            request.ending = .joinLate
            let reply = try fixture.launch(request)
            #expect(reply.joins.count == 2)
            for joined in reply.joins {
                #expect(joined.failure?.step == "enter", "\(joined)")
                #expect(joined.failure?.errno == Errno.noProcess)
            }
            #expect(reply.ending?.signaled == Signal.kill)
            #expect(reply.after.children == [])
            #expect(reply.before.descriptors == reply.after.descriptors)
        }
    }
}
