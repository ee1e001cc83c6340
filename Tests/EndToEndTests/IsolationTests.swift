import Kernel
import Testing

/// What a VPS sees, and that it is not the host's: issue 2, sections Namespaces and run.
@Suite struct IsolationTests {
    static let kinds = ["pid", "uts", "ipc", "net", "user", "cgroup", "mnt"]

    @Test func namespacesAreItsOwn() throws {
        try Fixture.with { (f) throws in
            let script = Self.kinds.map { "readlink /proc/self/ns/\($0)" }.joined(separator: "; ")
            let host = try f.sh(script).succeeds().lines
            let one = try f.ctr("run", "minimal", "sh", "-c", script).succeeds().lines
            #expect(one.count == Self.kinds.count)
            for (kind, (outside, inside)) in zip(Self.kinds, zip(host, one)) { #expect(outside != inside, "\(kind)") }
        }
    }

    @Test func twoRunningOnesShareNoNamespaceAndNoIDs() throws {
        try Fixture.with { (f) throws in
            let script =
                Self.kinds.map { "readlink /proc/self/ns/\($0)" }.joined(separator: "; ") + "; cat /proc/self/uid_map"
            for word in ["a", "b"] {
                try f.ctr("run", "-d", "--name", f.name(word), "minimal", "sleep", "1000").succeeds()
            }
            let a = try f.ctr("exec", f.name("a"), "--", "sh", "-c", script).succeeds().lines
            let b = try f.ctr("exec", f.name("b"), "--", "sh", "-c", script).succeeds().lines
            for (kind, (one, other)) in zip(Self.kinds, zip(a, b)) { #expect(one != other, "\(kind)") }
            let maps = [a, b].map { $0.last!.split(separator: " ").compactMap { Int($0) } }
            for map in maps { #expect(map.count == 3 && map[0] == 0 && map[1] >= 65536 && map[2] == 65536, "\(map)") }
            #expect(abs(maps[0][1] - maps[1][1]) >= 65536, "\(maps)")
            try f.ctr("destroy", "--force", f.name("a"), f.name("b")).succeeds()
        }
    }

    @Test func networkOfTheHostWhereAsked() throws {
        try Fixture.with { (f) throws in
            let host = try f.sh("readlink /proc/self/ns/net").line
            #expect(try f.ctr("run", "--net", "host", "minimal", "readlink", "/proc/self/ns/net").line == host)
            // Its own has a loopback interface that is up, and nothing else.
            let own = try f.ctr("run", "minimal", "sh", "-c", "ls /sys/class/net; ping -c 1 -w 2 127.0.0.1").succeeds()
            #expect(!own.out.contains("eth0"))
            #expect(own.lines.contains("lo"))
        }
    }

    @Test func hostNameAndDomain() throws {
        try Fixture.with { (f) throws in
            let before = try f.sh("hostname").line
            let run = try f.ctr(
                "run", "--hostname", "web.example.org", "--domain", "nis.example", "minimal", "sh", "-c",
                "hostname; cat /proc/sys/kernel/domainname; hostname changed; hostname")
            #expect(run.lines == ["web.example.org", "nis.example", "changed"], "\(run.both)")
            #expect(try f.ctr("run", "--name", f.name(), "minimal", "hostname").line == f.name())
            #expect(try f.sh("hostname").line == before)
        }
    }

    @Test func processOneAndNothingOfTheHost() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "minimal", "sh", "-c", "echo $$; ls -d /proc/[0-9]*; cut -d' ' -f5,6 /proc/self/stat; exit 0")
            #expect(run.lines.first == "1")
            #expect(run.lines.filter { $0.hasPrefix("/proc/") }.count <= 2, "\(run.both)")
        }
    }

    @Test func sessionLeaderWithItsOwnGroup() throws {
        try Fixture.with { (f) throws in
            // pid, ppid, process group, session of process 1, seen by itself.
            let run = try f.ctr("run", "minimal", "sh", "-c", "read a b c d e f g < /proc/1/stat; echo $a $d $e $f")
            #expect(run.line == "1 0 1 1", "\(run.both)")
        }
    }

