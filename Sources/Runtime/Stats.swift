public import Cgroups
internal import Kernel
public import Model

/// What one VPS uses at one moment.
public struct VPSStats: Codable, Sendable {
    public var name: String
    public var status: VPSStatus
    /// nil where it does not run.
    public var usage: CgroupUsage?
    /// What it used between the last reading and this one; nil at the first.
    public var rates: UsageRates?
    /// nil where it has no interface of its own.
    public var network: NetworkDetails?
    /// All that it has, eth0, which is `network`, included; nil where it has none.
    public var interfaces: [InterfaceDetails]?
}

/// What was used in a stretch of time.
public struct UsageRates: Codable, Equatable, Sendable {
    /// Percent of one processor: 200 is two processors all the time.
    public var cpu: Double?
    /// Per second, of all disks together. Bytes, and operations.
    public var readBytes: Double?
    public var writtenBytes: Double?
    public var reads: Double?
    public var writes: Double?

    /// - Parameter seconds: between the two.
    /// - Returns: nil where no time has passed.
    public init?(from earlier: CgroupUsage, to later: CgroupUsage, seconds: Double) {
        guard seconds > 0 else { return nil }
        // A count starts anew where a VPS was stopped and started in between.
        func rate(_ before: Int64?, _ now: Int64?) -> Double? {
            guard let before, let now else { return nil }
            return Double(max(0, now - before)) / seconds
        }
        func io(_ count: KeyPath<CgroupUsage.Disk, Int64>) -> Double? {
            func sum(_ usage: CgroupUsage) -> Int64? {
                usage.disks?.values.reduce(0) { $0 + $1[keyPath: count] }
            }
            return rate(sum(earlier), sum(later))
        }
        cpu = rate(earlier.processor?.total, later.processor?.total).map { $0 / 10_000 }
        readBytes = io(\.readBytes)
        writtenBytes = io(\.writtenBytes)
        reads = io(\.reads)
        writes = io(\.writes)
    }
}

/// What several VPSs use at one moment.
public struct StatsReading: Codable, Sendable {
    /// RFC 3339, UTC.
    public var time: String
    /// Seconds since the reading before, over which the rates are; nil at the first.
    public var interval: Double?
    public var vps: [VPSStats]

    /// Whether any of them runs, or is about to.
    public var isAnyRunning: Bool { vps.contains { $0.status != .stopped } }
}

/// `ctr stats` and `ctr top`: reads again and again what VPSs use.
public struct Stats: ~Copyable {
    private let names: [String]
    private let host: Host
    private var last: (time: UInt64, usages: [Key: CgroupUsage])?

    /// One run of a VPS: the counts of the next one begin at 0.
    private struct Key: Hashable {
        var name: String
        var startTime: UInt64
    }

    /// - Parameter names: none: all that run, at each reading.
    /// - Throws: `notFound` for an unknown VPS.
    public init(_ names: [String], on host: Host) throws(CtrError) {
        self.names = names
        self.host = host
        for name in names {
            try Recovery(host: host).sweep(name)
            if try VPSFiles(name, host: host).config() == nil { throw VPSFiles.unknown(name) }
        }
    }

    /// What they use now. One that is named and does not run, or is gone since, has no usage; so has one that starts.
    public mutating func read() throws(CtrError) -> StatsReading {
        let now = Timestamp.monotonic()
        let seconds = last.map { Double(now - $0.time) / 1e9 }
        var reading = StatsReading(time: Timestamp.now(), interval: seconds, vps: [])
        var usages: [Key: CgroupUsage] = [:]
        for name in names.isEmpty ? try VPSList.names(on: host) : names {
            let files = try VPSFiles(name, host: host)
            guard let (state, usage) = try Stats.usage(files) else {
                let status = try Stats.statusWithoutProcess(files)
                if names.isEmpty, status == .stopped { continue }
                reading.vps.append(VPSStats(name: name, status: status))
                continue
            }
            let key = Key(name: name, startTime: state.startTime)
            var stats = VPSStats(name: name, status: state.status, usage: usage)
            if let seconds, let before = last?.usages[key] {
                stats.rates = UsageRates(from: before, to: usage, seconds: seconds)
            }
            stats.interfaces = try InterfaceDetails.all(state.config, on: host)
            stats.network = stats.interfaces?.eth0
            usages[key] = usage
            reading.vps.append(stats)
        }
        last = (now, usages)
        return reading
    }

    /// Of one without a first process: being made, started or started again, or stopped.
    private static func statusWithoutProcess(_ files: VPSFiles) throws(CtrError) -> VPSStatus {
        guard let state = try files.state(), state.pid == 0, let place = try files.stateDirectory(),
            try Locks.hasSupervisor(place, of: files.name)
        else { return .stopped }
        return state.status
    }

    /// nil where it does not run.
    private static func usage(_ files: VPSFiles) throws(CtrError) -> (VPSState, CgroupUsage)? {
        guard let running = try RunningInit.find(files), let cgroup = running.state.cgroup else { return nil }
        let usage: CgroupUsage
        do throws(CtrError) { usage = try Cgroup.openWhatIsThere(cgroup).usage() } catch {
            // Its cgroup goes when it ends.
            if running.handle.hasEnded { return nil }
            throw error
        }
        // What was read may be half gone.
        return running.handle.hasEnded ? nil : (running.state, usage)
    }
}
