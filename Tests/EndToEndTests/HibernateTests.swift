import Glibc
import Kernel
import Testing

/// `ctr hibernate`: the checkpoint is on the VPS's own disk.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? "")))
struct HibernateTests {
    /// What the first has left is room again.
    @Test func onceMoreAtOnce() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "256M")
            try f.fillMemory(of: n, 100_000_000)
            for _ in 1...3 {
                try f.ctr("hibernate", n).succeeds()
                try f.ctr("resume", n).succeeds()
            }
            try f.goesOn(n)
        }
    }

    @Test func itsMemoryIsOnItsDisk() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "256M", "--memory", "64M")
            for verb in ["start", "resume"] {
                let before = try f.counted(n)
                try f.ctr("hibernate", n).succeeds()
                #expect(try f.state(n) == "hibernated")
                #expect(!f.exists("root/vps/\(n)/checkpoint") && !f.exists("root/vps/\(n)/checkpoint.new"))
                #expect(f.cgroups().allSatisfy { !$0.contains(n) })
                // Who guards the host's disk ends when there is nobody left.
                #expect(until(10) { f.processes() == [] }, "\(f.processes().map { f.commandLine($0) })")
                #expect(try f.loops() == [])
                #expect(try f.ctr("hibernate", n).succeeds().err.contains("already"))
                try f.ctr("set", n, "--memory", "1G").fails(1, words: "suspended")
                // It is off: another directory's worth of its files is all of it.
                try f.sh("mv root/vps/\(n) root/vps/moved && cp -a --sparse=always root/vps/moved root/vps/\(n)")
                    .succeeds()
                try f.sh("rm -r root/vps/moved; touch -d @0 root/vps/\(n)/config.json").succeeds()
                try f.ctr(verb, n).succeeds()
                #expect(try f.state(n) == "running")
                #expect(!f.exists("root/vps/\(n)/hibernated"))
                #expect(try f.counted(n) >= before)
                try f.goesOn(n)
            }
            // Nothing of it is left on the disk.
            try f.ctr("stop", n).succeeds()
            let names = try f.sh(
                "mkdir m && mount -o loop,ro root/vps/\(n)/disk.img m && ls m && umount m"
            ).succeeds().lines
            #expect(names == ["root", "snapshots"], "\(names)")
        }
    }

    @Test func withoutRoomItRunsOn() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "128M", "--memory", "256M")
            try f.ctr("exec", n, "--", "dd", "if=/dev/urandom", "of=/dev/shm/much", "bs=1M", "count=120").succeeds()
            try f.ctr("hibernate", n).fails(1, words: "needs up to", "are left", "runs on")
            #expect(try f.state(n) == "running")
            #expect(!f.exists("root/vps/\(n)/hibernated") && !f.exists("root/vps/\(n)/hibernated.new"))
            try f.goesOn(n)
            try f.ctr("exec", n, "--", "rm", "/dev/shm/much").succeeds()
            try f.ctr("hibernate", n).succeeds()
            try f.ctr("start", n).succeeds()
            try f.goesOn(n)
        }
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try f.ctr("hibernate", n).fails(1, words: "no disk of its own", "ctr suspend")
            try f.goesOn(n)
        }
    }

    @Test func itsMemoryCanBeGivenUp() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "256M")
            try f.ctr("hibernate", n).succeeds()
            try f.sh("touch root/vps/\(n)/disk.img").succeeds()
            for _ in 1...2 { try f.ctr("start", n).fails(1, words: "its disk was changed") }
            #expect(try f.state(n) == "hibernated")
            try f.ctr("resume", "--discard", n).succeeds()
            #expect(try f.state(n) == "stopped")
            try f.ctr("start", n).succeeds()
            #expect(try f.ctr("exec", n, "--", "test", "-s", "/root/n").status == 0)
        }
    }

    /// Whoever is killed, and whenever: it runs, or it is hibernated with a whole checkpoint.
    @Test(arguments: [
        ("hibernate", "ctr", 60), ("hibernate", "ctr", 150), ("hibernate", "ctr", 250), ("resume", "ctr", 100),
        ("resume", "criu", 150), ("resume", "supervisor", 60), ("resume", "supervisor", 150),
        ("resume", "supervisor", 220),
    ]) func killedAtAnyMoment(verb: String, whom: String, milliseconds: Int) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "256M")
            if verb == "resume" { try f.ctr("hibernate", n).succeeds() }
            let run = try f.start(verb, n)
            usleep(UInt32(milliseconds) * 1000)
            if whom == "ctr" {
                try? run.signal(SIGKILL)
            } else {
                let word = whom == "criu" ? "restore" : "supervise"
                for pid in f.processes() where f.commandLine(pid).contains(word) { kill(pid, SIGKILL) }
            }
            _ = try run.wait()
            var state: String?
            #expect(
                try until(30) {
                    state = try f.state(n)
                    return state == "running" || state == "hibernated"
                }, "\(state ?? "gone")")
            #expect(until(30) { !f.processes().contains { f.commandLine($0).contains("criu") } })
            // Its processes take a moment to end when criu has.
            #expect(try until(30) { try !f.exists("root/vps/\(n)/hibernated") || f.state(n) == "hibernated" })
            if try f.state(n) == "hibernated" { try f.ctr("resume", n).succeeds() }
            #expect(try f.state(n) == "running")
            try f.goesOn(n)
        }
    }
}
