import Foundation
import Kernel
import Model
import Testing

@testable import Cgroups

@Suite struct LimitWatchTests {
    /// Takes turns of a supervisor's loop until `condition` holds of what was met so far, at most a minute.
    private func turn(_ watch: LimitWatch, until condition: (LimitHits) -> Bool) throws -> Bool {
        let end = Date(timeIntervalSinceNow: 60)
        while !condition(watch.total) {
            if Date() > end { return false }
            _ = try wake(watch, milliseconds: 1000)
        }
        return true
    }

    /// One turn; whether it was woken.
    private func wake(_ watch: LimitWatch, milliseconds: Int32) throws -> Bool {
        var poll = Poll()
        watch.add(to: &poll)
        let ready = try poll.wait(milliseconds: milliseconds)
        _ = try watch.changes(ready)
        return ready.contains { !$0.isEmpty }
    }

    /// Whether the watch becomes silent: listens, and nothing wakes it.
    private func becomesSilent(_ watch: LimitWatch) throws -> Bool {
        try eventually { try !wake(watch, milliseconds: 300) && watch.pause == 0 }
    }

    private static let hasSwap =
        ((try? String(contentsOfFile: "/proc/swaps", encoding: .utf8)) ?? "")
        .split(separator: "\n").count > 1

    private func limited(_ f: Fixture) throws -> Cgroup {
        var r = Resources()
        r.memory = 16 << 20
        // Linux 6.18 does not count what fails at v1's limit of memory and swap together: so only where it is needed.
        if Self.hasSwap { r.swap = 0 }
        r.pids = 20
        return try f.create(r)
    }

    private func countsMemory(_ cgroup: Cgroup) -> Bool {
        cgroup.directory(of: .memory)?.isUnified == true || !Self.hasSwap
    }

    /// Asks for more than the limit; the shell reports the signal that ends it.
    private static let victim = "\(Fixture.probe) --hold \(64 << 20); echo \"<$?>\""

    @Test(.requires(.controller(.memory), .controller(.pids))) func nothingWakesWhileNoLimitIsMet() throws {
        try Fixture.with { f in
            let cgroup = try limited(f)
            let watch = try LimitWatch(cgroup)
            #expect(try !wake(watch, milliseconds: 200))
            let result = try f.run(
                cgroup, "for i in 1 2 3 4 5; do sleep 0.01 & wait; done; head -c 4m /dev/zero | wc -c")
            #expect(result.output.trimmed == "\(4 << 20)")
            #expect(try !wake(watch, milliseconds: 300))
            #expect(watch.total.isEmpty)
            #expect(try watch.changes() == nil)
        }
    }

    @Test(.requires(.controller(.memory))) func killsForWantOfMemoryWakeAndAreCounted() throws {
        try Fixture.with { f in
            let cgroup = try limited(f)
            let watch = try LimitWatch(cgroup)
            // Nobody looks but for what wakes.
            for kills in 1...3 as ClosedRange<Int64> {
                let running = try f.start(cgroup, Self.victim)
                #expect(try turn(watch) { $0.oomKills == kills })
                #expect(try running.finish().output.contains("<137>"))
                #expect(try becomesSilent(watch))
            }
            #expect(watch.total.oomKills == 3)
            #expect((watch.total.memory ?? 0) > 0 || !countsMemory(cgroup))
            #expect((watch.total.processes ?? 0) == 0)
            #expect(try watch.changes() == nil)
            let usage = try #require(try cgroup.usage().memory)
            #expect(usage.oomKills == 3)
            #expect((usage.limitHits ?? 0) > 0 || !countsMemory(cgroup))
        }
    }

    @Test(.requires(.controller(.memory))) func oneThatTakesOverHearsOfWhatCameBetween() throws {
        try Fixture.with { f in
            let cgroup = try limited(f)
            let first = try LimitWatch(cgroup).total
            #expect(try f.run(cgroup, Self.victim).output.contains("<137>"))
            #expect(try LimitWatch(cgroup).changes() == nil)
            let watch = try LimitWatch(cgroup, since: first)
            #expect(try watch.changes()?.oomKills == 1)
            #expect(watch.total.oomKills == 1)
        }
    }

