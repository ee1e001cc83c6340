internal import Kernel

/// What criu measured of its last dump: the file stats-dump in its working directory.
public struct DumpStatistics: Sendable, Equatable {
    /// How long the tree stood still.
    public var frozenMilliseconds: Int

    /// nil where there is none that can be read.
    public static func read(_ work: String) -> DumpStatistics? {
        guard let directory = try? open(work, [.path, .directory]),
            let bytes = try? directory.readFile("stats-dump", limit: 65536)
        else { return nil }
        return DumpStatistics(bytes)
    }

    /// Two magic numbers and a size of four bytes each, then a message of Protocol Buffers: criu's images/stats.proto.
    init?(_ bytes: [UInt8]) {
        guard bytes.count > 12, let dump = ProtocolBuffer(bytes[12...]).message(1),
            let frozen = ProtocolBuffer(dump).number(2)
        else { return nil }
        frozenMilliseconds = Int(frozen / 1000)
    }
}

/// As much of the format of Protocol Buffers as is met there.
private struct ProtocolBuffer {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    func number(_ field: UInt64) -> UInt64? { find(field)?.number }
    func message(_ field: UInt64) -> ArraySlice<UInt8>? { find(field)?.bytes }

    private func find(_ wanted: UInt64) -> (number: UInt64, bytes: ArraySlice<UInt8>)? {
        var reader = self
        while let key = reader.varint(), let value = reader.value(kind: key & 7) {
            if key >> 3 == wanted { return value }
        }
        return nil
    }

    private mutating func value(kind: UInt64) -> (number: UInt64, bytes: ArraySlice<UInt8>)? {
        switch kind {
        case 0: return varint().map { ($0, []) }
        case 2:
            guard let size = varint(), size <= UInt64(rest.count) else { return nil }
            let bytes = rest.prefix(Int(size))
            rest = rest.dropFirst(Int(size))
            return (size, bytes)
        default: return nil
        }
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}
