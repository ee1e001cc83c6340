import Glibc
import Kernel
import Testing

/// What becomes of VPSs when the host's disk runs full: see docs/disks.md.
@Suite(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) struct SpaceTests {
    /// A pool of 500 MB with a template in it, half a reserve of which is enough for what is on its way to the disk.
    private func withPool(_ body: (Fixture, String) throws -> Void) throws {
        try Fixture.with { (f) throws in
            try f.write(
                "config.json", "{\"idRegistry\": \"\(f.path)/ids\", \"net\": \"none\", \"spaceReserve\": \"80M\"}")
            try f.sh(
                """
                truncate -s 500M pool.img && mkfs.ext4 -q -m 0 pool.img && mkdir pool && mount -o loop pool.img pool
                mkdir -m 700 pool/root && cp -a root/templates pool/root/ && fallocate -l 120M pool/ballast
                """
            ).succeeds()
            f.atEnd { _ = try? f.sh("umount -l pool") }
            try body(f, "export CTR_ROOT=$PWD/pool/root; ")
            try f.sh("export CTR_ROOT=$PWD/pool/root; $CTR destroy --force $($CTR list -q)").succeeds()
            // The guard goes with the last VPS, and nothing holds the pool.
            #expect(until(15) { (try? f.sh("umount pool").status) == 0 })
        }
    }

    /// As a database does: a record in one file, an fsync, its number in another, an fsync.
    private static let load =
        "i=0; while :; do i=$((i+1)); dd if=/dev/urandom of=/root/data bs=512k count=1 seek=$i conv=notrunc,fsync "
        + "2>/dev/null || echo failed $? >> /root/errors; echo $i >> /root/log; sync /root/log; done"

    /// So many MiB, without an fsync: into memory first. No faster than a guard that shares two processors with it can look.
    private static func fill(_ count: Int) -> String {
        "set -e; i=0; while [ $i -lt \(count) ]; do i=$((i+1)); head -c 1048576 /dev/zero >> /root/data; done"
    }

    @Test func whoWritesStandsStillAndGoesOn() throws {
        try withPool { (f, ctr) throws in
            let (a, b, c) = (f.name("a"), f.name("b"), f.name("c"))
            try f.sh(
                ctr + """
                    set -e; for i in a b c; do $CTR create $N-$i --template minimal --disk 400M; $CTR start $N-$i; done
                    """
            ).succeeds()
            let writers = try [a, b].map { (name) throws in
                try f.startScript(ctr + "exec $CTR exec \(name) -- sh -c '\(SpaceTests.load)'")
            }
            defer { for writer in writers { try? writer.signal(SIGKILL) } }
            let waiting = { () throws -> [String] in
                try JSON(text: f.sh(ctr + "$CTR --json storage").succeeds().out)["waiting"]?.array?
                    .compactMap(\.string) ?? []
            }
            #expect(try until(90) { try waiting() == [a, b] })
            let shown = try f.sh(ctr + "$CTR list; $CTR show \(a); $CTR storage; $CTR events").succeeds().out
            #expect(shown.contains("the host's disk is full") && shown.contains("paused for want of space"))
            #expect(shown.contains("reason=space") || shown.contains("space"), "\(shown)")
            // Who does not write runs on.
            try f.sh(ctr + "$CTR exec \(c) true").succeeds()
            let before = try f.free("pool")
            #expect(before > 16 << 20, "\(before)")
            CurrentProcess.sleep(milliseconds: 1500)
            #expect(try f.free("pool") > 8 << 20)

            // A guard that was killed leaves them waiting; the next one lets them go on.
            let guards = f.processes().filter { f.commandLine($0).hasSuffix(" guard ") }
            #expect(guards.count == 1)
            for pid in guards { kill(pid, SIGKILL) }
            try f.sh("rm pool/ballast").succeeds()
            #expect(try until(20) { try waiting().isEmpty })
            // And stand still again.
            #expect(try until(90) { try waiting() == [a, b] })

            // The operator's word: no longer for want of space.
            try f.sh(ctr + "$CTR pause \(b)").succeeds()
            #expect(try waiting() == [a])
            try f.sh(ctr + "$CTR destroy --force \(c); $CTR stop \(b) --timeout 1").succeeds()
            for name in [a, b] {
                let check = try f.sh(ctr + "$CTR unpause \(name); $CTR disk check \(name)").both
                #expect(check.contains("no errors"), "\(check)")
            }
            try f.sh(ctr + "$CTR stop \(a) --timeout 1").succeeds()
            for name in [a, b] {
                let kept = try f.sh(ctr + "$CTR cp \(name):/root/log log-\(name); cat log-\(name)").succeeds()
                #expect(try f.sh(ctr + "$CTR cp \(name):/root/errors errors").status == 66)
                let numbers = kept.lines.compactMap { Int($0) }
                #expect(numbers.count > 20 && numbers == Array(1...max(1, numbers.count)))
            }
        }
    }

