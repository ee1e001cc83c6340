internal import Kernel
public import Model

extension Cgroup {
    /// What it uses now.
    public func usage() throws(CtrError) -> CgroupUsage {
        do throws(SysError) {
            let hits = try countHits()
            var usage = CgroupUsage()
            usage.memory = try directory(of: .memory).flatMap { (d) throws(SysError) in
                try d.isUnified ? d.memoryV2(hits) : d.memoryV1(hits)
            }
            usage.processor = try processor()
            usage.processes = try directory(of: .pids).flatMap { (d) throws(SysError) in try d.processCount(hits) }
            usage.disks = try directory(of: .io).flatMap { (d) throws(SysError) in
                try d.isUnified ? d.disksV2() : d.disksV1()
            }
            usage.pressure = try unified.flatMap { (d) throws(SysError) in try d.pressure() }
            return usage
        } catch { throw CtrError(cgroup: path, cause: error) }
    }

    /// Bytes of file data that its processes have changed in memory and that wait to be written; nil without the memory
    /// controller.
    public func unwritten() throws(CtrError) -> Int64? {
        do throws(SysError) {
            return try directory(of: .memory).flatMap { (d) throws(SysError) in
                guard let stat = try d.pairs("memory.stat") else { return nil }
                let names = d.isUnified ? ["file_dirty", "file_writeback"] : ["total_dirty", "total_writeback"]
                return names.compactMap { stat[$0] }.reduce(0, +)
            }
        } catch { throw CtrError(cgroup: path, cause: error) }
    }

    /// Time is counted by v2's core wherever it is mounted, else by cpuacct; the quota's share by the cpu controller.
    private func processor() throws(SysError) -> CgroupUsage.Processor? {
        var time: CgroupUsage.Processor?
        if let unified, let stat = try unified.pairs("cpu.stat"), let total = stat["usage_usec"] {
            time = CgroupUsage.Processor(total: total, user: stat["user_usec"] ?? 0, system: stat["system_usec"] ?? 0)
        } else if let account = directory(of: .cpuacct), let total = try account.number("cpuacct.usage") {
            time = CgroupUsage.Processor(
                total: total / 1000, user: (try account.number("cpuacct.usage_user") ?? 0) / 1000,
                system: (try account.number("cpuacct.usage_sys") ?? 0) / 1000)
        }
        guard let cpu = directory(of: .cpu), let stat = try cpu.pairs("cpu.stat") else { return time }
        time?.limit = try cpu.quota()
        time?.periods = stat["nr_periods"]
        time?.throttledPeriods = stat["nr_throttled"]
        time?.throttledTime = stat["throttled_usec"] ?? stat["throttled_time"].map { $0 / 1000 }
        return time
    }
}

extension CgroupDirectory {
    fileprivate func memoryV2(_ hits: LimitHits) throws(SysError) -> CgroupUsage.Memory? {
        guard let current = try number("memory.current") else { return nil }
        let stat = try pairs("memory.stat") ?? [:]
        // The sum is given since Linux 5.18.
        let parts = ["kernel_stack", "pagetables", "sec_pagetables", "percpu", "vmalloc", "sock", "slab"]
        return CgroupUsage.Memory(
            current: current, peak: try number("memory.peak"), limit: try number("memory.max"),
            high: try number("memory.high"), anonymous: stat["anon"], cache: stat["file"], shared: stat["shmem"],
            kernel: stat["kernel"] ?? parts.compactMap { stat[$0] }.reduce(0, +), slab: stat["slab"],
            sockets: stat["sock"], swap: try number("memory.swap.current"), swapLimit: try number("memory.swap.max"),
            limitHits: hits.memory, highHits: hits.memoryHigh, swapHits: hits.swap, oomKills: hits.oomKills)
    }

    fileprivate func memoryV1(_ hits: LimitHits) throws(SysError) -> CgroupUsage.Memory? {
        guard let current = try number("memory.usage_in_bytes") else { return nil }
        let stat = try pairs("memory.stat") ?? [:]
        let limit = try limitV1("memory.limit_in_bytes")
        let both = try limitV1("memory.memsw.limit_in_bytes")
        return CgroupUsage.Memory(
            current: current, peak: try number("memory.max_usage_in_bytes"), limit: limit, high: nil,
            anonymous: stat["total_rss"], cache: stat["total_cache"], shared: stat["total_shmem"],
            kernel: try number("memory.kmem.usage_in_bytes"), slab: nil,
            sockets: try number("memory.kmem.tcp.usage_in_bytes"), swap: stat["total_swap"],
            swapLimit: both.map { $0 - (limit ?? 0) }, limitHits: hits.memory, highHits: nil, swapHits: hits.swap,
            oomKills: hits.oomKills)
    }

