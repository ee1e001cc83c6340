internal import Kernel
public import Model

/// How often limits were met, counted since the cgroup was made. A count is nil where the kernel keeps none.
public struct LimitHits: Codable, Equatable, Sendable {
    /// Memory could not grow before something was reclaimed: memory.max. The VPS may have noticed nothing but a delay.
    public var memory: Int64?
    /// The VPS was throttled and made to reclaim: memory.high. v2 alone.
    public var memoryHigh: Int64?
    /// Swap was full.
    public var swap: Int64?
    /// Processes that the kernel killed for want of memory, for whatever limit: that of the VPS, one that the guest set
    /// inside, or the host's own memory.
    public var oomKills: Int64?
    /// Forks that failed.
    public var processes: Int64?

    public init(
        memory: Int64? = nil, memoryHigh: Int64? = nil, swap: Int64? = nil, oomKills: Int64? = nil,
        processes: Int64? = nil
    ) {
        self.memory = memory
        self.memoryHigh = memoryHigh
        self.swap = swap
        self.oomKills = oomKills
        self.processes = processes
    }

    /// Whether nothing was met.
    public var isEmpty: Bool { [memory, memoryHigh, swap, oomKills, processes].allSatisfy { ($0 ?? 0) == 0 } }

    /// What came since another count of the same cgroup. A count that has shrunk, as where the guest removed a cgroup of
    /// its own, is 0.
    public func since(_ earlier: LimitHits) -> LimitHits {
        combined(earlier) { now, before in now.map { max(0, $0 - (before ?? 0)) } }
    }

    /// The sum of both.
    func adding(_ more: LimitHits) -> LimitHits {
        combined(more) { count, other in count == nil && other == nil ? nil : (count ?? 0) + (other ?? 0) }
    }

    /// With the counts of another one where this one has none.
    func filled(from other: LimitHits) -> LimitHits { combined(other) { $0 ?? $1 } }

    private func combined(_ other: LimitHits, _ body: (Int64?, Int64?) -> Int64?) -> LimitHits {
        LimitHits(
            memory: body(memory, other.memory), memoryHigh: body(memoryHigh, other.memoryHigh),
            swap: body(swap, other.swap), oomKills: body(oomKills, other.oomKills),
            processes: body(processes, other.processes))
    }
}

extension Cgroup {
    /// How often the limits of this cgroup were met. Of one that has gone every count is nil.
    public func hits() throws(CtrError) -> LimitHits {
        do throws(SysError) { return try countHits() } catch { throw CtrError(cgroup: path, cause: error) }
    }

    func countHits() throws(SysError) -> LimitHits {
        var hits = LimitHits()
        if let memory = directory(of: .memory) {
            if memory.isUnified { try memory.countMemoryV2(&hits) } else { try memory.countMemoryV1(&hits) }
        }
        hits.processes = try directory(of: .pids)?.countForks()
        return hits
    }
}

extension CgroupDirectory {
    fileprivate func countMemoryV2(_ hits: inout LimitHits) throws(SysError) {
        let all = try pairs("memory.events")
        // Those at this very limit, where a guest sets others inside. Linux 5.2.
        let own = try pairs("memory.events.local") ?? all
        hits.memory = own?["max"]
        hits.memoryHigh = own?["high"]
        hits.swap = try pairs("memory.swap.events")?["max"]
        // Counted where the victim lived, and in all cgroups above it.
        hits.oomKills = all?["oom_kill"]
    }

    fileprivate func countMemoryV1(_ hits: inout LimitHits) throws(SysError) {
        hits.memory = try number("memory.failcnt")
        hits.swap = try number("memory.memsw.failcnt")
        // Counted where the victim lived, and only there.
        hits.oomKills = try sum("memory.oom_control", "oom_kill")
    }

    /// Linux 6.10 and later, which show it by having pids.events.local, count a failed fork of v2 at the limit that was
    /// met and above it; older ones, and v1, where the process lives.
    fileprivate func countForks() throws(SysError) -> Int64? {
        if isUnified, try read("pids.events.local") != nil { return try pairs("pids.events")?["max"] }
        return try sum("pids.events", "max")
    }

    /// The number of this name in a file of this directory and of each below; nil where no directory has it.
    private func sum(_ file: String, _ name: String) throws(SysError) -> Int64? {
        var sum: Int64?
        do throws(SysError) {
            try walk { (directory: borrowing FD) throws(SysError) in
                do throws(SysError) {
                    let text = String(decoding: try directory.open(file, .readOnly).readAll(), as: UTF8.self)
                    if let value = CgroupDirectory.pairs(in: text)[name] { sum = (sum ?? 0) + value }
                } catch  where error.errno == Errno.noEntry || error.errno == Errno.noDevice {}
            }
        } catch  where error.errno == Errno.noEntry {}
        return sum
    }
}
