import Foundation
import Kernel
import Model
import Testing

@testable import Cgroups

@Suite struct LimitKernelTests {
    @Test(.requires(.controller(.pids))) func forksStopAtTheLimit() throws {
        try Fixture.with { f in
            var r = Resources()
            r.pids = 8
            let cgroup = try f.create(r)
            let running = try f.start(cgroup, "i=0; while [ $i -lt 20 ]; do sleep 100 & i=$((i+1)); done")
            #expect(try eventually { (try cgroup.usage().processes?.refused ?? 0) > 0 })
            #expect(try cgroup.processes().count <= 8)
            try cgroup.kill()
            _ = try running.finish()
            let usage = try cgroup.usage()
            #expect(usage.processes?.limit == 8)
        }
    }

    @Test(.requires(.controller(.memory))) func memoryAboveTheLimitIsKilledAndCounted() throws {
        try Fixture.with { f in
            var r = Resources()
            r.memory = 16 << 20
            if FileManager.default.fileExists(atPath: "/proc/swaps") { r.swap = 0 }
            let cgroup = try f.create(r)
            #expect(try cgroup.usage().memory?.limit == 16 << 20)
            let result = try f.run(cgroup, "head -c 100m /dev/zero | tail -c 99m >/dev/null; echo survived $?")
            #expect(!result.output.contains("survived 0"), "\(result.output)")
            let memory = try #require(try cgroup.usage().memory)
            #expect((memory.oomKills ?? 0) >= 1)
            #expect((memory.peak ?? 0) > 8 << 20)
            #expect((memory.peak ?? 0) <= 16 << 20)
        }
    }

    @Test(.requires(.controller(.cpu))) func theQuotaThrottles() throws {
        try Fixture.with { f in
            var r = Resources()
            r.cpus = 0.05
            r.cpuWeight = 50
            let cgroup = try f.create(r)
            try f.start(cgroup, "while :; do :; done")
            // The time is counted when the throttling ends.
            #expect(try eventually { (try cgroup.usage().processor?.throttledTime ?? 0) > 0 })
            let processor = try #require(try cgroup.usage().processor)
            #expect(processor.total > 0)
            #expect((processor.periods ?? 0) >= (processor.throttledPeriods ?? 0))
            #expect((processor.throttledPeriods ?? 0) > 0)
            try cgroup.kill()
        }
    }