    @Test(.requires(.v1(.memory))) func aKillInAGroupOfTheGuestsOwnCounts() throws {
        try Fixture.with { f in
            let cgroup = try limited(f)
            let inner = try #require(cgroup.directory(of: .memory)).path + "/inner"
            let watch = try LimitWatch(cgroup)
            let running = try f.start(
                cgroup, "mkdir \(inner) && echo $$ >\(inner)/cgroup.procs; \(Self.victim)")
            #expect(try turn(watch) { $0.oomKills == 1 })
            #expect(try running.finish().output.contains("<137>"))
            #expect(try cgroup.usage().memory?.oomKills == 1)
        }
    }

    @Test(.requires(.controller(.pids))) func failedForks() throws {
        try Fixture.with { f in
            let cgroup = try limited(f)
            let watch = try LimitWatch(cgroup)
            let running = try f.start(
                cgroup, "i=0; while [ $i -lt 40 ]; do sleep 100 & i=$((i+1)); done")
            if cgroup.directory(of: .pids)?.isUnified == true {
                #expect(try turn(watch) { ($0.processes ?? 0) > 0 })
            } else {
                // v1 wakes nobody; a look counts.
                #expect(try eventually { try (watch.changes()?.processes ?? 0) > 0 })
                #expect(try !wake(watch, milliseconds: 200))
            }
            #expect((watch.total.processes ?? 0) > 0)
            #expect(watch.total.oomKills == 0)
            try cgroup.kill()
            _ = try running.finish()
        }
    }

    @Test(.requires(.controller(.memory))) func fileCacheThatFillsTheMemoryIsNoKill() throws {
        try Fixture.with { f in
            let cgroup = try limited(f)
            let file = FileManager.default.temporaryDirectory.appendingPathComponent("ctr-cache-\(UUID())").path
            defer { try? FileManager.default.removeItem(atPath: file) }
            let watch = try LimitWatch(cgroup)
            let result = try f.run(
                cgroup, "dd if=/dev/zero of='\(file)' bs=1M count=64 2>&1 && sync '\(file)'; echo $?")
            #expect(result.output.hasSuffix("0\n"), "\(result.output)")
            if cgroup.directory(of: .memory)?.isUnified == true {
                #expect(try turn(watch) { ($0.memory ?? 0) > 0 })
            } else if countsMemory(cgroup) {
                #expect(try (watch.changes()?.memory ?? 0) > 0)
            }
            #expect(try becomesSilent(watch))
            #expect(watch.total.oomKills == 0)
        }
    }

    @Test(.requires(.controller(.memory))) func aRemovedGroupIsSilent() throws {
        try Fixture.with { f in
            let cgroup = try limited(f)
            let watch = try LimitWatch(cgroup)
            #expect(try f.run(cgroup, Self.victim).output.contains("<137>"))
            #expect(try turn(watch) { $0.oomKills == 1 })
            try cgroup.remove()
            #expect(try becomesSilent(watch))
            #expect(try watch.changes() == nil)
            #expect(watch.total.oomKills == 1)
        }
    }

    @Test func countsThatShrinkDoNotHideWhatComes() {
        let before = LimitHits(oomKills: 5, processes: 2)
        let removed = LimitHits(oomKills: 3)
        #expect(removed.since(before).isEmpty)
        let known = removed.filled(from: before)
        #expect(known == LimitHits(oomKills: 3, processes: 2))
        #expect(LimitHits(oomKills: 4, processes: 3).since(known) == LimitHits(oomKills: 1, processes: 1))
        #expect(before.adding(LimitHits(memory: 1, oomKills: 1)) == LimitHits(memory: 1, oomKills: 6, processes: 2))
    }
}
