import Model
import Testing

@testable import Cgroups

private let v2 = CgroupHost(v2: "/cg", v2Controllers: [.cpu, .cpuset, .memory, .pids, .io], v1: [:])
private let v1 = CgroupHost(
    v2: "/cg/unified", v2Controllers: [.hugetlb],
    v1: [
        .cpu: "/cg/cpu", .cpuset: "/cg/cpuset", .memory: "/cg/memory", .pids: "/cg/pids", .io: "/cg/blkio",
        .devices: "/cg/devices",
    ])

private func everything() -> Resources {
    var r = Resources()
    r.cpus = 1.5
    r.cpuWeight = 200
    r.cpuset = "0-1"
    r.memory = 64 << 20
    r.swap = 16 << 20
    r.pids = 50
    r.ioReadBps = [IORate(device: "8:0", rate: 1 << 20)]
    r.ioWriteIops = [IORate(device: "8:0", rate: 100), IORate(device: "8:16", rate: 200)]
    return r
}

private func written(_ r: Resources, _ host: CgroupHost) throws -> [String] {
    try LimitPlan(r, host: host).settings.filter { !$0.isReset }.map { "\($0.file) \($0.value)" }
}

@Suite struct LimitPlanTests {
    @Test func valuesForV2() throws {
        var r = everything()
        r.memoryHigh = 60 << 20
        #expect(
            try written(r, v2) == [
                "memory.max 67108864", "memory.high 62914560", "memory.swap.max 16777216", "cpu.max 150000 100000",
                "cpu.weight 200", "cpuset.cpus 0-1", "pids.max 50",
                "io.max 8:0 rbps=1048576 wbps=max riops=max wiops=100",
                "io.max 8:16 rbps=max wbps=max riops=max wiops=200",
            ])
    }

    @Test func valuesForV1() throws {
        #expect(
            try written(everything(), v1) == [
                "memory.limit_in_bytes 67108864", "memory.memsw.limit_in_bytes 83886080", "cpu.cfs_quota_us 150000",
                "cpu.shares 2048", "cpuset.cpus 0-1", "pids.max 50", "blkio.throttle.read_bps_device 8:0 1048576",
                "blkio.throttle.write_iops_device 8:0 100", "blkio.throttle.write_iops_device 8:16 200",
            ])
    }

    @Test func nothingAskedIsNothingWritten() throws {
        for host in [v1, v2] {
            let plan = try LimitPlan(Resources(), host: host)
            #expect(plan.limiting.isEmpty)
            #expect(!plan.settings.isEmpty, "each limit can be taken back")
        }
    }

    @Test func noSwapIsALimit() throws {
        var r = Resources()
        r.memory = 1 << 20
        r.swap = 0
        #expect(try written(r, v2) == ["memory.max 1048576", "memory.swap.max 0"])
        #expect(try written(r, v1) == ["memory.limit_in_bytes 1048576", "memory.memsw.limit_in_bytes 1048576"])
        r.swap = .max
        #expect(try written(r, v1).last == "memory.memsw.limit_in_bytes \(Int64.max)")
    }

    @Test(arguments: [(1, 10), (39, 399), (100, 1024), (200, 2048), (10000, 102_400)])
    func weights(weight: Int, shares: Int) {
        #expect(LimitPlan.shares(weight) == shares)
    }

    @Test(
        arguments: [(0.01, 1000), (0.001, 1000), (0.5, 50_000), (2, 200_000), (1.0 / 3, 33_333)] as [(Double, Int64)])
    func quotas(cpus: Double, quota: Int64) {
        #expect(LimitPlan.quota(cpus) == quota)
    }

    @Test func whatTheHostLacksIsNamed() throws {
        let bare = CgroupHost(v2: "/cg", v2Controllers: [], v1: [:])
        let none = CgroupHost(v2: nil, v2Controllers: [], v1: [:])
        let set: [(WritableKeyPath<Resources, Int64?>, String, CgroupController)] = [
            (\.memory, "--memory", .memory), (\.pids, "--pids", .pids),
        ]
        for (key, option, controller) in set {
            var r = Resources()
            r[keyPath: key] = 1 << 20
            let error = thrown { try LimitPlan(r, host: bare) }
            #expect(error?.code == .unavailable)
            #expect(error?.message.hasPrefix(option) == true)
            #expect(error?.message.contains("no \(controller) controller") == true)
            #expect(error?.message.contains("/cg/cgroup.controllers") == true)
            #expect(thrown { try LimitPlan(r, host: none) }?.message.contains("no cgroup file system") == true)
        }
        var r = Resources()
        r.cpus = 1
        #expect(thrown { try LimitPlan(r, host: bare) }?.message.contains("--cpus") == true)
        r = Resources()
        r.ioReadBps = [IORate(device: "8:0", rate: 1)]
        #expect(thrown { try LimitPlan(r, host: bare) }?.message.contains("--io-read-bps") == true)
    }

    @Test func memoryHighHasNoCounterpartInV1() {
        var r = Resources()
        r.memoryHigh = 1 << 20
        let error = thrown { try LimitPlan(r, host: v1) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("--memory-high 1M") == true)
        #expect(error?.message.contains("cgroup v1") == true)
    }

    @Test(arguments: [nil, "", "8", "8:", ":8", "8:0:0", "a:b", "-1:0", "+8:0", "8:0 rbps=1\n8:1"])
    func badDevices(device: String?) {
        var r = Resources()
        r.ioReadBps = [IORate(device: device, rate: 1)]
        #expect(thrown { try LimitPlan(r, host: v2) }?.code == .usage)
    }

    @Test func badRates() {
        var r = Resources()
        r.ioReadBps = [IORate(device: "8:0", rate: 0)]
        #expect(thrown { try LimitPlan(r, host: v2) }?.code == .usage)
    }

    @Test func directoriesOnlyWhereNeeded() throws {
        func mounts(_ r: Resources, _ host: CgroupHost, devices: Bool = false) throws -> [String] {
            try Cgroup.needs(host: host, plan: LimitPlan(r, host: host), devices: devices).map(\.mount)
        }
        #expect(try mounts(Resources(), v2, devices: true) == ["/cg"])
        // In a hierarchy without a cgroup of its own the guest would see the host's.
        let all = ["/cg/unified"] + v1.v1.values.sorted()
        #expect(try mounts(Resources(), v1).sorted() == all.sorted())
        #expect(try mounts(everything(), v1, devices: true).sorted() == all.sorted())
        let legacy = CgroupHost(v2: nil, v2Controllers: [], v1: [.cpu: "/a", .cpuacct: "/a", .freezer: "/f"])
        #expect(try mounts(Resources(), legacy) == ["/a", "/f"])
        #expect(thrown { try mounts(Resources(), legacy, devices: true) }?.code == .unavailable)
    }

    @Test(arguments: ["", "/", "a/../b", "..", "a//b", "/a", "a/", "a/.", "a\nb"])
    func badPaths(path: String) {
        #expect(thrown { try CgroupPath(parent: "", path: path) }?.code == .usage)
    }

    @Test func paths() throws {
        let place = try CgroupPath(parent: "/system.slice/ctr.service/", path: "ctr/web")
        #expect(place.above("/cg") == "/cg/system.slice/ctr.service/ctr")
        #expect(place.path("/cg") == "/cg/system.slice/ctr.service/ctr/web")
        #expect(try CgroupPath(parent: "/", path: "x").path("/cg") == "/cg/x")
    }
}