    @Test func noDescriptorOfTheHost() throws {
        try Fixture.with { (f) throws in
            try f.write("secret", "x")
            // Host files, directories and a socket, none of them close-on-exec.
            let hold = (3...20).map { "exec \($0)<\($0 % 2 == 0 ? "/etc" : "secret")" }.joined(separator: "; ")
            // A program and no shell, which keeps copies of its streams open. It has the directory itself open.
            let run = try f.sh("\(hold); $CTR run minimal ls -1 /proc/self/fd").succeeds()
            #expect(run.lines.sorted() == ["0", "1", "2", "3"], "\(run.both)")
            let other = try f.sh(
                """
                \(hold)
                $CTR run -d --name $N-a minimal sleep 1000 >/dev/null
                $CTR exec $N-a -- ls -1 /proc/self/fd; $CTR exec $N-a -- ls -1 /proc/1/fd
                $CTR destroy --force $N-a >/dev/null
                """
            ).succeeds()
            #expect(other.lines.sorted() == ["0", "0", "1", "1", "2", "2", "3"], "\(other.both)")
        }
    }

    @Test func mountsOfTheHostAreInvisible() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "cat", "/proc/self/mountinfo").succeeds()
            let points = run.lines.map { $0.split(separator: " ")[4] }
            #expect(points.first == "/")
            for point in points {
                #expect(
                    ["/", "/proc", "/sys", "/dev", "/run", "/tmp"].contains {
                        point == $0 || point.hasPrefix("\($0)/")
                    },
                    "\(point)")
            }
            #expect(points.filter { $0 == "/" }.count == 1, "\(run.out)")
            // Nothing propagates in or out.
            #expect(!run.out.contains("shared:") && !run.out.contains("master:"), "\(run.out)")
            let hostRoot = try f.sh("stat -c %i /").line
            #expect(try f.ctr("run", "minimal", "stat", "-c", "%i", "/..").line != hostRoot)
        }
    }

    @Test func whatItMountsStaysInside() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "minimal", "sh", "-c",
                "mkdir /m && mount -t tmpfs \(f.prefix) /m && grep -c \(f.prefix) /proc/mounts && mount --bind /etc /mnt && ls /mnt/passwd && umount /mnt && umount /m"
            )
            #expect(run.status == 0, "\(run.both)")
            #expect(try !f.text("/proc/self/mountinfo").contains(f.prefix + " "))
        }
    }

    @Test func writesGoNowhereButToItself() throws {
        try Fixture.with { (f) throws in
            try f.ctr(
                "run", "minimal", "sh", "-c", "echo changed > /etc/passwd; rm -rf /bin/ls /etc/group; echo x > /new"
            ).succeeds()
            let run = try f.ctr("run", "minimal", "sh", "-c", "ls /bin/ls /etc/group; head -1 /etc/passwd; ls /new")
                .line
            #expect(run.contains("root:x:0:0"))
            #expect(!run.contains("/new"))
        }
    }

    @Test func umaskAndScheduling() throws {
        try Fixture.with { (f) throws in
            #expect(
                try f.sh("umask 077; $CTR run minimal sh -c 'umask; touch /tmp/x; stat -c %a /tmp/x'").lines == [
                    "0022", "644",
                ])
            #expect(
                try f.sh("umask 077; $CTR run minimal sh -c 'cat /proc/1/oom_score_adj'").line
                    == f.text("/proc/self/oom_score_adj").split(separator: "\n")[0])
        }
    }

    @Test func directoriesOfTheRootAreAsUsual() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh(
                "umask 077; $CTR run minimal stat -c '%n %a %u %g' / /proc /sys /dev /run /tmp /dev/shm /dev/null /dev/console /etc/passwd /etc/shadow"
            )
            for line in [
                "/ 755 0 0", "/dev 755 0 0", "/run 755 0 0", "/tmp 1777 0 0", "/dev/shm 1777 0 0",
                "/dev/null 666 0 0", "/etc/passwd 644 0 0", "/etc/shadow 640 0 0",
            ] { #expect(run.lines.contains(line), "\(line) in \(run.both)") }
        }
    }

    @Test func devicesAreTheStandardOnes() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "minimal", "sh", "-c",
                """
                cd /dev; find . -type c -o -type b | grep -v pts/ | sort | tr '\\n' ' '; echo
                echo x > null && [ "$(head -c 4 zero | wc -c)" = 4 ] && head -c 4 urandom | wc -c && ! echo x > full
                readlink fd stdin ptmx
                """)
            #expect(
                run.lines.first.map { Set($0.split(separator: " ")) }?.subtracting(["./console"])
                    == ["./null", "./zero", "./full", "./random", "./urandom", "./tty"], "\(run.both)")
        }
    }

    @Test func processOneSeesItsCgroupAsTheRoot() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "cat", "/proc/self/cgroup").succeeds()
            for line in run.lines { #expect(line.hasSuffix(":/"), "\(line)") }
            #expect(try f.ctr("run", "minimal", "sh", "-c", "cat /sys/fs/cgroup/cgroup.procs").lines.first == "1")
        }
    }

    @Test func keysOfTheHostAreInvisible() throws {
        try Fixture.with { (f) throws in
            // An empty file where it is masked; in any case no key of the host's root.
            #expect(try f.ctr("run", "minimal", "sh", "-c", "cat /proc/keys | wc -l").line == "0")
        }
    }

    // MARK: identity of the process

    @Test(arguments: [
        ("root", "0 0 0"), ("0", "0 0 0"), ("daemon", "1 1 1"), ("1", "1 1 1"), ("nobody", "65534 65534 65534"),
        ("1234", "1234 0 0"), ("1234:5678", "1234 5678 5678"), ("daemon:users", "1 100 100"), ("0:users", "0 100 100"),
    ])
    func user(_ spec: String, _ ids: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "--user", spec, "minimal", "sh", "-c", "echo $(id -u) $(id -g) $(id -G)")
            #expect(run.line == ids, "\(run.both)")
        }
    }

    @Test func supplementaryGroups() throws {
        try Fixture.with { (f) throws in
            try f.plantTemplate(
                "groups",
                "sed 's/^adm:x:4:.*/adm:x:4:daemon/; s/^users:x:100:.*/users:x:100:root,daemon/' etc/group > g; rm etc/group; mv g etc/group"
            )
            #expect(try f.ctr("run", "--user", "daemon", "groups", "id", "-G").line == "1 4 100")
            // Groups of the host's caller never come along.
            #expect(try f.sh("setpriv --groups 4,24,27 $CTR run minimal id -G").line == "0")
        }
    }

    /// CVE-2026-30892: what begins with a digit or a sign is the whole number or nothing.
    @Test(arguments: [
        "1:", ":1", "+1", "-1", "1x", "0x0", "01", " 1", "1 ", "4294967295", "4294967296", "18446744073709551616", "",
        "nobody2", "root:nogroup2", "a:b:c",
    ])
    func userThatIsNone(_ spec: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "--user=\(spec)", "minimal", "id", "-u")
            run.fails(125)
            #expect(run.out == "")
        }
    }

    @Test func homeIsTheUsers() throws {
        try Fixture.with { (f) throws in
            #expect(try f.ctr("run", "--user", "daemon", "minimal", "sh", "-c", "echo $HOME").line == "/usr/sbin")
            #expect(try f.ctr("run", "minimal", "sh", "-c", "echo $HOME").line == "/root")
        }
    }

    // MARK: working directory

    @Test func workingDirectory() throws {
        try Fixture.with { (f) throws in
            #expect(try f.ctr("run", "minimal", "pwd").line == "/")
            #expect(
                try f.ctr("run", "--workdir", "/etc", "minimal", "sh", "-c", "pwd; ls passwd").lines == [
                    "/etc", "passwd",
                ])
        }
    }

    @Test(arguments: ["/no/such", "/etc/passwd", "etc", ""])
    func workingDirectoryThatIsNone(_ path: String) throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "--workdir=\(path)", "minimal", "pwd")
            run.fails(125, words: path)
            #expect(run.out == "")
        }
    }

    /// CVE-2024-21626: a descriptor of a host directory as the working directory.
    @Test func workingDirectoryThroughADescriptor() throws {
        try Fixture.with { (f) throws in
            for number in [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16] {
                for process in number == 7 ? ["self", "1", "thread-self"] : ["self"] {
                    let run = try f.sh(
                        "exec 7</etc 8</; exec $CTR run --workdir /proc/\(process)/fd/\(number) minimal sh -c 'ls -a; cat ../../../../etc/hostname'",
                        timeout: 20)
                    #expect(run.status == 125, "\(process)/fd/\(number): \(run.both)")
                    #expect(run.out == "")
                }
            }
        }
    }

    // MARK: limits

    @Test func ulimits() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "--ulimit", "nofile=100:200", "--ulimit", "core=0", "minimal", "sh", "-c",
                "ulimit -Sn; ulimit -Hn; ulimit -c"
            ).succeeds()
            #expect(run.lines == ["100", "200", "0"])
        }
    }

    @Test(arguments: ["nofile", "nofile=", "nofile=x", "nofile=5:3", "nosuch=1", "nofile=-1", "=1"])
    func ulimitThatIsNone(_ limit: String) throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "--ulimit", limit, "minimal", "true").fails(125, words: "ulimit")
        }
    }
}
