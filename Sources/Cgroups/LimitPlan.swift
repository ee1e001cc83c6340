internal import Model

/// One value to be written into a cgroup's file.
struct LimitSetting: Equatable {
    var controller: CgroupController
    var file: String
    var value: String
    /// What the operator called it, for messages: `--memory 512M`.
    var option: String
    /// Takes a limit away. Where the kernel has no such file there is nothing to take away.
    var isReset = false
}

/// Resources as values for the files of the hierarchies that this host has. Pure: nothing is read or written.
struct LimitPlan: Equatable {
    /// In the order in which a new cgroup takes them.
    private(set) var settings: [LimitSetting] = []
    private let host: CgroupHost

    /// Throws `unavailable` for a limit that this host can't enforce, naming the controller and where it was looked
    /// for, and `usage` for a rate without a device.
    init(_ resources: Resources, host: CgroupHost) throws(CtrError) {
        self.host = host
        try addMemory(resources)
        try addProcessor(resources)
        try addCPUSet(resources)
        if try isV2(.pids, resources.pids.map { "--pids \($0)" }) != nil {
            add(.pids, "pids.max", resources.pids.map { "\($0)" }, none: "max", "--pids")
        }
        try addIO(resources)
    }

    /// The controllers on which something is limited.
    var limiting: Set<CgroupController> { Set(settings.lazy.filter { !$0.isReset }.map(\.controller)) }

    // MARK: each controller

    private mutating func addMemory(_ r: Resources) throws(CtrError) {
        let asked =
            r.memory.map { "--memory \(Size.format($0))" } ?? r.memoryHigh.map { "--memory-high \(Size.format($0))" }
            ?? r.swap.map { "--swap \(Size.format($0))" }
        guard let unified = try isV2(.memory, asked) else { return }
        if unified {
            add(.memory, "memory.max", r.memory.map { "\($0)" }, none: "max", "--memory")
            add(.memory, "memory.high", r.memoryHigh.map { "\($0)" }, none: "max", "--memory-high")
            add(.memory, "memory.swap.max", r.swap.map { "\($0)" }, none: "max", "--swap")
            return
        }
        if let high = r.memoryHigh {
            // v1's soft limit only matters when the whole host is short of memory; it does not throttle anyone.
            throw CtrError(
                .unavailable,
                "--memory-high \(Size.format(high)): the memory controller of this host is bound to cgroup v1, which has"
                    + " no limit of this kind (its soft limit is another thing; leave the option out or boot with"
                    + " cgroup v2)")
        }
        // v1 counts memory and swap together, and that limit is never below the one of memory alone.
        let both = r.swap.map { swap in
            let (sum, over) = (r.memory ?? 0).addingReportingOverflow(swap)
            return over ? Int64.max : sum
        }
        add(.memory, "memory.limit_in_bytes", r.memory.map { "\($0)" }, none: "-1", "--memory")
        add(.memory, "memory.memsw.limit_in_bytes", both.map { "\($0)" }, none: "-1", "--swap")
    }

    private mutating func addProcessor(_ r: Resources) throws(CtrError) {
        let asked = r.cpus.map { "--cpus \($0)" } ?? r.cpuWeight.map { "--cpu-weight \($0)" }
        guard let unified = try isV2(.cpu, asked) else { return }
        let quota = r.cpus.map { LimitPlan.quota($0) }
        if unified {
            add(.cpu, "cpu.max", quota.map { "\($0) \(LimitPlan.period)" }, none: "max \(LimitPlan.period)", "--cpus")
            add(.cpu, "cpu.weight", r.cpuWeight.map { "\($0)" }, none: "100", "--cpu-weight")
        } else {
            add(.cpu, "cpu.cfs_quota_us", quota.map { "\($0)" }, none: "-1", "--cpus")
            add(.cpu, "cpu.shares", r.cpuWeight.map { "\(LimitPlan.shares($0))" }, none: "1024", "--cpu-weight")
        }
    }

    private mutating func addCPUSet(_ r: Resources) throws(CtrError) {
        guard let unified = try isV2(.cpuset, r.cpuset.map { "--cpuset \($0)" }) else { return }
        // An empty v2 file means the parent's processors; in v1 that is an error, so ``CgroupDirectory`` fills in.
        add(.cpuset, "cpuset.cpus", r.cpuset, none: unified ? "\n" : "", "--cpuset")
    }

