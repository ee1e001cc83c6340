import Glibc
import Kernel
import Testing

/// What a VPS sees of its limits by way of an lxcfs of the test's own, which ctr starts because its settings say so.
@Suite(
    .enabled(if: ToolProcess.find("/usr/bin/lxcfs") != nil, "no /usr/bin/lxcfs (install the package lxcfs)"),
    .enabled(if: (try? Kernel.open("/dev/fuse", [.readWrite])) != nil, "no /dev/fuse"))
struct LXCFSTests {
    private func with(_ choice: String, _ body: (Fixture) throws -> Void) throws {
        try Fixture.with { (f) throws in
            try f.sh("mkdir lxcfs").succeeds()
            try configure(f, choice)
            defer { stop(f) }
            try body(f)
        }
    }

    private func configure(_ f: Fixture, _ choice: String) throws {
        let settings = try f.text("config.json").split(separator: ", \"lxcfs\"")[0].filter { $0 != "}" }
        try f.write("config.json", "\(settings), \"lxcfs\": \"\(choice)\", \"lxcfsDirectory\": \"\(f.path)/lxcfs\"}")
    }

    private func servers(_ f: Fixture) -> [Int32] {
        f.processes(named: "\(f.path)/lxcfs").filter { f.commandLine($0).hasPrefix("/usr/bin/lxcfs ") }
    }

    /// Ends the server, without a chance to clean up, and takes its mount away.
    private func stop(_ f: Fixture) {
        for pid in servers(f) {
            _ = try? f.sh("kill -9 \(pid)")
            until(20) { !f.exists("/proc/\(pid)") }
        }
        _ = try? f.sh("umount -l lxcfs 2>/dev/null; rm -f lxcfs.pid")
    }

    /// Of version 5.0 on pure cgroup v2 a quota is not seen as a number of processors.
    private let seesQuota = access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0

    @Test func limitsAreSeen() throws {
        try with("start") { (f) throws in
            let script = """
                grep -w MemTotal /proc/meminfo | tr -s ' '
                grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; cat /sys/devices/system/cpu/online
                cut -d . -f 1 /proc/uptime; wc -l < /proc/swaps; cut -d ' ' -f 1-3 /proc/loadavg
                """
            let limits = ["--memory", "256M", "--cpus", "1"]
            let run = try f.start(f.program, ["run"] + limits + ["minimal", "sh", "-c", script]).wait().succeeds()
            #expect(run.err == "")
            let lines = run.lines
            try #require(lines.count == 7, "\(run.both)")
            #expect(lines[0] == "MemTotal: 262144 kB", "\(run.both)")
            if seesQuota { #expect(Array(lines[1..<4]) == ["1", "1", "0"], "\(run.both)") }
            // Seconds since the VPS's start, not the machine's.
            #expect(Int(lines[4]).map { $0 < 60 } == true, "\(run.both)")
            #expect(Array(lines[5...]) == ["1", "0.00 0.00 0.00"], "\(run.both)")

            // As `exec` finds it, and where systemd has put its processes: in cgroups below the VPS's own.
            try f.start(
                f.program, ["run", "-d", "--keep", "--name", f.name()] + limits + ["minimal", "sleep", "1000"]
            )
            .wait().succeeds()
            let inside = """
                mkdir -p /sys/fs/cgroup/init.scope && echo 1 > /sys/fs/cgroup/init.scope/cgroup.procs
                grep -w MemTotal /proc/meminfo | tr -s ' '; grep -c ^processor /proc/cpuinfo
                echo x > /proc/uptime || echo refused
                grep -c 'fuse.lxcfs' /proc/self/mountinfo
                grep fuse.lxcfs /proc/self/mountinfo | grep -vc ' ro,nosuid,nodev,noexec,'
                """
            let exec = try f.start(f.program, ["exec", f.name(), "--", "sh", "-c", inside]).wait()
            #expect(exec.lines.count == 5 && exec.lines[0] == "MemTotal: 262144 kB", "\(exec.both)")
            if seesQuota { #expect(exec.lines[1] == "1", "\(exec.both)") }
            #expect(Array(exec.lines.suffix(3)) == ["refused", "8", "0"], "\(exec.both)")
            // A limit that is changed is seen at once.
            try f.ctr("set", f.name(), "--memory", "128M").succeeds()
            #expect(try f.ctr("exec", f.name(), "--", "grep", "MemTotal", "/proc/meminfo").out.contains(" 131072 kB"))
            try f.ctr("destroy", "--force", f.name()).succeeds()
        }
    }

    @Test func manyStartItOnce() throws {
        try with("start") { (f) throws in
            let all = try (0..<5).map { _ in
                try f.start("run", "--memory", "64M", "minimal", "grep", "-w", "MemTotal", "/proc/meminfo")
            }
            for run in all {
                let outcome = try run.wait(60).succeeds()
                #expect(outcome.out.contains(" 65536 kB"), "\(outcome.both)")
            }
            #expect(until(20) { servers(f).count == 1 })
        }
    }

    /// Nobody serves what is mounted: a start warns and goes on, or starts it anew.
    @Test(.enabled(if: !Distribution.isLab, "in a machine this slow two lxcfs get in each other's way"))
    func aDeadOneStopsNoStart() throws {
        try with("start") { (f) throws in
            let words = ["run", "--memory", "64M", "minimal", "grep", "-w", "MemTotal", "/proc/meminfo"]
            try f.start(f.program, words).wait(60).succeeds()
            // With the short-lived children by which it looks into namespaces: the one that serves is among them.
            #expect(
                until(20) {
                    for server in servers(f) { kill(server, SIGKILL) }
                    return servers(f).isEmpty
                })
            try configure(f, "auto")
            let dead = try f.start(f.program, words).wait(60).succeeds()
            #expect(dead.err.contains("lxcfs at \(f.path)/lxcfs does not answer"), "\(dead.both)")
            #expect(!dead.out.contains(" 65536 kB"), "\(dead.both)")
            try configure(f, "start")
            let again = try f.start(f.program, words).wait(60).succeeds()
            #expect(again.both.contains(" 65536 kB") && again.err == "", "\(again.both)")
        }
    }

    @Test(arguments: ["auto", "off"]) func isNotStartedUnlessAskedFor(_ choice: String) throws {
        try with(choice) { (f) throws in
            let run = try f.ctr("run", "--memory", "64M", "minimal", "cat", "/proc/self/mountinfo").succeeds()
            #expect(!run.out.contains("lxcfs") && run.err == "", "\(run.both)")
            #expect(servers(f).isEmpty)
        }
    }

    /// `off` leaves one alone that runs.
    @Test func offIsOff() throws {
        try with("start") { (f) throws in
            try f.ctr("run", "minimal", "true").succeeds()
            try #require(until(20) { servers(f).count == 1 })
            try configure(f, "off")
            #expect(try !f.ctr("run", "minimal", "cat", "/proc/self/mountinfo").succeeds().out.contains("lxcfs"))
        }
    }
}
