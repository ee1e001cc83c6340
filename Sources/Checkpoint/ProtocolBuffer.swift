/// As much of the format of Protocol Buffers as is met in criu's images.
struct ProtocolBuffer {
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

    /// The messages of an image: two magic numbers of four bytes, then of each message its size in four bytes, and itself. What is
    /// cut short ends the list.
    static func messages(ofImage bytes: [UInt8]) -> [ProtocolBuffer] {
        var rest = bytes[...].dropFirst(8)
        var all: [ProtocolBuffer] = []
        while rest.count >= 4 {
            let size = rest.prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(4)
            guard size <= rest.count else { break }
            all.append(ProtocolBuffer(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        return all
    }
}
