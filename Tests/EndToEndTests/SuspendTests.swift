import Checkpoint
import Glibc
import Kernel
import Testing

/// What this host lacks to suspend VPSs; nil: nothing.
enum Suspending {
    static let lack: String? = {
        do {
            _ = try CRIU.find(nil)
            return nil
        } catch { return "\(error) " }
    }()
}

extension Fixture {
    /// A VPS that counts in /root/n, ten times a second.
    func counter(_ options: String..., name word: String = "a") throws -> String {
        let n = name(word)
        try start(program, ["create", n, "--template", "minimal"] + options).wait().succeeds()
        try ctr("start", n).succeeds()
        try ctr(
            "exec", n, "--", "sh", "-c",
            "mkdir -p /root; setsid sh -c 'i=0; while :; do i=$((i+1)); echo $i >> /root/n; sleep 0.1; done' "
                + "</dev/null >/dev/null 2>&1 & until [ -s /root/n ]; do sleep 0.05; done"
        ).succeeds()
        return n
    }

    /// The numbers that it has written; they must be whole.
    func counted(_ name: String, at location: SourceLocation = #_sourceLocation) throws -> Int {
        let out = try ctr("exec", name, "--", "cat", "/root/n").succeeds(at: location).lines
        #expect(out == (1...max(1, out.count)).map { "\($0)" }, "a gap", sourceLocation: location)
        return out.count
    }

    /// A process inside has as many bytes that are not zero.
    func fillMemory(of name: String, _ bytes: Int) throws {
        try ctr(
            "exec", name, "--", "sh", "-c",
            "setsid sh -c 'x=$(head -c \(bytes) /dev/zero | tr \"\\\\0\" x); : > /root/filled; sleep 1000; :' "
                + "</dev/null >/dev/null 2>&1 &"
        ).succeeds()
        #expect(until(60) { (try? ctr("exec", name, "test", "-e", "/root/filled").status) == 0 })
    }

    func goesOn(_ name: String, at location: SourceLocation = #_sourceLocation) throws {
        let before = try counted(name, at: location)
        #expect(try until(10) { try counted(name, at: location) > before + 2 }, sourceLocation: location)
    }
}

