import Kernel
import Testing

/// What goes wrong on the way to a VPS: a clear message, the promised status, nothing left.
@Suite struct FailureTests {
    @Test func noTemplate() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run", "no-such", "true").fails(125, words: "no-such", "ctr template list")
            for name in ["../minimal", "minimal/rootfs", ".", "", "Minimal"] {
                try f.ctr("run", name, "true").fails(125)
            }
        }
    }

    @Test func brokenTemplate() throws {
        try Fixture.with { (f) throws in
            try f.plantTemplate("broken", json: "{ \"name\": ")
            try f.ctr("run", "broken", "true").fails(125, words: "broken", "damaged")
            try f.plantTemplate("empty")
            try f.sh("rm -rf root/templates/empty/rootfs").succeeds()
            try f.ctr("run", "empty", "true").fails(125, words: "rootfs")
            try f.sh("mkdir root/templates/empty/rootfs").succeeds()
            try f.ctr("run", "empty", "true").fails(127, words: "true")
        }
    }

    @Test func moreOpenFilesThanTheHostAllows() throws {
        try Fixture.withServers { (f) throws in
            let bound = try #require(UInt64(f.text("/proc/sys/fs/nr_open").dropLast()))
            let n = f.name()
            for value in ["\(bound + 1)", "1024:\(bound + 1)", "unlimited"] {
                try f.ctr("create", n, "--template", "minimal", "--ulimit", "nofile=\(value)")
                    .fails(64, words: "nofile", "\(bound)", "fs.nr_open")
                try f.ctr("run", "--ulimit", "nofile=\(value)", "minimal", "true").fails(125, words: "\(bound)")
            }
            #expect(!f.exists("root/vps/\(n)"))
            try f.ctr("create", n, "--template", "minimal", "--ulimit", "nofile=1000").succeeds()
            try f.ctr("set", n, "--ulimit", "nofile=\(bound + 1)").fails(64, words: "\(bound)")
            // As if the host had allowed more then.
            try f.sh("sed -i 's/\"hard\":1000/\"hard\":\(bound + 1)/' root/vps/\(n)/config.json").succeeds()
            try f.ctr("start", n).fails(78, words: "nofile", "\(bound)")
            #expect(try f.state(n) == "stopped")
        }
    }

    @Test func wrongUsage() throws {
        try Fixture.with { (f) throws in
            try f.ctr("run").fails(125, 64)
            try f.ctr("run", "--none-such", "minimal", "true").fails(125, words: "--none-such")
            try f.ctr("exec").fails(125, 64)
            try f.ctr("none-such").fails(64, words: "none-such")
            try f.ctr("destroy").fails(64)
            try f.ctr("--root", "relative", "list").fails(64, words: "relative")
            let help = try f.ctr("--help").succeeds()
            #expect(help.out.contains("run"))
            #expect(try f.ctr("--version").succeeds().lines.count == 1)
        }
    }

    @Test(arguments: [
        "--memory 0", "--memory x", "--memory 1K", "--memory -5M", "--memory 99999999999T", "--pids 0", "--pids -1",
        "--pids x", "--cpus 0", "--cpus -1", "--cpus nan", "--cpus 1e9", "--cpu-weight 0", "--cpu-weight 99999",
        "--cpuset 99", "--cpuset 1-0", "--cpuset x", "--swap x", "--memory-high x", "--io-read-bps x", "--net some",
        "--userns own", "--hostname -x", "--hostname a_b", "--env =x", "--env A", "--label x", "--stop-signal NONE",
        "--seccomp /none-such",
    ])
    func badValue(_ option: String) throws {
        try Fixture.with { (f) throws in
            let words = option.split(separator: " ").map(String.init)
            let run = try f.ctr("run", "\(words[0])=\(words[1])", "minimal", "true")
            run.fails(125, words: String(words[0].dropFirst(2).prefix { $0 != "-" }))
            #expect(try f.leftovers() == [])
        }
    }

    @Test func limitsHold() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr(
                "run", "--memory", "32M", "--swap", "0", "minimal", "sh", "-c",
                "head -c 200M /dev/zero | tail -c 100M | wc -c; echo survived; exit 3", timeout: 60)
            #expect(run.line != "104857600\nsurvived", "\(run.both)")
            let sets = try f.ctr("run", "--cpuset", "0", "minimal", "grep", "Cpus_allowed_list", "/proc/self/status")
            #expect(sets.line.hasSuffix("\t0"), "\(sets.both)")
        }
    }

    @Test func outOfMemoryIsSaid() throws {
        try Fixture.with { (f) throws in
            // The first process itself is what takes the memory.
            let run = try f.ctr(
                "run", "--memory", "16M", "--swap", "0", "minimal", "awk",
                "BEGIN { s = \"xxxxxxxxxxxxxxxx\"; while (1) s = s s }", timeout: 60)
            #expect(run.status == 137, "\(run.both)")
            #expect(run.err.contains("memory"), "\(run.err)")
        }
    }

    @Test func jsonErrors() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("--json", "run", "no-such", "true")
            #expect(run.status == 125)
            let error = try #require(try JSON(text: run.err)["error"])
            #expect(error["code"]?.string == "notFound")
            #expect(error["message"]?.string?.contains("no-such") == true)
        }
    }

    @Test func withoutPermission() throws {
        try Fixture.with { (f) throws in
            // The test's directory is root's alone, so the program is copied to where nobody can execute it.
            let place = "/tmp/\(f.prefix)-open"
            f.atEnd { _ = try? f.sh("rm -rf \(place)") }
            try f.sh("mkdir -m 755 \(place) && cp $CTR \(place)/ctr && chmod 755 \(place)/ctr").succeeds()
            for (root, state) in [("/var/lib/ctr", "/run/ctr"), (f.root, f.state), (place + "/root", place + "/state")]
            {
                let run = try f.sh(
                    "CTR_ROOT=\(root) CTR_STATE=\(state) setpriv --reuid 65534 --regid 65534 --clear-groups \(place)/ctr run minimal true"
                )
                run.fails(125, words: root.hasPrefix(place) ? "not found" : "root")
                let list = try f.sh(
                    "CTR_ROOT=\(root) CTR_STATE=\(state) setpriv --reuid 65534 --regid 65534 --clear-groups \(place)/ctr list"
                )
                #expect(list.status != 0 && list.err.hasPrefix("ctr: "), "\(list.both)")
            }
        }
    }

    /// In a mount namespace of its own, so that the host never sees the small disk.
    private func onDisk(_ f: Fixture, _ options: String, _ script: String) throws -> Outcome {
        try f.sh(
            """
            unshare -m --propagation private bash -c '
              mkdir -p small && mount -t tmpfs -o \(options) none small
              export CTR_ROOT=$PWD/small/root CTR_STATE=$PWD/small/state
              mkdir -p -m 700 small/root/templates && cp -a root/templates/minimal small/root/templates/
              \(script)
              status=$?
              # Takes the cgroup above the VPSs of this state directory away; the disk may be full or read only by now.
              mount -o remount,rw none small; rm -f small/fill
              $CTR host recover > /dev/null; exit $status'
            """, timeout: 60)
    }

    @Test func fullDisk() throws {
        try Fixture.with { (f) throws in
            let run = try onDisk(
                f, "size=8m",
                """
                head -c 100M /dev/zero > small/fill 2>/dev/null
                $CTR run minimal echo no; echo status $?
                $CTR run -d minimal sleep 1000; echo status $?
                find small/root/vps small/state -mindepth 1 2>/dev/null
                rm small/fill; $CTR run minimal echo works again; $CTR list | grep -v NAME
                $CTR run minimal sh -c "head -c 20M /dev/zero > /big; echo write status \\$?"
                """)
            #expect(run.lines.contains("works again"), "\(run.both)")
            #expect(run.lines.filter { $0 == "status 125" }.count == 2, "\(run.both)")
            #expect(!run.lines.contains("no"))
            #expect(!run.out.contains("small/"), "\(run.both)")
            #expect(run.err.lowercased().contains("no space left"), "\(run.err)")
            #expect(run.lines.contains("write status 1"), "\(run.both)")
        }
    }

    @Test func fullDiskWhileImporting() throws {
        try Fixture.with { (f) throws in
            let run = try onDisk(
                f, "size=6m",
                """
                mkdir big; cp -a root/templates/minimal/rootfs big/rootfs; head -c 20M /dev/urandom > big/rootfs/big
                $CTR template import $PWD/big/rootfs --name big; echo status $?
                tar -C big/rootfs -cf big.tar .; $CTR template import $PWD/big.tar --name big; echo status $?
                ls -A small/root/templates | grep -v -x -e .lock
                $CTR template list | grep -c big
                """)
            #expect(run.lines.filter { $0.hasPrefix("status ") && $0 != "status 0" }.count == 2, "\(run.both)")
            #expect(run.lines.filter { !$0.hasPrefix("status") } == ["minimal", "0"], "\(run.both)")
        }
    }

    @Test func readOnlyRoot() throws {
        try Fixture.with { (f) throws in
            let run = try onDisk(
                f, "size=20m",
                "mkdir small/root/vps small/state; mount -o remount,ro none small; $CTR run minimal echo no; echo status $?; $CTR run -d minimal true; echo status $?"
            )
            #expect(run.lines == ["status 125", "status 125"], "\(run.both)")
            #expect(run.err.lowercased().contains("read-only"), "\(run.err)")
        }
    }

    @Test func noDescriptorsLeft() throws {
        try Fixture.with { (f) throws in
            // Whatever is missing first, it is an error and no crash.
            for number in [3, 5, 8, 12, 16] {
                let run = try f.sh("ulimit -n \(number); exec $CTR run minimal true")
                #expect(
                    run.status.map { $0 < 128 } == true,
                    "\(number): \(run.status ?? -1) \(run.both)")
                #expect(!run.err.contains("Fatal error"), "\(run.err)")
            }
        }
    }

    @Test func brokenSettings() throws {
        try Fixture.with { (f) throws in
            for text in [
                "{", "[]", "{\"idPol\": 1}", "{\"idPool\": {\"base\": 5, \"count\": 1}}", "{\"idRegistry\": 7}",
            ] {
                try f.write("config.json", text)
                try f.ctr("run", "minimal", "true").fails(125, words: text.contains("base") ? "id pool" : "config.json")
            }
            try f.write("config.json", "{\"idRegistry\": \"\(f.path)/../ids\", \"net\": \"none\"}")
        }
    }
}