    /// In processors.
    fileprivate func quota() throws(SysError) -> Double? {
        if isUnified {
            let words = try readText("cpu.max")?.split(whereSeparator: \.isWhitespace) ?? []
            guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]) else { return nil }
            return quota / period
        }
        guard let quota = try number("cpu.cfs_quota_us"), quota > 0, let period = try number("cpu.cfs_period_us")
        else { return nil }
        return Double(quota) / Double(period)
    }

    /// v1 writes "no limit" as the highest multiple of the page size.
    private func limitV1(_ file: String) throws(SysError) -> Int64? {
        try number(file).flatMap { $0 >= Int64.max - 65536 ? nil : $0 }
    }

    fileprivate func processCount(_ hits: LimitHits) throws(SysError) -> CgroupUsage.Processes? {
        guard let current = try number("pids.current") else { return nil }
        return CgroupUsage.Processes(current: current, limit: try number("pids.max"), refused: hits.processes)
    }

    // 8:0 rbytes=180224 wbytes=0 rios=3 wios=0 dbytes=0 dios=0
    fileprivate func disksV2() throws(SysError) -> [String: CgroupUsage.Disk]? {
        guard let text = try readText("io.stat") else { return nil }
        var all: [String: CgroupUsage.Disk] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard let device = words.first, device.contains(":") else { continue }
            var disk = CgroupUsage.Disk()
            for word in words.dropFirst() {
                let pair = word.split(separator: "=")
                guard pair.count == 2, let value = Int64(pair[1]) else { continue }
                switch pair[0] {
                case "rbytes": disk.readBytes = value
                case "wbytes": disk.writtenBytes = value
                case "rios": disk.reads = value
                case "wios": disk.writes = value
                default: break
                }
            }
            all[String(device)] = disk
        }
        return all
    }

    // 8:0 Read 180224
    fileprivate func disksV1() throws(SysError) -> [String: CgroupUsage.Disk]? {
        guard let bytes = try readText("blkio.throttle.io_service_bytes_recursive") else { return nil }
        var all: [String: CgroupUsage.Disk] = [:]
        func each(_ text: String, _ body: (inout CgroupUsage.Disk, Substring, Int64) -> Void) {
            for line in text.split(separator: "\n") {
                let words = line.split(separator: " ")
                guard words.count == 3, let value = Int64(words[2]) else { continue }
                body(&all[String(words[0]), default: CgroupUsage.Disk()], words[1], value)
            }
        }
        each(bytes) { disk, kind, value in
            if kind == "Read" { disk.readBytes = value }
            if kind == "Write" { disk.writtenBytes = value }
        }
        each(try readText("blkio.throttle.io_serviced_recursive") ?? "") { disk, kind, value in
            if kind == "Read" { disk.reads = value }
            if kind == "Write" { disk.writes = value }
        }
        return all
    }

    fileprivate func pressure() throws(SysError) -> [String: CgroupUsage.Pressure]? {
        var all: [String: CgroupUsage.Pressure] = [:]
        for resource in ["cpu", "memory", "io"] {
            // Off at boot (psi=0): the file is there and reading it is refused, which counts as absent.
            if let text = try readText("\(resource).pressure") { all[resource] = CgroupUsage.Pressure(text) }
        }
        return all.isEmpty ? nil : all
    }

    // MARK: files of numbers

    /// A file that holds one number; nil for no such file, and for `max`.
    func number(_ file: String) throws(SysError) -> Int64? {
        try readText(file).flatMap { Int64($0.trimmed) }
    }

    /// A file of lines `name number`.
    func pairs(_ file: String) throws(SysError) -> [String: Int64]? {
        try readText(file).map(CgroupDirectory.pairs)
    }

    static func pairs(in text: String) -> [String: Int64] {
        var all: [String: Int64] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, let value = Int64(words[1]) { all[String(words[0])] = value }
        }
        return all
    }
}

extension CgroupUsage.Pressure {
    // some avg10=0.00 avg60=0.00 avg300=0.00 total=0
    init?(_ text: String) {
        var shares: [Substring: Share] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 5 else { continue }
            let values = words.dropFirst().compactMap { $0.split(separator: "=").last }
            guard let a = Double(values[0]), let b = Double(values[1]), let c = Double(values[2]),
                let d = Int64(values[3])
            else { continue }
            shares[words[0]] = Share(average10: a, average60: b, average300: c, total: d)
        }
        guard let some = shares["some"] else { return nil }
        self.init(some: some, full: shares["full"])
    }
}
