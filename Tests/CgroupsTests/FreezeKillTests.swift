import Foundation
import Kernel
import Model
import Testing

@testable import Cgroups

/// This host without v2, as a legacy host has it; nil where v1 has no freezer.
private func legacy() throws -> CgroupHost {
    let host = try CgroupHost.detect()
    return CgroupHost(v2: nil, v2Controllers: [], v1: host.v1)
}

@Suite struct FreezeKillTests {
    private func checkFreeze(_ f: Fixture) throws {
        let cgroup = try f.create()
        let counter = FileManager.default.temporaryDirectory.appendingPathComponent("ctr-test-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: counter) }
        func size() -> Int { (try? FileManager.default.attributesOfItem(atPath: counter.path)[.size] as? Int) ?? 0 }
        try f.start(cgroup, "while :; do echo x; done >\(counter.path)")
        #expect(eventually { size() > 0 })
        try cgroup.freeze()
        #expect(try cgroup.isFrozen())
        let then = size()
        usleep(100_000)
        #expect(size() == then)
        try cgroup.freeze()
        try cgroup.thaw()
        #expect(try !cgroup.isFrozen())
        #expect(eventually { size() > then })
        // A frozen one can be killed.
        try cgroup.freeze()
        try cgroup.kill()
        #expect(try cgroup.isEmpty())
        if f.host.v2 == nil { #expect(try !cgroup.isFrozen()) }
    }

    @Test(.requires(.v2)) func freezesOnV2() throws { try Fixture.with { try checkFreeze($0) } }

    @Test(.requires(.v1Mount(.freezer))) func freezesOnV1() throws {
        try Fixture.with(host: legacy()) { try checkFreeze($0) }
    }

    @Test(.requires()) func anImpossibleDeadlineThawsAgain() throws {
        for host in [try CgroupHost.detect(), try legacy()] where host.place(of: .freezer) != .absent {
            try Fixture.with(host: host) { f in
                let cgroup = try f.create()
                try f.start(
                    cgroup, "i=0; while [ $i -lt 40 ]; do (while :; do sleep 0.01; done) & i=$((i+1)); done; wait")
                #expect(try eventually { try cgroup.processes().count > 40 })
                if let error = thrown({ try cgroup.freeze(milliseconds: 0) }) {
                    #expect(error.code == .busy)
                    #expect(error.message.contains("thawed again"))
                    #expect(try !cgroup.isFrozen())
                }
                // When it says so, all stand still.
                try cgroup.freeze()
                let freezer = try cgroup.freezer()
                if freezer.isUnified {
                    #expect(try freezer.hasEvent("frozen 1"))
                } else {
                    #expect(try freezer.readText("freezer.state") == "FROZEN\n")
                }
                try cgroup.kill()
            }
        }
    }

    private func checkKill(_ f: Fixture) throws {
        let cgroup = try f.create()
        // Every process forks two more until sixty are there; the shells go on forking as others die.
        let bomb = "b() { while :; do [ $(wc -l <$P) -lt 60 ] && b & sleep 0.02; done; }; b"
        let procs = try #require(cgroup.record.directories.first)
        let list = procs.unified ? "\(procs.path)/payload/cgroup.procs" : "\(procs.path)/cgroup.procs"
        let running = try f.start(cgroup, "P=\(list); \(bomb)")
        #expect(try eventually { try cgroup.processes().count > 20 })
        try cgroup.kill()
        #expect(try cgroup.isEmpty())
        #expect(try cgroup.processes().isEmpty)
        _ = try running.finish()
        try cgroup.kill()
        try cgroup.remove()
    }

    @Test(.requires(.v2)) func killsAForkBombOnV2() throws { try Fixture.with { try checkKill($0) } }

    @Test(.requires(.v1Mount(.freezer))) func killsAForkBombOnV1() throws {
        try Fixture.with(host: legacy()) { try checkKill($0) }
    }

    @Test(.requires(.v1Mount(.pids))) func killsWithoutAFreezer() throws {
        let host = try CgroupHost.detect()
        let bare = CgroupHost(v2: nil, v2Controllers: [], v1: host.v1.filter { $0.key == .pids })
        try Fixture.with(host: bare) { f in
            let cgroup = try f.create()
            try f.start(cgroup, "sleep 100 & sleep 100 & wait")
            #expect(try eventually { try cgroup.processes().count == 3 })
            #expect(thrown { try cgroup.freeze() }?.code == .unavailable)
            try cgroup.kill()
            #expect(try cgroup.isEmpty())
        }
    }

    @Test(.requires()) func waitsForTheEnd() throws {
        try Fixture.with { f in
            let cgroup = try f.create()
            #expect(try f.start(cgroup, "echo ready; sleep 1").line() == "ready")
            #expect(try cgroup.waitUntilEmpty(milliseconds: 60_000))
            #expect(try cgroup.isEmpty())
            #expect(try f.start(cgroup, "echo ready; exec sleep 100").line() == "ready")
            #expect(try !cgroup.waitUntilEmpty(milliseconds: 20))
        }
    }

    @Test(.requires(.v1Mount(.cpuacct), .v1Mount(.memory))) func usageOnLegacyHosts() throws {
        try Fixture.with(host: legacy()) { f in
            let cgroup = try f.create()
            _ = try f.run(cgroup, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
            let usage = try cgroup.usage()
            #expect((usage.processor?.total ?? 0) > 0)
            #expect((usage.memory?.peak ?? 0) > 0)
            #expect(usage.pressure == nil)
        }
    }
}
