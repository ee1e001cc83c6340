import Foundation
import Kernel
import Model
import Testing

@testable import Cgroups

private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

@Suite struct LifeTests {
    @Test(.requires()) func makesJoinsAndRemoves() throws {
        try Fixture.with { f in
            var r = Resources()
            if f.host.place(of: .memory) != .absent { r.memory = 64 << 20 }
            if f.host.place(of: .pids) != .absent { r.pids = 20 }
            let cgroup = try f.create(r, owner: 300_000)
            #expect(try cgroup.isEmpty())
            // It has joined every hierarchy when it says so.
            let running = try f.start(cgroup, "echo ready; exec sleep 100")
            #expect(try running.line() == "ready")
            #expect(try cgroup.processes().count == 1)
            #expect(try !cgroup.isEmpty())
            // Host's view: in every hierarchy of the record.
            let pid = try #require(try cgroup.processes().first)
            let mine = try String(contentsOfFile: "/proc/\(pid)/cgroup", encoding: .utf8)
            for directory in cgroup.record.directories {
                let suffix = cgroup.record.path + (directory.unified ? "/payload" : "")
                let lines = mine.split(separator: "\n").filter { $0.hasSuffix(suffix) }
                #expect(!lines.isEmpty, "\(directory.path) in \(mine)")
            }
            #expect(thrown { try cgroup.remove(milliseconds: 50) }?.code == .busy)
            try cgroup.kill()
            #expect(try cgroup.isEmpty())
            _ = try running.finish()
            try cgroup.remove()
            for directory in cgroup.record.directories { #expect(!exists(directory.path)) }
            try cgroup.remove()
            try Cgroup.remove(cgroup.record)
            #expect(thrown { try Cgroup.open(cgroup.record) }?.code == .notFound)
        }
    }

    /// The namespace is unshared after joining, so that the guest sees itself at the root, from inside a user
    /// namespace too: v1 asks who opened the file.
    @Test(.requires()) func joinsFromWithinAUserNamespace() throws {
        try Fixture.with { f in
            let cgroup = try f.create(owner: 300_000)
            let result = try f.run(cgroup, userns: true, "cat /proc/self/cgroup")
            #expect(result.status == .exited(0), "\(result.output)")
            if f.host.v2 != nil { #expect(result.output.contains("0::/\n"), "\(result.output)") }
            if case .v1 = f.host.place(of: .memory) {
                #expect(result.output.contains(":memory:/\n"), "\(result.output)")
            }
        }
    }

    @Test(.requires(.v2)) func delegatesTheInnerDirectoryOnly() throws {
        try Fixture.with { f in
            let cgroup = try f.create(owner: 300_000)
            let directory = try #require(cgroup.unified)
            func owner(_ file: String) throws -> UInt32 {
                try directory.parent.fd.status(of: "\(directory.name)\(file)").uid
            }
            for file in [
                "/payload", "/payload/cgroup.procs", "/payload/cgroup.threads", "/payload/cgroup.subtree_control",
            ] {
                #expect(try owner(file) == 300_000, "\(file)")
            }
            for file in ["", "/cgroup.procs", "/cgroup.freeze", "/cgroup.subtree_control", "/payload/cgroup.freeze"] {
                #expect(try owner(file) == 0, "\(file)")
            }
        }
    }

    @Test(.requires(.v2)) func joinsALeafWhereTheGuestSharesControllersOut() throws {
        try Fixture.with { f in
            let controllers = f.host.v2Controllers.intersection([.memory, .pids, .hugetlb])
            try #require(!controllers.isEmpty)
            let cgroup = try f.create(owner: 300_000, guestControllers: controllers)
            let payload = try #require(cgroup.unified).child(Cgroup.payload)
            try payload.write("cgroup.subtree_control", "+\(try #require(controllers.first))")
            let reopened = try Cgroup.open(cgroup.record)
            try f.start(reopened, "exec sleep 100")
            #expect(try eventually { try cgroup.processes().count == 1 })
            #expect(try payload.child(".ctr").read("cgroup.procs")?.isEmpty == false)
            #expect(try payload.parent.fd.status(of: "\(payload.name)/.ctr").uid == 300_000)
            // A second one finds the leaf there.
            try f.start(reopened, "exec sleep 100")
            #expect(try eventually { try cgroup.processes().count == 2 })
        }
    }

    @Test(.requires()) func aStaleOneIsReplaced() throws {
        try Fixture.with { f in
            let path = f.path()
            let first = try f.create(path: path)
            if let payload = first.unified?.child(Cgroup.payload) {
                try payload.parent.fd.makeDirectory("\(payload.name)/left", mode: 0o755)
            }
            let second = try f.create(path: path)
            #expect(first.record == second.record)
            #expect(try second.isEmpty())
        }
    }

    @Test(.requires()) func anOccupiedOneIsLeftAlone() throws {
        try Fixture.with { f in
            let path = f.path()
            let first = try f.create(path: path)
            try f.start(first, "exec sleep 100")
            #expect(try eventually { try first.processes().count == 1 })
            let pid = try #require(try first.processes().first)
            let error = thrown { try f.create(path: path) }
            #expect(error?.code == .cannotCreate)
            #expect(error?.message.contains("process \(pid)") == true, "\(error?.message ?? "")")
            #expect(try first.processes() == [pid])
            _ = try Cgroup.open(first.record)
        }
    }

    @Test(.requires(.controller(.cpuset))) func allOrNothing() throws {
        try Fixture.with { f in
            var r = Resources()
            r.cpuset = "0,4000"
            let path = f.path()
            let error = thrown { try f.create(r, path: path) }
            #expect(error?.code == .usage)
            #expect(error?.message.contains("--cpuset") == true, "\(error?.message ?? "")")
            for mount in Set([f.host.v2].compactMap { $0 } + f.host.v1.values) { #expect(!exists("\(mount)/\(path)")) }
        }
    }

    @Test(.requires(.controller(.io))) func anUnknownDiskIsNamed() throws {
        try Fixture.with { f in
            var r = Resources()
            r.ioReadBps = [IORate(device: "4000:17", rate: 1000)]
            let error = thrown { try f.create(r) }
            #expect(error?.code == .usage)
            #expect(error?.message.contains("4000:17") == true, "\(error?.message ?? "")")
        }
    }

    @Test(.requires(.v2)) func removesWhatTheGuestMadeHoweverDeep() throws {
        try Fixture.with { f in
            let cgroup = try f.create()
            let payload = try #require(cgroup.unified).child(Cgroup.payload)
            var directory = try payload.open("", [.readOnly, .directory])
            // Deeper than a path may be long, were it named from the top.
            let name = String(repeating: "d", count: 200)
            for depth in 0..<40 {
                try directory.makeDirectory("side\(depth)", mode: 0o755)
                directory = try directory.ensureDirectory(name, mode: 0o755)
            }
            #expect(try cgroup.processes().isEmpty)
            try cgroup.remove()
            #expect(!exists(cgroup.record.directories[0].path))
        }
    }

    @Test(.requires(.v2)) func findsProcessesBelow() throws {
        try Fixture.with { f in
            let cgroup = try f.create()
            let payload = try #require(cgroup.unified).child(Cgroup.payload)
            try payload.parent.fd.makeDirectory("\(payload.name)/inner", mode: 0o755)
            try f.start(cgroup, "echo 0 >\(payload.path)/inner/cgroup.procs; exec sleep 100")
            #expect(try eventually { try payload.child("inner").processes().count == 1 })
            #expect(try cgroup.processes().count == 1)
            try cgroup.kill()
            try cgroup.remove()
        }
    }

    @Test(.requires()) func fiftyAtOnce() throws {
        try Fixture.with { f in
            let failures = Failures()
            DispatchQueue.concurrentPerform(iterations: 50) { _ in
                do {
                    let cgroup = try f.create(
                        devices: f.host.place(of: .devices) == .absent ? nil : DeviceRule.standard)
                    _ = try cgroup.join()
                    try cgroup.remove()
                } catch { failures.add("\(error)") }
            }
            #expect(failures.all.isEmpty)
        }
    }

    @Test(.requires()) func pruneKeepsWhatIsInUse() throws {
        try Fixture.with { f in
            let cgroup = try f.create()
            let above = String(cgroup.record.path.prefix { $0 != "/" })
            try Cgroup.prune(host: f.host, path: above)
            _ = try Cgroup.open(cgroup.record)
        }
    }

    @Test func recordsSurviveJSON() throws {
        let record = CgroupRecord(
            path: "ctr/web", directories: [.init(path: "/cg/ctr/web", unified: true, controllers: [.memory])], owner: 7)
        let copy = try JSONDecoder().decode(CgroupRecord.self, from: JSONEncoder().encode(record))
        #expect(copy == record)
    }

    @Test(.requires()) func featuresAreFoundOut() throws {
        let host = try CgroupHost.detect()
        let features = host.features()
        #expect(Set(features.map(\.name)).count == features.count)
        for feature in features {
            #expect(!feature.why.isEmpty)
            if feature.support == .no { #expect(feature.cost != nil) }
        }
        func support(_ name: String) -> CgroupFeature.Support? { features.first { $0.name == name }?.support }
        #expect((support("memory limit") == .yes) == (host.place(of: .memory) != .absent))
        #expect((support("freeze") == .yes) == (host.place(of: .freezer) != .absent))
        for mount in Set([host.v2].compactMap { $0 } + host.v1.values) {
            let left = try FileManager.default.contentsOfDirectory(atPath: mount).filter {
                $0.hasPrefix("ctr-check-\(getpid())")
            }
            #expect(left.isEmpty)
        }
        // A host without cgroups: every answer is no, with the reason.
        let none = CgroupHost(v2: nil, v2Controllers: [], v1: [:]).features()
        #expect(none.allSatisfy { $0.support == .no && $0.why.contains("no cgroup file system") })
    }

    @Test(.requires()) func aReadOnlyOrMissingMountIsExplained() throws {
        let host = CgroupHost(v2: "/proc/sys", v2Controllers: [], v1: [:])
        let error = thrown { try Cgroup.create(host: host, path: "ctr/x") }
        #expect(error != nil)
        #expect(error?.message.contains("/proc/sys/ctr") == true, "\(error?.message ?? "")")
    }
}

final class Failures: @unchecked Sendable {
    private let lock = NSLock()
    private var texts: [String] = []
    func add(_ text: String) { lock.withLock { texts.append(text) } }
    var all: [String] { lock.withLock { texts } }
}