/// `ctr suspend` and `ctr resume`: see docs/suspend.md.
@Suite(.serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")))
struct SuspendTests {
    /// On a terminal, how much of its memory has been written, or made; in a pipe, nothing.
    @Test func tellsHowFarItIs() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try f.fillMemory(of: n, 300_000_000)
            for verb in ["suspend", "resume"] {
                let shown = try f.sh("script -qec '$CTR \(verb) \(n)' /dev/null < /dev/null").succeeds()
                let told = shown.out.split(whereSeparator: { "\r\u{1b}".contains($0) }).filter { $0.contains(" of ") }
                #expect(told.contains { $0.hasPrefix("\(n): \(verb) ") && $0.contains("M") }, "\(shown.out)")
            }
            // What is large goes when the verb has its answer.
            #expect(until(20) { !f.exists("root/vps/\(n)/checkpoint.removed") })
            #expect(!f.exists("root/vps/\(n)/checkpoint.used"))
            for verb in ["suspend", "resume"] { #expect(try f.ctr(verb, n).succeeds().err.isEmpty) }
        }
    }

    /// What holds its memory against the manifest, while criu makes the processes: killed, or one that finds the last byte
    /// changed, no process goes on, and the checkpoint stays.
    @Test func itsMemoryIsChecked() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try f.fillMemory(of: n, 300_000_000)
            try f.ctr("suspend", n).succeeds()
            // Where it was done before we looked, once more.
            for attempt in 1...5 {
                let resume = try f.start(f.program, ["resume", n])
                until(30) {
                    let supervisor = (try? f.number("supervisor", n)) ?? 0
                    let children = (try? f.text("/proc/\(supervisor)/task/\(supervisor)/children")) ?? ""
                    let checker = children.split(separator: " ").compactMap { Int32($0) }.first {
                        f.commandLine($0).contains("checkpoint-memory")
                    }
                    return checker.map { kill($0, SIGKILL) == 0 } ?? false || resume.hasEnded
                }
                let killed = try resume.wait()
                if killed.status == 0, attempt < 5 {
                    try f.ctr("suspend", n).succeeds()
                    continue
                }
                killed.fails(1, words: n, "memory was killed", "stays as it is")
                break
            }
            #expect(try f.state(n) == "suspended")
            let images = "\(f.root)/vps/\(n)/checkpoint/images"
            let change = "cd \(images) && p=$(ls -S pages-*.img | head -n 1) && s=$(stat -c %s $p) && "
            try f.sh(
                change + "tail -c 1 $p > \(f.path)/last && printf X | dd of=$p bs=1 seek=$((s-1)) conv=notrunc"
            ).succeeds()
            try f.ctr("resume", n).fails(78, words: n, "damaged", "pages-", "checksum")
            #expect(try f.state(n) == "suspended" && !f.cgroups().contains { $0.contains(n) })
            #expect(until(10) { f.processes() == [] })
            try f.sh(change + "dd if=\(f.path)/last of=$p bs=1 seek=$((s-1)) conv=notrunc").succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    /// Packed it takes less, and is unpacked, checked and gone at a resume; damaged it stays, and killed half-way it is whole.
    @Test(.enabled(if: access("/usr/bin/zstd", X_OK) == 0, "no zstd")) func packed() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try f.fillMemory(of: n, 200_000_000)
            let place = "\(f.root)/vps/\(n)"
            try f.sh("cp /usr/bin/zstd real").succeeds()
            try f.write("zstd", "#!/bin/sh\nkill -9 $PPID\nexec \(f.path)/real \"$@\"\n", mode: 0o755)
            let slow = "mount --bind \(f.path)/zstd /usr/bin/zstd && exec $CTR suspend --compress zstd \(n)"
            #expect(
                try f.sh("unshare --mount --propagation slave sh -c '\(slow)'", timeout: 60).status == 128 + SIGKILL)
            #expect(try f.state(n) == "suspended")
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
            #expect(!f.exists("root/vps/\(n)/checkpoint.new"))
            try f.ctr("suspend", "--compress", "zstd", n).succeeds()
            #expect(
                try f.sh("ls \(place)/checkpoint/images").lines.filter { $0.hasPrefix("pages-") }.allSatisfy {
                    $0.hasSuffix(".zst")
                })
            let size = try #require(Int(f.sh("du -sm \(place)/checkpoint").out.prefix { $0.isNumber }))
            #expect(size < 20, "\(size)M")
            let change = "cd \(place)/checkpoint/images && p=$(ls -S pages-*.zst | head -n 1) && "
            try f.sh(change + "cp $p \(f.path)/saved && printf XXXX | dd of=$p bs=1 seek=200 conv=notrunc").succeeds()
            try f.ctr("resume", n).fails(78, words: n, "damaged", "pages-", "unpacked")
            #expect(try f.state(n) == "suspended" && !f.exists("root/vps/\(n)/checkpoint.unpacked"))
            try f.sh(change + "cp \(f.path)/saved $p").succeeds()
            try f.sh(
                "CTR_CONFIG=$PWD/full.json; echo '{\"idRegistry\": \"\(f.path)/ids\", \"spaceReserve\": \"1000000G\"}' > full.json; CTR_CONFIG=$PWD/full.json $CTR resume \(n)"
            )
            .fails(73, words: "unpack the memory of VPS \(n)", "in reserve")
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
            #expect(try until(20) { try f.sh("ls \(place)").lines.allSatisfy { !$0.hasPrefix("checkpoint") } })
        }
    }

    /// What is written for one VPS must not stop all others.
    @Test func leavesTheHostsReserve() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none", "--memory", "64M")
            try f.write("full.json", "{\"idRegistry\": \"\(f.path)/ids\", \"spaceReserve\": \"1000000G\"}")
            for verb in ["suspend", "suspend --keep-running"] {
                let refused = try f.sh("CTR_CONFIG=$PWD/full.json $CTR \(verb) \(n)")
                refused.fails(73, words: "its memory: takes", "in reserve", "ctr storage")
                #expect(try f.state(n) == "running")
                #expect(!f.exists("root/vps/\(n)/checkpoint.new"))
            }
            try f.goesOn(n)
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    @Test(arguments: ["256M", "none"]) func goesOnWithoutAGap(disk: String) throws {
        try #require(disk == "none" || Disks.lack == nil)
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", disk, "--memory", "64M", "--pids", "40")
            for _ in 1...2 {
                let before = try f.counted(n)
                try f.ctr("suspend", n).succeeds()
                #expect(try f.state(n) == "suspended")
                // All that it held is given back.
                #expect(f.cgroups().allSatisfy { !$0.contains(n) }, "\(f.cgroups())")
                #expect(f.processes(named: n) == [])
                #expect(until(10) { f.processes() == [] })
                #expect(try f.loops() == [])
                #expect(!f.exists("state/\(n)"))
                #expect(f.exists("root/vps/\(n)/checkpoint/manifest.json"))
                // Again changes nothing.
                #expect(try f.ctr("suspend", n).succeeds().err.contains("suspended already"))
                try f.ctr("resume", n).succeeds()
                #expect(try f.state(n) == "running")
                #expect(try f.ctr("resume", n).succeeds().err.contains("runs already"))
                #expect(!f.exists("root/vps/\(n)/checkpoint"))
                #expect(try f.counted(n) >= before)
                try f.goesOn(n)
            }
        }
    }

    @Test func limitsAndWallsAreInForceAgain() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--memory", "48M", "--pids", "30", "--cpus", "0.5", "--ulimit", "nofile=128:256")
            func walls() throws -> [String] {
                let pid = try f.initPid(n)
                let status = try f.text("/proc/\(pid)/status").split(separator: "\n").map(String.init)
                let kept = ["Seccomp:", "Seccomp_filters:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Uid:", "Gid:"]
                return try status.filter { line in kept.contains { line.hasPrefix($0) } }
                    + [f.text("/proc/\(pid)/uid_map"), f.text("/proc/\(pid)/cgroup"), f.text("/proc/\(pid)/limits")]
            }
            let before = try walls()
            #expect(before.contains("Seccomp:\t2"), "\(before)")
            let mounts = try f.ctr("exec", n, "--", "cut", "-d ", "-f4-6", "/proc/self/mountinfo").succeeds().lines
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", n).succeeds()
            #expect(try walls() == before)
            let after = try f.ctr("exec", n, "--", "cut", "-d ", "-f4-6", "/proc/self/mountinfo").succeeds().lines
            #expect(after.sorted() == mounts.sorted())
            let host = try f.sh(
                "cat /sys/fs/cgroup/*/*/\(n)/memory.limit_in_bytes /sys/fs/cgroup/*/\(n)/memory.max 2>/dev/null")
            #expect(host.out.contains("50331648"), "\(host.both)")
            let own = try f.ctr(
                "exec", n, "--", "sh", "-c", "for i in mnt net ipc uts pid user cgroup; do readlink /proc/1/ns/$i; done"
            )
            .succeeds().lines
            for (namespace, name) in zip(own, ["mnt", "net", "ipc", "uts", "pid", "user", "cgroup"]) {
                #expect(try f.sh("readlink /proc/self/ns/\(name)").line != namespace)
            }
            // From inside: no more processes than before.
            let child = "sh -c 'for i in $(seq 40); do sleep 5 & done; wait'"
            #expect(try f.ctr("exec", n, "--", "sh", "-c", child).both.contains("fork"))
        }
    }

    @Test func whatItPrintsGoesOnInItsLog() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr(
                "run", "-d", "--keep", "--name", n, "minimal", "sh", "-c",
                "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done"
            ).succeeds()
            #expect(try until(10) { try f.ctr("logs", n).out.contains("line 3\n") })
            try f.ctr("suspend", n).succeeds()
            let before = try f.ctr("logs", n).succeeds().lines.count
            try f.ctr("resume", n).succeeds()
            #expect(try until(10) { try f.ctr("logs", n).lines.count > before + 2 })
            let lines = try f.ctr("logs", n).succeeds().lines
            #expect(lines == (1...lines.count).map { "line \($0)" })
        }
    }

    @Test func itsEndIsSeenAsEver() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr(
                "run", "-d", "--keep", "--name", n, "minimal", "sh", "-c",
                "[ -e /first ] && exec sleep 1000; : > /first; while [ ! -e /end ]; do sleep 0.1; done; exit 3"
            ).succeeds()
            try f.ctr("set", n, "--restart", "on-failure").succeeds()
            #expect(try until(10) { try f.ctr("exec", n, "--", "test", "-e", "/first").status == 0 })
            try f.ctr("suspend", n).succeeds()
            // No restart policy takes it for an end.
            usleep(1_500_000)
            #expect(try f.state(n) == "suspended")
            try f.ctr("resume", n).succeeds()
            try f.ctr("exec", n, "--", "touch", "/end").succeeds()
            #expect(try until(15) { try f.ctr("events", n).out.contains("restarted") })
            let events = try f.ctr("events", n).succeeds().out
            for word in ["suspended", "resumed", "exitStatus"] { #expect(events.contains(word), "\(events)") }
        }
    }

    @Test func startResumesAndOtherVerbsAreRefused() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter()
            try f.ctr("suspend", n).succeeds()
            let before = f.exists("root/vps/\(n)/checkpoint/manifest.json")
            #expect(before)
            let refused = [
                ["set", n, "--memory", "1G"], ["rename", n, f.name("b")], ["clone", n, f.name("c")], ["stop", n],
                ["snapshot", "create", n], ["exec", "--offline", n, "--", "true"], ["start", n, "--rescue"],
            ]
            for words in refused {
                let run = try f.start(f.program, words).wait()
                #expect(run.status != 0 && run.err.contains("suspended"), "\(words): \(run.both)")
            }
            for words in [["exec", n, "--", "true"], ["pause", n], ["kill", n]] {
                let run = try f.start(f.program, words).wait()
                #expect(run.status != 0 && run.err.contains("ctr resume"), "\(words): \(run.both)")
            }
            try f.ctr("start", n).succeeds()
            try f.goesOn(n)
            // Its memory can be given up; then it starts from its disk.
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", "--discard", n).succeeds()
            #expect(try f.state(n) == "stopped")
            #expect(try f.ctr("resume", n).err.contains("not suspended"))
            try f.ctr("start", n).succeeds()
            try f.ctr("suspend", n).succeeds()
            try f.ctr("destroy", n).succeeds()
            #expect(!f.exists("root/vps/\(n)"))
        }
    }

    @Test func aDamagedCheckpointTouchesNothing() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter()
            try f.ctr("suspend", n).succeeds()
            let images = "\(f.root)/vps/\(n)/checkpoint/images"
            let page = try #require(try f.sh("ls \(images) | grep pages-1").succeeds().lines.first)
            try f.sh(
                "cp \(images)/\(page) \(f.path)/saved && printf X | dd of=\(images)/\(page) bs=1 seek=5 conv=notrunc"
            ).succeeds()
            try f.ctr("resume", n).fails(78, words: "damaged", "checksum")
            #expect(try f.state(n) == "suspended")
            try f.sh("truncate -s 100 \(images)/\(page)").succeeds()
            try f.ctr("resume", n).fails(78, words: "damaged", "100 bytes long")
            #expect(!f.cgroups().contains { $0.contains(n) })
            #expect(until(10) { f.processes() == [] })
            try f.sh("cp \(f.path)/saved \(images)/\(page)").succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    @Test func whatCannotBeSuspendedRunsOn() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter()
            let session = try f.start("exec", n, "--", "sleep", "1000")
            #expect(try until(10) { try f.ctr("exec", n, "--", "ps").out.contains("sleep 1000") })
            try f.ctr("suspend", n).fails(1, words: "brought in by ctr exec")
            #expect(try f.state(n) == "running")
            #expect(!f.exists("root/vps/\(n)/checkpoint") && !f.exists("root/vps/\(n)/checkpoint.new"))
            try f.goesOn(n)
            try f.ctr("exec", n, "--", "killall", "sleep").succeeds()
            _ = try session.wait()
            #expect(try until(10) { try f.ctr("suspend", n).status == 0 })
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
            try f.ctr("pause", n).succeeds()
            try f.ctr("suspend", n).fails(1, words: "paused")
            try f.ctr("unpause", n).succeeds()
            try f.ctr("run", "-d", "--name", f.name("e"), "minimal", "sleep", "1000").succeeds()
            try f.ctr("suspend", f.name("e")).fails(1, words: "ephemeral")
            try f.ctr("stop", f.name("e")).succeeds()
        }
    }

    @Test func aDiskThatWasChangedIsRefused() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter()
            try f.ctr("suspend", n).succeeds()
            let file = "\(f.root)/vps/\(n)/disk/upper/etc/changed"
            try f.sh("mkdir -p $(dirname \(file)); echo x > \(file)").succeeds()
            try f.ctr("resume", n).fails(1, words: "its disk was changed")
            #expect(try f.state(n) == "suspended")
            try f.sh("rm \(file)").succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    @Test(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) func anImageThatWasChangedIsRefused()
        throws
    {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "256M")
            try f.ctr("suspend", n).succeeds()
            try f.sh("touch \(f.root)/vps/\(n)/disk.img").succeeds()
            try f.ctr("resume", n).fails(1, words: "its disk was changed", "--discard")
            try f.ctr("resume", "--discard", n).succeeds()
            try f.ctr("start", n).succeeds()
            #expect(try f.ctr("exec", n, "--", "test", "-s", "/root/n").status == 0)
        }
    }

    @Test func itsClockDoesNotJumpAndExecSharesIt() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter()
            func uptime() throws -> Double {
                try #require(Double(try f.ctr("exec", n, "--", "cut", "-d ", "-f1", "/proc/uptime").succeeds().line))
            }
            let before = try uptime()
            try f.ctr("suspend", n).succeeds()
            usleep(5_000_000)
            try f.ctr("resume", n).succeeds()
            let host = try #require(Double(try f.sh("cut -d' ' -f1 /proc/uptime").line))
            let after = try uptime()
            #expect(after >= before && after < host - 4, "\(before) \(after) \(host)")
            // What is brought in from now on lives by the same clock, and can be suspended with the rest.
            try f.ctr("exec", n, "--", "sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & sleep 0.2")
                .succeeds()
            try f.ctr("suspend", n).succeeds()
            try f.ctr("resume", n).succeeds()
            #expect(try f.ctr("exec", n, "--", "ps").out.contains("sleep 1000"))
        }
    }

    /// Whoever is killed, and whenever: it runs, or it is suspended with a whole checkpoint.
    @Test(arguments: [
        ("suspend", "ctr", 40), ("suspend", "ctr", 120), ("suspend", "ctr", 250), ("resume", "ctr", 120),
        ("resume", "criu", 120), ("resume", "criu", 220), ("resume", "supervisor", 90), ("resume", "supervisor", 220),
    ]) func killedAtAnyMoment(verb: String, whom: String, milliseconds: Int) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter()
            if verb == "resume" { try f.ctr("suspend", n).succeeds() }
            let run = try f.start(verb, n)
            usleep(UInt32(milliseconds) * 1000)
            switch whom {
            case "ctr": try? run.signal(SIGKILL)
            default:
                let word = whom == "criu" ? "restore" : "supervise"
                for pid in f.processes() where f.commandLine(pid).contains(word) { kill(pid, SIGKILL) }
            }
            _ = try run.wait()
            var state: String?
            #expect(
                try until(30) {
                    state = try f.state(n)
                    return state == "running" || state == "suspended"
                }, "\(state ?? "gone")")
            // criu, where it was not killed itself, goes on to the end of its work.
            #expect(until(30) { !f.processes().contains { f.commandLine($0).contains("criu") } })
            // Its processes take a moment to end when criu has.
            #expect(try until(30) { try !f.exists("root/vps/\(n)/checkpoint") || f.state(n) == "suspended" })
            if try f.state(n) == "suspended" { try f.ctr("resume", n).succeeds() }
            #expect(try f.state(n) == "running")
            try f.goesOn(n)
        }
    }

    @Test func keepRunningWritesAndGoesOn() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter()
            try f.ctr("suspend", "--keep-running", n).succeeds()
            #expect(try f.state(n) == "running")
            #expect(f.exists("root/vps/\(n)/checkpoint.kept/manifest.json") && !f.exists("root/vps/\(n)/checkpoint"))
            try f.goesOn(n)
            try f.ctr("stop", n).succeeds()
            #expect(try f.state(n) == "stopped")
        }
    }
}

