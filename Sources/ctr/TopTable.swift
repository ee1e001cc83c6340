internal import Cgroups
internal import Model
internal import Runtime

/// What VPSs use as `ctr top` shows it: a line for each, sorted, clipped to a window.
struct TopTable {
    /// By what is sorted; the letter is its key.
    enum Order: String, CaseIterable, Sendable {
        case cpu, memory, io, pids, name
        var key: UInt8 { rawValue.utf8.first! }
    }

    var order = Order.cpu
    var isReversed = false

    /// Numbers with the highest first, names from a on; reversed, the other way round.
    func sorted(_ all: [VPSStats]) -> [VPSStats] {
        func value(_ vps: VPSStats) -> Double {
            switch order {
            // Before there is a rate: since its start.
            case .cpu: vps.rates?.cpu ?? Double(vps.usage?.processor?.total ?? -1) * 1e-12
            case .memory: Double(vps.usage?.memory?.current ?? -1)
            case .io: (vps.rates?.readBytes ?? -1) + (vps.rates?.writtenBytes ?? 0)
            case .pids: Double(vps.usage?.processes?.current ?? -1)
            case .name: 0
            }
        }
        let values = all.map { (vps: $0, value: value($0)) }
        let result = values.sorted { $0.value == $1.value ? $0.vps.name < $1.vps.name : $0.value > $1.value }
        return (isReversed ? result.reversed() : result).map(\.vps)
    }

    // MARK: columns

    /// All but the name: title, width, content.
    private static let columns: [(title: String, width: Int, cell: @Sendable (VPSStats) -> String?)] = [
        ("S", 1, { $0.status.rawValue.first.map { $0.uppercased() } }),
        ("CPU%", 6, { $0.rates?.cpu.map { Format.decimal($0, digits: 1) } }),
        ("MEMORY", 6, { $0.usage?.memory.map { Size.format($0.current) } }),
        ("LIMIT", 5, { $0.usage?.memory?.limit.map(Size.format) }),
        ("MEM%", 4, { $0.usage?.memory.flatMap(share) }),
        ("READ/s", 6, { $0.rates?.readBytes.map(Format.bytes) }),
        ("WRITE/s", 7, { $0.rates?.writtenBytes.map(Format.bytes) }),
        ("PIDS", 5, { $0.usage?.processes.map { Format.count($0.current) } }),
        ("HITS", 5, { $0.usage.map { Format.count(hits($0)) } }),
        ("OOM", 4, { $0.usage?.memory?.oomKills.map { Format.count($0) } }),
    ]
    private static let rest = columns.reduce(0) { $0 + 1 + $1.width }
    private static let shortestName = 8

    /// Percent of the limit.
    private static func share(_ memory: CgroupUsage.Memory) -> String? {
        memory.limit.flatMap { $0 > 0 ? Format.decimal(Double(memory.current) * 100 / Double($0), digits: 0) : nil }
    }

    /// Those of memory, swap and processes: of the processor's, every busy VPS has many.
    private static func hits(_ usage: CgroupUsage) -> Int64 {
        let memory = usage.memory
        return [memory?.limitHits, memory?.highHits, memory?.swapHits, usage.processes?.refused]
            .reduce(0) { $0 + ($1 ?? 0) }
    }

    /// The title and a line for each VPS.
    /// - Parameter columns: the longest line; nil: as long as the longest name wants.
    func table(_ all: [VPSStats], columns: Int?) -> [String] {
        let longest = max(Self.shortestName, all.map(\.name.count).max() ?? 0)
        let name = columns.map { max(Self.shortestName, min(longest, $0 - Self.rest)) } ?? longest
        func line(_ first: String, _ cells: [String]) -> String {
            var line = first.clipped(to: name).padded(to: name, alignment: .left)
            for (cell, column) in zip(cells, Self.columns) {
                line += " " + cell.padded(to: column.width, alignment: .right)
            }
            return columns.map { String(line.prefix($0)) } ?? line
        }
        return [line("NAME", Self.columns.map(\.title))]
            + sorted(all).map { vps in line(vps.name.escaped, Self.columns.map { $0.cell(vps) ?? "-" }) }
    }

    /// A whole window.
    /// - Returns: at most `rows` lines of at most `columns` characters; the title of the table is line 2.
    func window(_ reading: StatsReading, rows: Int, columns: Int) -> [String] {
        let table = table(reading.vps, columns: columns)
        let room = max(0, rows - 3)
        let shown = min(room, table.count - 1)
        var head = "\(reading.time)  \(reading.vps.count) running"
        if shown < reading.vps.count { head += ", \(shown) shown" }
        head += "  by \(order.rawValue)\(isReversed ? ", reversed" : "")"
        let keys = "c cpu  m memory  i io  p pids  n name  r reverse  q quit"
        let lines = [head, keys].map { String($0.prefix(columns)) } + table
        return Array(lines.prefix(max(1, rows)))
    }
}
