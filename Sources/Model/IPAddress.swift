/// An address of IPv4 or IPv6.
public struct IPAddress: Sendable, Hashable, Codable, CustomStringConvertible, Comparable {
    /// 4 or 16, as they go over the wire.
    public let bytes: [UInt8]

    public var isIPv6: Bool { bytes.count == 16 }
    /// All bits of an address of this family: 32 or 128.
    public var width: Int { bytes.count * 8 }

    /// - Parameter bytes: 4 or 16.
    public init(bytes: [UInt8]) {
        precondition(bytes.count == 4 || bytes.count == 16)
        self.bytes = bytes
    }

    /// nil for what is no address: of IPv4 four decimal numbers, of IPv6 a form of RFC 4291 without a zone.
    public init?(_ text: String) {
        guard let bytes = text.contains(":") ? IPAddress.six(text) : IPAddress.four(text) else { return nil }
        self.bytes = bytes
    }

    private static func four(_ text: some StringProtocol) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            // A leading zero is octal to some programs.
            guard let value = UInt8(part), part.utf8.allSatisfy({ (48...57).contains($0) }),
                part.count == 1 || part.first != "0"
            else { return nil }
            bytes.append(value)
        }
        return bytes
    }

    private static func six(_ text: String) -> [UInt8]? {
        let text = Substring(text)
        guard let gap = text.firstDouble else {
            guard let all = groups(text), all.count == 16 else { return nil }
            return all
        }
        let (left, right) = (text[..<gap], text[text.index(gap, offsetBy: 2)...])
        guard right.firstDouble == nil, let head = groups(left, last: false), let tail = groups(right),
            head.count + tail.count <= 14
        else { return nil }
        return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
    }

    /// Groups of up to four hexadecimal digits; the last may be an address of IPv4.
    private static func groups(_ text: Substring, last mayBeFour: Bool = true) -> [UInt8]? {
        if text.isEmpty { return [] }
        var bytes: [UInt8] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if mayBeFour, index == parts.count - 1, part.contains(".") {
                guard let four = four(part) else { return nil }
                bytes += four
                continue
            }
            guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy({ $0 != 43 && $0 != 45 }),
                let value = UInt16(part, radix: 16)
            else { return nil }
            bytes += [UInt8(value >> 8), UInt8(value & 255)]
        }
        return bytes
    }

    /// As RFC 5952 has it.
    public var description: String {
        if !isIPv6 { return bytes.map { String($0) }.joined(separator: ".") }
        let groups = (0..<8).map { UInt16(bytes[2 * $0]) << 8 | UInt16(bytes[2 * $0 + 1]) }
        var (best, length) = (8, 1)
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > length { (best, length) = (start, end - start) }
            start = max(end, start + 1)
        }
        let words = groups.map { String($0, radix: 16) }
        if best == 8 { return words.joined(separator: ":") }
        return words[..<best].joined(separator: ":") + "::" + words[(best + length)...].joined(separator: ":")
    }

    public static func < (a: IPAddress, b: IPAddress) -> Bool {
        a.bytes.count != b.bytes.count ? a.bytes.count < b.bytes.count : a.bytes.lexicographicallyPrecedes(b.bytes)
    }

    /// The address so many further on; nil beyond the last one.
    public func advanced(by count: UInt64) -> IPAddress? {
        var rest = count
        var result = bytes
        for index in result.indices.reversed() where rest > 0 {
            let sum = UInt64(result[index]) + (rest & 255)
            result[index] = UInt8(sum & 255)
            rest = (rest >> 8) + (sum >> 8)
        }
        return rest == 0 ? IPAddress(bytes: result) : nil
    }

    /// Whether it is one host's: neither unspecified, loopback, multicast nor (IPv4) broadcast.
    public var isHost: Bool {
        if isIPv6 { return bytes[0] != 0xff && !(bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] < 2) }
        return bytes[0] != 0 && bytes[0] != 127 && bytes[0] < 224
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let address = IPAddress(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is no IP address"))
        }
        self = address
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension Substring {
    /// Where the first `::` begins.
    fileprivate var firstDouble: Index? {
        var index = startIndex
        while index < endIndex {
            let next = self.index(after: index)
            if self[index] == ":", next < endIndex, self[next] == ":" { return index }
            index = next
        }
        return nil
    }
}

/// `ADDRESS/BITS`: an address together with its network, or a network.
public struct CIDR: Sendable, Hashable, Codable, CustomStringConvertible {
    public let address: IPAddress
    /// Length of the network's prefix in bits.
    public let bits: Int

    /// - Parameter bits: at most the width of the address.
    public init(_ address: IPAddress, _ bits: Int) {
        precondition((0...address.width).contains(bits))
        self.address = address
        self.bits = bits
    }

    /// nil for what is none; an address without `/BITS` is a network of itself.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let address = IPAddress(parts[0]) else { return nil }
        if parts.count == 1 {
            self.init(address, address.width)
            return
        }
        guard let bits = Int(parts[1]), parts[1].utf8.allSatisfy({ (48...57).contains($0) }), bits <= address.width
        else { return nil }
        self.init(address, bits)
    }

    public var description: String { "\(address)/\(bits)" }

    /// The first address of the network, whose bits beyond the prefix are zero.
    public var network: IPAddress { masked { $0 & $1 } }

    /// The last address of the network.
    public var last: IPAddress { masked { $0 | ~$1 } }

    private func masked(_ combine: (UInt8, UInt8) -> UInt8) -> IPAddress {
        IPAddress(
            bytes: address.bytes.enumerated().map { index, byte in
                let ones = min(8, max(0, bits - index * 8))
                return combine(byte, ones == 0 ? 0 : 0xff << UInt8(8 - ones))
            })
    }

    public func contains(_ other: IPAddress) -> Bool {
        other.bytes.count == address.bytes.count && CIDR(other, bits).network == network
    }

    /// Whether the two networks have an address in common.
    public func overlaps(_ other: CIDR) -> Bool {
        contains(other.network) || other.contains(network)
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let value = CIDR(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is no network (10.0.0.0/16)"))
        }
        self = value
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The address of a network interface on its link: 48 bits.
public struct MACAddress: Sendable, Hashable, Codable, CustomStringConvertible {
    /// Six.
    public let bytes: [UInt8]

    /// - Parameter bytes: six.
    public init(bytes: [UInt8]) {
        precondition(bytes.count == 6)
        self.bytes = bytes
    }

    /// `02:00:5e:10:00:01`; nil for anything else, and for the address of a group.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6, bytes.count == 6, bytes[0] & 1 == 0, bytes.contains(where: { $0 != 0 }) else {
            return nil
        }
        self.bytes = bytes
    }

    public var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let address = MACAddress(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is no MAC address"))
        }
        self = address
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