/// With a network of its own, on a host of the test's own.
@Suite(.serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")))
struct SuspendNetworkTests {
    @Test func aConnectionStaysOpen() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            if CRIUPrefix.isThere {
                try f.wrapCRIU(atTheEnd: "kill -9 $PPID; exit 1", step: "pre-resume", config: "killed.json")
            }
            try f.write(
                "tcp.py",
                """
                import socket, sys, time, os
                both = [socket.create_connection(to, timeout=20) for to in ((sys.argv[1], 8000), (sys.argv[2], 8000))]
                def ask(word):
                    for s in both: s.sendall(word); print(s.recv(10).decode(), end='', flush=True)
                ask(b'one ')
                open('tcp.ready', 'w').close()
                while not os.path.exists('tcp.go'): time.sleep(0.05)
                ask(b'two ')
                """)
            let run = try f.sh(
                #"""
                exec unshare -n bash -ec '
                echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
                ip link set lo up; ip link add out type veth peer name out2; ip addr add 192.0.2.1/24 dev out
                ip link set out up; ip link set out2 up; ip route add default via 192.0.2.2
                $CTR create \#(n) --template minimal --disk none --net nat >&2; $CTR start \#(n) >&2
                $CTR exec \#(n) -- sh -c "setsid nc -ll -p 8000 -e cat </dev/null >/dev/null 2>&1 & sleep 0.5"
                pid=$(sed -n "s/.*\"pid\":\([0-9]*\).*/\1/p" $CTR_STATE/\#(n)/state.json)
                nsenter -t $pid -n nft add table inet mine
                nsenter -t $pid -n nft add table inet odd "{ comment \"include x\"; }"
                $CTR suspend \#(n) 2>&1 | grep -o "the word .include."
                ls $CTR_STATE/\#(n) | grep criu || true
                nsenter -t $pid -n nft delete table inet odd
                address=$($CTR exec \#(n) -- ip -4 -o addr show eth0 | sed "s/.*inet \([0-9.]*\).*/\1/")
                six=$($CTR exec \#(n) -- ip -6 -o addr show eth0 scope global | sed "s/.*inet6 \([0-9a-f:]*\).*/\1/")
                python3 tcp.py $address $six > tcp.out & client=$!
                for i in $(seq 100); do [ -e tcp.ready ] && break; sleep 0.1; done
                $CTR suspend \#(n) >&2
                # The kernel takes the interface away a moment after its namespace.
                for i in $(seq 100); do [ -z "$(ip -o link show type veth | grep -v " out")" ] && break; sleep 0.1; done
                [ -z "$(ip -o link show type veth | grep -v " out")" ] && echo freed
                # Killed when the connections are there again: their peers are not told that they end.
                [ ! -e killed.json ] || { CTR_CONFIG=killed.json $CTR resume \#(n) >&2 && echo resumed; }
                sleep 1; $CTR resume \#(n) >&2
                touch tcp.go; wait $client; cat tcp.out; echo
                [ "$address" = "$($CTR exec \#(n) -- ip -4 -o addr show eth0 | sed "s/.*inet \([0-9.]*\).*/\1/")" ] && echo address
                pid=$(sed -n "s/.*\"pid\":\([0-9]*\).*/\1/p" $CTR_STATE/\#(n)/state.json)
                nsenter -t $pid -n nft list tables
                $CTR destroy --force \#(n) >&2'
                """#, timeout: 90)
            #expect(
                run.lines == ["the word 'include'", "freed", "one one two two ", "address", "table inet mine"],
                "\(run.both)")
        }
    }
}

extension SuspendNetworkTests {
    /// Of a checkpoint that turns out to be damaged no neighbour hears; of one that goes on they do.
    @Test func saysNothingBeforeItGoesOn() throws {
        try Fixture.withServers { (f) throws in
            let run = try f.host(
                """
                cat > hear.py <<'P'
                import os, socket, sys, time
                s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x806)); s.bind(("up1", 0)); s.settimeout(0.2); open(sys.argv[1], "w").close()
                end = time.time() + 60; heard = 0
                while time.time() < end:
                    done = os.path.exists("enough")
                    try: heard += socket.inet_aton("192.0.2.50") == s.recv(99)[28:32]
                    except TimeoutError:
                        if done: break
                print("heard" if heard else "nothing")
                P
                ip link add lan0 type bridge; ip link set lan0 up; ip addr flush dev up0; ip link set up0 master lan0
                "$CTR" create $N-a --template minimal --disk none --net bridge=lan0 --ip 192.0.2.50/24 >/dev/null; "$CTR" start $N-a >/dev/null && "$CTR" suspend $N-a >/dev/null || exit 1
                page=$(ls -S root/vps/$N-a/checkpoint/images/pages-*.img | head -n 1); cp $page saved
                printf X | dd of=$page bs=1 seek=100 conv=notrunc 2>/dev/null
                for what in damaged whole; do
                  C python3 hear.py $what & h=$!; until [ -e $what ]; do sleep 0.02; done
                  "$CTR" resume $N-a >/dev/null; echo "status $?"; touch enough; wait $h; rm enough; cp saved $page 2>/dev/null
                done
                C busybox ping -c1 -W2 192.0.2.50 >/dev/null && echo reached
                "$CTR" destroy --force $N-a >/dev/null
                """)
            #expect(run.lines == ["status 78", "nothing", "status 0", "heard", "reached"], "\(run.both)")
        }
    }
}

/// A whole server with systemd.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: Distribution.lack == nil, Comment(rawValue: Distribution.lack ?? "")))
struct SuspendServerTests {
    @Test func aServerGoesOn() throws {
        try Fixture.withServers { (f) throws in
            try Distribution.add(to: f)
            let vps = try BootedVPS(f)
            // A pipe with data in it, a file that is open and deleted, one that is locked, a timer of systemd's.
            try vps.sh(
                """
                mkfifo /run/pipe /run/ask
                cat > /root/holder <<'END'
                exec 3<>/run/pipe 4>/root/deleted 5<>/run/ask 6>/root/locked
                flock -x 6
                echo in the pipe >&3; echo in the file >&4; rm /root/deleted
                read word <&5
                read line <&3
                echo "$line, $(cat /proc/$$/fd/4)" > /root/answer
                sleep 1000
                END
                systemd-run -q --unit holder bash /root/holder
                # Without a limit: the sixth start within ten seconds would be refused, suspended or not.
                systemd-run -q --unit tick --on-active=1 --on-unit-active=1 --timer-property=AccuracySec=100ms \
                    -p StartLimitIntervalSec=0 sh -c 'echo tick >> /root/ticks'
                logger -t before suspended
                for i in $(seq 100); do [ -s /root/ticks ] && [ ! -e /root/deleted ] && break; sleep 0.1; done
                sleep 1
                """
            ).succeeds()
            let pids = try vps.sh("systemctl show -P MainPID ssh dbus systemd-journald systemd-logind holder")
                .succeeds().out
            for _ in 1...2 {
                let ticks = try vps.sh("wc -l < /root/ticks").succeeds().line
                try f.ctr("suspend", vps.name, timeout: 60).succeeds()
                #expect(until(10) { f.processes() == [] })
                try f.ctr("resume", vps.name, timeout: 60).succeeds()
                let whole = try vps.sh("systemctl is-system-running; systemctl --no-legend --failed")
                #expect(whole.out == "running\n", "\(whole.both)")
                #expect(
                    try vps.sh("systemctl show -P MainPID ssh dbus systemd-journald systemd-logind holder").out == pids)
                #expect(try until(20) { try Int(vps.sh("wc -l < /root/ticks").line)! > Int(ticks)! + 1 })
            }
            #expect(try vps.sh("flock -n /root/locked true").status == 1)
            try vps.sh("echo now > /run/ask").succeeds()
            #expect(try until(10) { try vps.sh("cat /root/answer").line == "in the pipe, in the file" })
            // Services answer, stop, start; the journal goes on.
            try vps.sh(
                "systemctl restart ssh dbus cron 2>/dev/null; systemctl restart ssh; logger -t after resumed; journalctl --sync"
            )
            .succeeds()
            #expect(try vps.sh("systemctl is-active ssh").line == "active")
            let words = try vps.sh("journalctl -t before -t after -o cat --no-pager").succeeds().lines
            #expect(words.filter { !$0.hasPrefix("--") } == ["suspended", "resumed"])
            #expect(
                try vps.sh("loginctl list-sessions >/dev/null && busctl list >/dev/null && systemd-run -q --wait true")
                    .status == 0)
            #expect(try vps.sh("systemctl is-system-running").line == "running")
        }
    }
}