    /// `stop` lets it go on, to halt in order: not at the price of its disk.
    @Test func stopOfOneThatWaitsLeavesSpace() throws {
        try withPool { (f, ctr) throws in
            let name = f.name("a")
            try f.write("init", "trap : TERM\n\(SpaceTests.load)\n")
            try f.sh(
                ctr + """
                    set -e; $CTR create \(name) --template minimal --disk 400M --init '/bin/sh /root/init' --stop-signal TERM
                    $CTR cp init \(name):/root/init; $CTR start \(name)
                    """
            ).succeeds()
            let waits = { () throws -> Bool in
                try f.sh(ctr + "$CTR --json storage").succeeds().out.contains("\"\(name)\"")
            }
            #expect(try until(90) { try waits() })
            let stop = try f.sh(ctr + "$CTR stop \(name) --timeout 60").succeeds()
            #expect(stop.err.contains("killed before it had halted: the host's disk is full"), "\(stop.both)")
            #expect(try f.free("pool") > 4 << 20)
            try f.sh("rm pool/ballast").succeeds()
            try f.sh(ctr + "$CTR disk check \(name) && $CTR exec --offline \(name) -- tail -n 1 /root/log").succeeds()
        }
    }

    /// A verb that takes long has the VPS's lock, and the guard does not wait for it.
    @Test func whoIsWorkedOnStandsStillToo() throws {
        try withPool { (f, ctr) throws in
            let name = f.name("a")
            try f.sh(ctr + "set -e; $CTR create \(name) --template minimal --disk 400M; $CTR start \(name)").succeeds()
            let lock = try f.startScript("exec flock -F pool/root/vps/\(name) sleep 1000")
            defer { try? lock.signal(SIGKILL) }
            let writer = try f.startScript(ctr + "exec $CTR exec \(name) -- sh -c '\(SpaceTests.load)'")
            defer { try? writer.signal(SIGKILL) }
            #expect(try until(90) { try f.free("pool") < 60 << 20 })
            CurrentProcess.sleep(milliseconds: 1500)
            #expect(try f.free("pool") > 4 << 20)
            // Space again, and the verb done: it goes on.
            try lock.signal(SIGKILL)
            try f.sh("rm pool/ballast").succeeds()
            let record = { () throws in try f.sh(ctr + "timeout 5 $CTR exec \(name) tail -n 1 /root/log").out }
            let last = try record()
            #expect(try until(30) { try record() != last })
            #expect(try !f.sh(ctr + "$CTR exec \(name) ls /root").out.contains("errors"))
            try f.sh(ctr + "$CTR stop \(name) --timeout 1").succeeds()
        }
    }

