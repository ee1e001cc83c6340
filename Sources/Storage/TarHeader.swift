internal import Kernel
internal import Model

/// One 512-byte header of a tar archive, as ustar, GNU tar and version 7 write it. See tar(5).
struct TarHeader {
    let block: [UInt8]
    enum Dialect { case version7, ustar, gnu }
    let dialect: Dialect

    /// Throws `badInput` unless the checksum is right.
    init(_ block: [UInt8]) throws(CtrError) {
        self.block = block
        // Old programs summed signed bytes.
        var sum = 0
        var signed = 0
        for (i, byte) in block.enumerated() {
            let value = (148..<156).contains(i) ? 32 : byte
            sum += Int(value)
            signed += Int(Int8(bitPattern: value))
        }
        let stored = try? TarHeader.number(block[148..<156], "checksum")
        guard stored == Int64(sum) || stored == Int64(signed) else {
            throw CtrError(.badInput, "not a tar archive, or a damaged one (a header's checksum is wrong)")
        }
        switch Array(block[257..<265]) {
        case Array("ustar\u{0}00".utf8): dialect = .ustar
        case Array("ustar  \u{0}".utf8): dialect = .gnu
        default: dialect = block[257..<262].elementsEqual("ustar".utf8) ? .ustar : .version7
        }
    }

    var type: UInt8 { block[156] }

    /// Name, with the prefix field where the dialect has one.
    var name: [UInt8] {
        let name = TarHeader.text(block[0..<100])
        guard dialect == .ustar else { return name }
        // star keeps times behind a shorter prefix.
        let star = block[508..<512].elementsEqual("tar\u{0}".utf8)
        let prefix = TarHeader.text(star ? block[345..<476] : block[345..<500])
        return prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name
    }

    var linkName: [UInt8] { TarHeader.text(block[157..<257]) }

    func number(_ range: Range<Int>, _ what: String) throws(CtrError) -> Int64 {
        try TarHeader.number(block[range], what)
    }

    /// The bytes before the first NUL.
    static func text(_ field: ArraySlice<UInt8>) -> [UInt8] { Array(field.prefix { $0 != 0 }) }

    /// A number field: octal text, or GNU's base 256 with the first bit set. An empty field is 0.
    static func number(_ field: ArraySlice<UInt8>, _ what: String) throws(CtrError) -> Int64 {
        let bad = CtrError(.badInput, "a header's \(what) is no number")
        guard let first = field.first else { return 0 }
        if first & 0x80 != 0 {
            // Two's complement over the whole field but the marker bit.
            var value: Int64 = first & 0x40 != 0 ? -1 : 0
            for (i, byte) in field.enumerated() {
                let part = i == 0 ? (first & 0x40 != 0 ? first : first & 0x7f) : byte
                let (high, overflow) = value.multipliedReportingOverflow(by: 256)
                if overflow { throw CtrError(.badInput, "a header's \(what) is too large") }
                value = high | Int64(part)
            }
            return value
        }
        var value: Int64 = 0
        let digits = field.drop { $0 == 32 || $0 == 0 }
        for byte in digits {
            if byte == 32 || byte == 0 { break }
            guard (48...55).contains(byte) else { throw bad }
            value = value << 3 | Int64(byte - 48)
            if value > Int64.max >> 4 { throw bad }
        }
        return value
    }

    /// A decimal number of an extended header; negative where `signed`.
    static func decimal(_ text: ArraySlice<UInt8>, _ what: String, signed: Bool = false) throws(CtrError) -> Int64 {
        let string = String(decoding: text, as: UTF8.self)
        let digits = signed && text.first == UInt8(ascii: "-") ? text.dropFirst() : text
        guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }), let value = Int64(string) else {
            throw CtrError(
                .badInput, "an extended header's \(what) '\(String(string.prefix(40)).escaped)' is no number")
        }
        return value
    }

    /// A time of an extended header: seconds with an optional fraction.
    static func time(_ text: [UInt8], _ what: String) throws(CtrError) -> FileTime {
        let parts = text.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first else { throw CtrError(.badInput, "an extended header's \(what) is empty") }
        let seconds = try decimal(whole, what, signed: true)
        guard parts.count == 2, !parts[1].isEmpty else { return FileTime(seconds: seconds) }
        let digits = parts[1].prefix(9)
        var nanoseconds = try decimal(digits, what)
        for _ in digits.count..<9 { nanoseconds *= 10 }
        if whole.first == UInt8(ascii: "-"), nanoseconds > 0, seconds > .min {
            return FileTime(seconds: seconds - 1, nanoseconds: UInt32(1_000_000_000 - nanoseconds))
        }
        return FileTime(seconds: seconds, nanoseconds: UInt32(nanoseconds))
    }
}

/// The records of PAX extended headers, in order: `LENGTH KEY=VALUE\n`.
struct PaxRecords {
    private(set) var all: [(key: String, value: [UInt8])] = []

    init() {}

    /// Throws `badInput` for records that are malformed.
    init(_ data: [UInt8]) throws(CtrError) {
        var rest = data[...]
        // Some programs pad with NULs.
        while let first = rest.first, first != 0 {
            let bad = CtrError(.badInput, "a malformed extended header")
            guard let space = rest.prefix(20).firstIndex(of: 32) else { throw bad }
            let length = try TarHeader.decimal(rest[rest.startIndex..<space], "length")
            guard length > space - rest.startIndex + 1, length <= rest.count else { throw bad }
            let record = rest[(space + 1)..<(rest.startIndex + Int(length))]
            guard record.last == 10, let equals = record.firstIndex(of: UInt8(ascii: "=")), equals > record.startIndex
            else { throw bad }
            let key = String(decoding: record[record.startIndex..<equals], as: UTF8.self)
            all.append((key, Array(record[(equals + 1)...].dropLast())))
            rest = rest.dropFirst(Int(length))
        }
    }

    /// The last value; nil also for an empty one, which takes back what came before.
    subscript(_ key: String) -> [UInt8]? {
        guard let value = all.last(where: { $0.key == key })?.value, !value.isEmpty else { return nil }
        return value
    }

    mutating func append(_ other: PaxRecords) { all += other.all }
    mutating func append(_ key: String, _ value: [UInt8]) { all.append((key, value)) }
    var isEmpty: Bool { all.isEmpty }

    /// The bytes of the records, as an archive has them.
    func encoded() -> [UInt8] {
        var out: [UInt8] = []
        for (key, value) in all {
            let body = key.utf8.count + value.count + 3
            // The length counts its own digits.
            var length = body + String(body).utf8.count
            length = body + String(length).utf8.count
            out += Array("\(length) \(key)=".utf8) + value + [10]
        }
        return out
    }
}