    @Test(.requires(.controller(.cpuset))) func runsOnItsProcessorsOnly() throws {
        try Fixture.with { f in
            var r = Resources()
            r.cpuset = "0"
            let cgroup = try f.create(r)
            let result = try f.run(cgroup, "grep Cpus_allowed_list /proc/self/status; nproc")
            #expect(
                result.output.split(whereSeparator: \.isWhitespace) == ["Cpus_allowed_list:", "0", "1"],
                "\(result.output)")
        }
    }

    @Test(.requires(.controller(.io), .disk)) func ratesAreSetAndTakenBack() throws {
        try Fixture.with { f in
            let device = try #require(diskNumber())
            var r = Resources()
            r.ioReadBps = [IORate(device: device, rate: 1 << 20)]
            r.ioWriteIops = [IORate(device: device, rate: 100)]
            var cgroup = try f.create(r)
            let io = try #require(cgroup.directory(of: .io))
            func text() throws -> String {
                try (io.isUnified ? ["io.max"] : LimitPlan.v1RateFiles).map { try io.readText($0) ?? "" }.joined()
            }
            #expect(try text().contains("1048576"))
            #expect(try text().contains("100"))
            r.ioReadBps = []
            try cgroup.apply(r, host: f.host)
            #expect(try !text().contains("1048576"))
            #expect(try text().contains("100"))
            try cgroup.apply(Resources(), host: f.host)
            #expect(try text().isEmpty)
            #expect(try cgroup.usage().disks != nil)
        }
    }

    @Test(.requires(.controller(.memory))) func memoryGrowsAndShrinks() throws {
        try Fixture.with { f in
            var r = Resources()
            r.memory = 32 << 20
            r.swap = 8 << 20
            var cgroup = try f.create(r)
            // Up beyond memory and swap together, then down below the old memory, then away, then back.
            for (memory, swap) in [(200, 0), (20, 4), (20, nil), (nil, nil), (64, 64), (64, 0)] as [(Int64?, Int64?)] {
                r.memory = memory.map { $0 << 20 }
                r.swap = swap.map { $0 << 20 }
                try cgroup.apply(r, host: f.host)
                let usage = try #require(try cgroup.usage().memory)
                #expect(usage.limit == r.memory, "\(memory ?? -1) \(swap ?? -1)")
                #expect(usage.swapLimit == r.swap, "\(memory ?? -1) \(swap ?? -1)")
            }
        }
    }

    @Test(.requires(.controller(.memory))) func aLimitBelowWhatIsInUseIsRefusedAndNothingChanges() throws {
        try Fixture.with { f in
            var r = Resources()
            r.memory = 128 << 20
            r.swap = 0
            r.pids = 100
            var cgroup = try f.create(r)
            #expect(try f.start(cgroup, "exec \(Fixture.probe) --hold \(24 << 20)").line() == "ready")
            let before = try cgroup.usage()
            var lower = r
            lower.memory = 8 << 20
            lower.pids = 50
            let error = thrown { try cgroup.apply(lower, host: f.host) }
            #expect(error?.code == .busy)
            // How much: at least what is held, and no more than the limit was.
            let message = error?.message ?? ""
            let amount = message.firstMatch(of: /: ([0-9.]+M) is in use and could not be reclaimed/)
            let used = try #require(
                try amount.map { try Size.parse(String($0.1.prefix { $0 != "." }) + "M", option: "") }, "\(message)")
            #expect(used >= 24 << 20 && used < 40 << 20, "\(message)")
            let after = try cgroup.usage()
            #expect(after.memory?.limit == before.memory?.limit)
            #expect(after.memory?.swapLimit == before.memory?.swapLimit)
            #expect(after.processes?.limit == 100)
            #expect(after.memory?.oomKills == 0, "nobody is killed by `set`")
            #expect(try cgroup.processes().count == 1)
        }
    }

    @Test(.requires(.controller(.cpu), .controller(.cpuset), .controller(.pids)))
    func newControllersTakeTheProcessesIn() throws {
        try Fixture.with { f in
            var cgroup = try f.create()
            let running = try f.start(cgroup, "sleep 100 & sleep 100 & wait")
            #expect(try eventually { try cgroup.processes().count == 3 })
            var r = Resources()
            r.cpus = 0.5
            r.cpuset = "0"
            r.pids = 30
            try cgroup.apply(r, host: f.host)
            f.keep(cgroup)
            for pid in try cgroup.processes() {
                let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
                #expect(status.contains("Cpus_allowed_list:\t0\n"))
            }
            let cpu = try #require(cgroup.directory(of: .cpu))
            if cpu.isUnified {
                #expect(try cpu.readText("cpu.max") == "50000 100000\n")
                // The guest sees it too.
                #expect(try cpu.child(Cgroup.payload).readText("cpu.max") == "50000 100000\n")
            } else {
                #expect(try cpu.readText("cpu.cfs_quota_us") == "50000\n")
                #expect(try cpu.processes().count == 3)
            }
            // The record knows the new directories: a process that joins later is limited too.
            let other = try f.run(try Cgroup.open(cgroup.record), "grep Cpus_allowed_list /proc/self/status")
            #expect(other.output.contains("\t0\n"))
            // And away again.
            try cgroup.apply(Resources(), host: f.host)
            let all = try f.run(cgroup, "nproc")
            #expect(all.output.trimmed == "\(ProcessInfo.processInfo.processorCount)")
            #expect(try cgroup.usage().processes?.limit == nil)
            if cpu.isUnified { #expect(try cpu.child(Cgroup.payload).readText("cpu.max") == "max 100000\n") }
            try cgroup.kill()
            _ = try running.finish()
        }
    }

    @Test(.requires(.controller(.cpuset))) func aFailedChangeLeavesNoDirectoryBehind() throws {
        try Fixture.with { f in
            var cgroup = try f.create()
            let before = cgroup.record
            var r = Resources()
            r.cpus = 0.5
            r.cpuset = "4000"
            #expect(thrown { try cgroup.apply(r, host: f.host) }?.code == .usage)
            #expect(cgroup.record == before)
            for mount in Set([f.host.v2].compactMap { $0 } + f.host.v1.values) {
                let path = "\(mount)/\(cgroup.record.path)"
                if before.directories.contains(where: { $0.path == path }) { continue }
                #expect(!FileManager.default.fileExists(atPath: path))
            }
        }
    }

    @Test(.requires(.controller(.memory), .controller(.io))) func aLaterFailureTakesBackWhatWasSet() throws {
        try Fixture.with { f in
            var r = Resources()
            r.memory = 64 << 20
            r.pids = 10
            var cgroup = try f.create(r)
            var other = r
            other.memory = 128 << 20
            other.pids = nil
            other.ioReadBps = [IORate(device: "4000:17", rate: 1)]
            let error = thrown { try cgroup.apply(other, host: f.host) }
            #expect(error?.message.contains("4000:17") == true)
            #expect(try cgroup.usage().memory?.limit == 64 << 20)
            #expect(try cgroup.usage().processes?.limit == 10)
        }
    }

    @Test(.requires(.controller(.memory))) func memoryByKind() throws {
        try Fixture.with { f in
            let cgroup = try f.create()
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("ctr-kind-\(UUID())").path
            defer { try? FileManager.default.removeItem(atPath: file) }
            let running = try f.start(
                cgroup, "head -c 12m /dev/zero >'\(file)'; exec \(Fixture.probe) --hold \(24 << 20)")
            #expect(try running.line() == "ready")
            let memory = try #require(try cgroup.usage().memory)
            #expect((memory.anonymous ?? 0) >= 24 << 20 && (memory.anonymous ?? 0) < 36 << 20)
            #expect((memory.cache ?? 0) >= 12 << 20 && (memory.cache ?? 0) < 24 << 20)
            #expect((memory.kernel ?? 0) > 0)
            #expect((memory.anonymous ?? 0) + (memory.cache ?? 0) <= memory.current + (1 << 20))
            if cgroup.directory(of: .memory)?.isUnified == true { #expect((memory.slab ?? 0) > 0) }
            try cgroup.kill()
        }
    }

    @Test(.requires(.controller(.cpu))) func theQuotaIsTold() throws {
        try Fixture.with { f in
            var r = Resources()
            r.cpus = 1.5
            var cgroup = try f.create(r)
            #expect(try cgroup.usage().processor?.limit == 1.5)
            try cgroup.apply(Resources(), host: f.host)
            #expect(try cgroup.usage().processor?.limit == nil)
        }
    }

    @Test(.requires(.unified, .controller(.memory))) func memoryHigh() throws {
        try Fixture.with { f in
            var r = Resources()
            r.memoryHigh = 32 << 20
            let cgroup = try f.create(r)
            #expect(try cgroup.usage().memory?.high == 32 << 20)
        }
    }
}