    /// What is in memory, yet to be written, takes its blocks from the host whoever stands still by then.
    @Test func whatIsNotYetWrittenCounts() throws {
        try withPool { (f, ctr) throws in
            let (a, b) = (f.name("a"), f.name("b"))
            try f.sh(
                ctr
                    + "set -e; for i in a b; do $CTR create $N-$i --template minimal --disk 400M; $CTR start $N-$i; done"
            ).succeeds()
            let writers = try [a, b].map { (name) throws in
                try f.startScript(
                    ctr
                        + "exec $CTR exec \(name) -- sh -c '\(SpaceTests.fill(300)); echo 0 > /root/end'"
                )
            }
            defer { for writer in writers { try? writer.signal(SIGKILL) } }
            #expect(
                try until(60) {
                    try JSON(text: f.sh(ctr + "$CTR --json storage").succeeds().out)["waiting"]?.array?.isEmpty == false
                })
            // All of it on its way, and there is room for it.
            try f.sh("sync").succeeds()
            CurrentProcess.sleep(milliseconds: 500)
            #expect(try f.free("pool") > 16 << 20)
            for name in [a, b] {
                let check = try f.sh(ctr + "$CTR disk check \(name)").both
                #expect(check.contains("no errors"), "\(check)")
            }
            try f.sh(ctr + "$CTR stop --timeout 1 \(a) \(b)").succeeds()
            #expect(try f.free("pool") > 8 << 20)
            try f.sh("rm pool/ballast").succeeds()
            for name in [a, b] {
                let end = try f.sh(ctr + "$CTR disk check \(name); $CTR exec --offline \(name) -- cat /root/end").both
                #expect(end.contains("no errors") && !end.contains("1\n"), "\(end)")
            }
        }
    }

    /// Nobody takes the reserve while those that it is for stand still.
    @Test func verbsLeaveTheReserve() throws {
        try withPool { (f, ctr) throws in
            let (a, b) = (f.name("a"), f.name("b"))
            try f.sh(
                ctr + """
                    set -e; for i in a b; do $CTR create $N-$i --template minimal --disk 400M; done; $CTR start \(a)
                    dd if=/dev/urandom of=big bs=1M count=250 2>/dev/null
                    """
            ).succeeds()
            for name in [a, b] {
                let copy = try f.sh(ctr + "$CTR cp big \(name):/root/")
                #expect(copy.status == 73 && copy.err.contains("of a reserve of 80"), "\(copy.both)")
                #expect(try f.free("pool") > 40 << 20)
                // Out of it works.
                try f.sh(ctr + "$CTR cp \(name):/etc/passwd out").succeeds()
                try f.sh(ctr + "$CTR destroy --force \(name); $CTR create \(name) --template minimal --disk 600M")
                    .succeeds()
            }
            let offline = try f.startScript(
                ctr + "exec $CTR exec --offline \(a) -- sh -c '\(SpaceTests.fill(340))'")
            defer { try? offline.signal(SIGKILL) }
            #expect(try until(60) { try f.free("pool") < 80 << 20 })
            CurrentProcess.sleep(milliseconds: 500)
            try f.sh("sync").succeeds()
            #expect(try f.free("pool") > 8 << 20)
            // How far it came depends on what else the host had to write; the rest is taken by somebody else.
            let rest = try f.free("pool") - 20 << 20
            if rest > 0 { try f.sh("fallocate -l \(rest) pool/more").succeeds() }
            let start = try f.sh(ctr + "$CTR start \(b)")
            #expect(start.status == 73 && start.err.contains("the host's disk is full"), "\(start.both)")
            #expect(try f.sh(ctr + "$CTR snapshot create \(b)").status == 73)
            try f.sh("rm -f pool/ballast pool/more").succeeds()
            try offline.wait(60).succeeds()
            try f.sh(ctr + "$CTR start \(b)").succeeds()
        }
    }

    /// A mistake in the settings is told, and the guard goes on with those of before.
    @Test func settingsThatCannotBeReadEndNoGuard() throws {
        try withPool { (f, ctr) throws in
            let name = f.name("a")
            // The guard works elsewhere, and finds them all the same.
            try f.sh(
                ctr
                    + "set -e; export CTR_CONFIG=config.json; $CTR create \(name) --template minimal --disk 400M; $CTR start \(name)"
            ).succeeds()
            let settings = try f.text("config.json")
            // Whole at once: half of a file is a mistake too, and another one.
            try f.write("wrong.json", "{\"spaceReserve\": \"80X\"}")
            try f.sh("mv wrong.json config.json").succeeds()
            let guards = { f.processes().filter { f.commandLine($0).hasSuffix(" guard ") } }
            let told = { try f.text("pool/root/log/events.jsonl").contains("settingsRefused") }
            #expect(try until(20) { try told() })
            #expect(guards().count == 1)
            try f.write("config.json", settings)
            let events = try f.sh(ctr + "$CTR events").succeeds().out
            #expect(events.contains("spaceReserve"), "\(events)")
        }
    }

    @Test func aThickDiskLeavesTheReserve() throws {
        try withPool { (f, ctr) throws in
            let refused = try f.sh(ctr + "$CTR create $N-a --template minimal --disk 320M --thick")
            #expect(refused.status == 73 && refused.err.contains("in reserve"), "\(refused.both)")
            try f.sh(ctr + "$CTR create $N-a --template minimal --disk 128M --thick").succeeds()
            let grown = try f.sh(ctr + "$CTR disk resize $N-a 320M")
            #expect(grown.status == 73 && grown.err.contains("in reserve"), "\(grown.both)")
            #expect(try f.free("pool") > 80 << 20)
        }
    }

    /// What would take the reserve stops before it has, and leaves nothing.
    @Test func copiesLeaveTheReserve() throws {
        try withPool { (f, ctr) throws in
            let (a, b) = (f.name("a"), f.name("b"))
            try f.sh(
                ctr + """
                    set -e; $CTR create \(a) --template minimal --disk 400M; $CTR start \(a)
                    $CTR exec \(a) -- dd if=/dev/urandom of=/root/data bs=1024k count=150
                    $CTR stop \(a) --timeout 1; $CTR export \(a) big.tar
                    """
            ).succeeds()
            let clone = try f.sh(ctr + "$CTR clone --full \(a) \(b)")
            #expect(clone.status == 73 && clone.err.contains("in reserve"), "\(clone.both)")
            let made = try f.sh(ctr + "$CTR import big.tar --name \(b)")
            #expect(made.status == 74 && made.err.contains("no space: "), "\(made.both)")
            #expect(try f.free("pool") > 80 << 20)
            #expect(try f.sh(ctr + "$CTR list -q").succeeds().lines == [a])
        }
    }

    @Test func aReserveThatIsNoSizeIsRefused() throws {
        try Fixture.with { (f) throws in
            try f.write("config.json", "{\"spaceReserve\": \"much\"}")
            let refused = try f.ctr("storage")
            #expect(refused.status == 78 && refused.err.contains("spaceReserve"), "\(refused.both)")
        }
    }
}

extension Fixture {
    fileprivate func free(_ path: String) throws -> Int64 {
        try Kernel.open("\(self.path)/\(path)", [.directory]).fileSystemStatus().available
    }
}
