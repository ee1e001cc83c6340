internal import Cgroups
internal import Model
internal import Runtime

/// What VPSs use as `ctr stats` shows it to people: a block for each, at most 80 columns wide.
enum StatsText {
    static func text(_ reading: StatsReading) -> String {
        reading.vps.map(block).joined(separator: "\n\n")
    }

    private static func block(_ vps: VPSStats) -> String {
        var lines = ["\(vps.name.escaped): \(vps.status.rawValue)"]
        if let rates = vps.rates { lines.append(now(rates)) }
        if let usage = vps.usage { lines += table(usage) + pressure(usage) }
        return lines.joined(separator: "\n")
    }

    /// `  now: cpu 12.3%, read 1.2M/s (30 operations/s), written 0/s (0 operations/s)`
    private static func now(_ rates: UsageRates) -> String {
        var parts: [String] = []
        if let cpu = rates.cpu { parts.append("cpu \(Format.decimal(cpu, digits: 1))%") }
        func io(_ word: String, _ bytes: Double?, _ operations: Double?) {
            guard let bytes, let operations else { return }
            parts.append("\(word) \(Format.bytes(bytes))/s (\(Format.decimal(operations, digits: 0)) operations/s)")
        }
        io("read", rates.readBytes, rates.reads)
        io("written", rates.writtenBytes, rates.writes)
        return "  now: \(parts.isEmpty ? "nothing is counted on this host" : parts.joined(separator: ", "))"
    }

    // MARK: use against limit

    private struct Row {
        var resource: String
        var used: String? = nil
        var peak: String? = nil
        var limit: String? = nil
        var hits: Int64? = nil
        var note: String? = nil
    }

    private static func table(_ usage: CgroupUsage) -> [String] {
        var table = Table([
            ("RESOURCE", .left), ("USED", .right), ("PEAK", .right), ("LIMIT", .right), ("HITS", .right),
            ("NOTE", .left),
        ])
        for row in memory(usage) + processes(usage) + processor(usage) + disks(usage) {
            table.add([
                row.resource, row.used ?? " ", row.peak ?? " ", row.limit ?? " ", row.hits.map { "\($0)" } ?? " ",
                row.note ?? " ",
            ])
        }
        return indented(table)
    }

    private static func memory(_ usage: CgroupUsage) -> [Row] {
        guard let memory = usage.memory else { return [] }
        let kinds: [(String, Int64?)] = [
            ("anonymous", memory.anonymous), ("file", memory.cache), ("shared", memory.shared),
            ("kernel", memory.kernel), ("slab", memory.slab), ("sockets", memory.sockets),
        ]
        let kills = memory.oomKills ?? 0
        var rows = [
            Row(
                resource: "memory", used: Size.format(memory.current), peak: memory.peak.map(Size.format),
                limit: limit(memory.limit.map(Size.format)), hits: memory.limitHits,
                note: kills == 0 ? nil : "\(kills) killed: out of memory")
        ]
        rows += kinds.compactMap { kind, bytes in
            bytes.map { Row(resource: "  \(kind)", used: Size.format($0)) }
        }
        if let high = memory.high {
            rows.append(Row(resource: "memory high", limit: Size.format(high), hits: memory.highHits))
        }
        if let swap = memory.swap {
            rows.append(
                Row(
                    resource: "swap", used: Size.format(swap), limit: limit(memory.swapLimit.map(Size.format)),
                    hits: memory.swapHits))
        }
        return rows
    }

    private static func processes(_ usage: CgroupUsage) -> [Row] {
        guard let processes = usage.processes else { return [] }
        return [
            Row(
                resource: "processes", used: "\(processes.current)", limit: limit(processes.limit.map { "\($0)" }),
                hits: processes.refused)
        ]
    }

    private static func processor(_ usage: CgroupUsage) -> [Row] {
        guard let processor = usage.processor else { return [] }
        var note: String?
        if let periods = processor.periods, periods > 0 {
            note = "of \(periods) periods, held back \(Format.seconds(processor.throttledTime ?? 0))"
        }
        return [
            Row(
                resource: "cpu", used: Format.seconds(processor.total),
                limit: limit(processor.limit.map { Format.decimal($0, digits: 2) }), hits: processor.throttledPeriods,
                note: note),
            Row(resource: "  user", used: Format.seconds(processor.user)),
            Row(resource: "  system", used: Format.seconds(processor.system)),
        ]
    }

    private static func disks(_ usage: CgroupUsage) -> [Row] {
        (usage.disks ?? [:]).sorted { $0.key < $1.key }.flatMap { device, disk in
            [
                Row(
                    resource: "\(device) read", used: Size.format(disk.readBytes), note: "\(disk.reads) operations"),
                Row(
                    resource: "\(device) written", used: Size.format(disk.writtenBytes),
                    note: "\(disk.writes) operations"),
            ]
        }
    }

    private static func limit(_ limit: String?) -> String { limit ?? "none" }

    // MARK: pressure

    private static func pressure(_ usage: CgroupUsage) -> [String] {
        guard let pressure = usage.pressure else { return [] }
        var table = Table([
            ("WAITED FOR", .left), ("10 S", .right), ("1 MIN", .right), ("5 MIN", .right), ("ALL IN ALL", .right),
        ])
        func add(_ what: String, _ share: CgroupUsage.Pressure.Share) {
            func percent(_ value: Double) -> String { "\(Format.decimal(value, digits: 1))%" }
            table.add([
                what, percent(share.average10), percent(share.average60), percent(share.average300),
                Format.seconds(share.total),
            ])
        }
        for resource in ["cpu", "memory", "io"] {
            guard let measured = pressure[resource] else { continue }
            add("\(resource), some", measured.some)
            if let full = measured.full { add("\(resource), all", full) }
        }
        return indented(table)
    }

    private static func indented(_ table: Table) -> [String] {
        table.text.split(separator: "\n").map { line in
            let blanks = line.reversed().prefix { $0 == " " }.count
            return "  \(line.dropLast(blanks))"
        }
    }
}
