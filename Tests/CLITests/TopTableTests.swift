import FoundationEssentials
import Runtime
import Testing

@testable import ctr

/// What `top` shows: order and width, without a terminal.
@Suite struct TopTableTests {
    private static func vps(_ name: String, cpu: Double?, memory: Int, read: Double, pids: Int) throws -> VPSStats {
        let rates = cpu.map { #","rates":{"cpu":\#($0),"readBytes":\#(read),"writtenBytes":0,"reads":0,"writes":0}"# }
        let text = """
            {"name":"\(name)","status":"running"\(rates ?? ""),"usage":{
            "memory":{"current":\(memory),"limit":\(1 << 30),"limitHits":4,"oomKills":2},
            "processor":{"total":5,"user":5,"system":0},
            "processes":{"current":\(pids),"refused":3}}}
            """
        return try JSONDecoder().decode(VPSStats.self, from: Data(text.utf8))
    }

    private static func three() throws -> [VPSStats] {
        [
            try vps("a", cpu: 150.04, memory: 10 << 20, read: 0, pids: 100),
            try vps("b", cpu: 1, memory: 512 << 20, read: 5, pids: 3),
            try vps("c", cpu: nil, memory: 3 << 20, read: 0, pids: 100),
        ]
    }

    @Test(arguments: [("cpu", "abc"), ("memory", "bac"), ("io", "bac"), ("pids", "acb"), ("name", "abc")])
    func order(_ key: String, _ wanted: String) throws {
        var table = TopTable(order: try #require(TopTable.Order(rawValue: key)))
        let all = try Self.three()
        #expect(table.sorted(all).map(\.name).joined() == wanted)
        table.isReversed = true
        #expect(table.sorted(all.reversed()).map(\.name).joined() == String(wanted.reversed()))
    }

    @Test func lines() throws {
        let lines = TopTable().table(try Self.three(), columns: nil)
        #expect(
            lines == [
                "NAME     S   CPU% MEMORY LIMIT MEM% READ/s WRITE/s  PIDS  HITS  OOM",
                "a        R  150.0    10M    1G    1      0       0   100     7    2",
                "b        R    1.0   512M    1G   50      5       0     3     7    2",
                "c        R      -     3M    1G    0      -       -   100     7    2",
            ])
    }

    @Test func windows() throws {
        var reading = try JSONDecoder().decode(
            StatsReading.self, from: Data(#"{"time":"2026-11-23T05:14:52Z","vps":[]}"#.utf8))
        reading.vps =
            try Self.three() + [
                try Self.vps(
                    String(repeating: "x", count: 63), cpu: 99_999, memory: 1 << 50, read: 1e15, pids: 123_456_789)
            ]
        for (rows, columns) in [(24, 80), (24, 200), (4, 40), (3, 20), (1, 1), (0, 0)] {
            let lines = TopTable().window(reading, rows: rows, columns: columns)
            #expect(lines.count <= max(1, rows))
            for line in lines { #expect(line.count <= columns, "\(line)") }
        }
        #expect(TopTable().window(reading, rows: 5, columns: 80)[0].contains("4 running, 2 shown  by cpu"))
        #expect(
            TopTable().window(reading, rows: 24, columns: 80)[3].hasPrefix(
                String(repeating: "x", count: 20) + "+ R 99999.0"))
    }

    @Test func numbers() {
        #expect(Format.decimal(12.345, digits: 1) == "12.3")
        #expect(Format.decimal(0.999, digits: 2) == "1.00")
        #expect(Format.decimal(-0.5, digits: 1) == "-0.5")
        #expect(Format.decimal(7.6, digits: 0) == "8")
        #expect(Format.seconds(1_002_003) == "1.002 s")
        for (value, text) in [(0, "0"), (99_999, "99999"), (100_000, "100k"), (12_345_678, "12M")] as [(Int64, String)]
        {
            #expect(Format.count(value) == text)
        }
        for text in ["", "abc"] { #expect(text.clipped(to: 3) == text) }
        #expect("abcd".clipped(to: 3) == "ab+")
        #expect("abcd".clipped(to: 0) == "")
    }
}