    private mutating func addIO(_ r: Resources) throws(CtrError) {
        let files = LimitPlan.v1RateFiles
        let kinds: [(option: String, v2: String, v1: String, rates: [IORate])] = [
            ("--io-read-bps", "rbps", files[0], r.ioReadBps), ("--io-write-bps", "wbps", files[1], r.ioWriteBps),
            ("--io-read-iops", "riops", files[2], r.ioReadIops), ("--io-write-iops", "wiops", files[3], r.ioWriteIops),
        ]
        guard let unified = try isV2(.io, kinds.first { !$0.rates.isEmpty }?.option) else { return }
        // On v2 a line sets all rates of one device; a rate that is not named in it would keep its value.
        var lines: [(device: String, values: [String: Int64], option: String)] = []
        for kind in kinds {
            for rate in kind.rates {
                let device = try LimitPlan.device(of: rate, kind.option)
                guard unified else {
                    add(.io, kind.v1, "\(device) \(rate.rate)", none: "", "\(kind.option) \(device)")
                    continue
                }
                if let index = lines.firstIndex(where: { $0.device == device }) {
                    lines[index].values[kind.v2] = rate.rate
                } else {
                    lines.append((device, [kind.v2: rate.rate], "\(kind.option) \(device)"))
                }
            }
        }
        for line in lines {
            let rates = kinds.map { kind in "\(kind.v2)=\(line.values[kind.v2].map { "\($0)" } ?? "max")" }
            add(.io, "io.max", "\(line.device) \(rates.joined(separator: " "))", none: "", line.option)
        }
    }

    // MARK: helpers

    static let v1RateFiles = ["read_bps", "write_bps", "read_iops", "write_iops"].map { "blkio.throttle.\($0)_device" }

    /// Whether a controller is in v2 (true) or v1 (false); nil where the host has none and none is asked for.
    private func isV2(_ controller: CgroupController, _ asked: String?) throws(CtrError) -> Bool? {
        switch host.place(of: controller) {
        case .v2: return true
        case .v1: return false
        case .absent:
            guard let asked else { return nil }
            throw CtrError(.unavailable, "\(asked.escaped): \(host.absence(of: controller))")
        }
    }

    private mutating func add(
        _ controller: CgroupController, _ file: String, _ value: String?, none: String, _ option: String
    ) {
        settings.append(
            LimitSetting(
                controller: controller, file: file, value: value ?? none, option: option, isReset: value == nil))
    }

    /// The period of processor quotas in microseconds: the kernel's default.
    static let period = 100_000

    /// Microseconds of processor time in a period; the kernel wants at least 1000.
    static func quota(_ cpus: Double) -> Int64 { max(1000, Int64((cpus * Double(period)).rounded())) }

    /// v1's shares of a v2 weight, in proportion: the defaults 100 and 1024 meet, and a weight twice as high gets twice
    /// the time on either. (The OCI's formulas map the one range onto the other and so lose the proportions.)
    static func shares(_ weight: Int) -> Int { min(262_144, max(2, weight * 1024 / 100)) }

    private static func device(of rate: IORate, _ option: String) throws(CtrError) -> String {
        guard let device = rate.device else {
            throw CtrError(.usage, "\(option) \(rate.rate): no block device is named (give it as MAJOR:MINOR)")
        }
        let numbers = device.split(separator: ":", omittingEmptySubsequences: false)
        guard numbers.count == 2, numbers.allSatisfy({ UInt32($0) != nil && $0.first != "+" }) else {
            throw CtrError(.usage, "\(option) '\(device.escaped)': not a block device (give it as MAJOR:MINOR)")
        }
        guard rate.rate > 0 else { throw CtrError(.usage, "\(option) \(device) \(rate.rate): a rate is at least 1") }
        return device
    }
}

extension CgroupHost {
    /// Why a controller can't be had, for messages.
    func absence(of controller: CgroupController) -> String {
        let v1 = "bound to no cgroup v1 hierarchy that is mounted"
        guard let v2 else {
            return layout == .none
                ? "this host has no \(controller) controller (no cgroup file system is mounted)"
                : "this host has no \(controller) controller (cgroup v2 is not mounted, and it is \(v1))"
        }
        return "this host has no \(controller) controller (it is not in \(v2)/cgroup.controllers, and \(v1);"
            + " the kernel may lack it, or cgroup_disable= is on its command line)"
    }
}
