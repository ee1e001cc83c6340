internal import CMnl
internal import Model

/// A netlink message under construction, in memory of the batch that it belongs to. Numbers are in the host's byte order
/// unless a name says otherwise.
struct NetlinkMessage {
    private let header: UnsafeMutablePointer<nlmsghdr>

    /// - Parameter memory: zeroed, with room for all that is to come.
    init(at memory: UnsafeMutableRawPointer, type: UInt16, flags: UInt16, sequence: UInt32) {
        header = mnl_nlmsg_put_header(memory)
        header.pointee.nlmsg_type = type
        header.pointee.nlmsg_flags = flags
        header.pointee.nlmsg_seq = sequence
    }

    var size: Int { Int(header.pointee.nlmsg_len) }

    /// The fixed part that begins a message of its kind: `ifinfomsg`, `ifaddrmsg`, `rtmsg`, `nfgenmsg`.
    func put<Fixed>(_ value: Fixed) {
        mnl_nlmsg_put_extra_header(header, MemoryLayout<Fixed>.size)
            .initializeMemory(as: Fixed.self, repeating: value, count: 1)
    }

    func put(_ type: Int, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { mnl_attr_put(header, UInt16(type), $0.count, $0.baseAddress) }
    }

    func put(_ type: Int, u8 value: UInt8) { mnl_attr_put_u8(header, UInt16(type), value) }
    func put(_ type: Int, u16 value: UInt16) { mnl_attr_put_u16(header, UInt16(type), value) }
    func put(_ type: Int, u32 value: UInt32) { mnl_attr_put_u32(header, UInt16(type), value) }
    func put(_ type: Int, u64 value: UInt64) { mnl_attr_put_u64(header, UInt16(type), value) }
    func put(_ type: Int, bigEndian value: UInt32) { mnl_attr_put_u32(header, UInt16(type), value.bigEndian) }
    func put(_ type: Int, _ text: String) { put(type, Array(text.utf8) + [0]) }
    func put(_ type: Int, _ address: IPAddress) { put(type, address.bytes) }

    /// Attributes within an attribute.
    func nest(_ type: Int, _ body: (NetlinkMessage) -> Void) {
        let start = mnl_attr_nest_start(header, UInt16(type))
        body(self)
        mnl_attr_nest_end(header, start)
    }

    /// As ``put(_:)`` in the middle of a nest, where the message of a peer begins.
    func putInner<Fixed>(_ value: Fixed) { put(value) }
}

/// One attribute of an answer.
struct NetlinkAttribute {
    let type: Int
    let data: ArraySlice<UInt8>

    var u32: UInt32 { data.count >= 4 ? data.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) } : 0 }
    var u64: UInt64 { data.count >= 8 ? data.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) } : 0 }
    /// Up to the NUL.
    var text: String { String(decoding: data.prefix { $0 != 0 }, as: UTF8.self) }
    var address: IPAddress? { data.count == 4 || data.count == 16 ? IPAddress(bytes: Array(data)) : nil }

    /// The attributes that lie one after another in `bytes`; what is cut short ends the list. Byte order is the host's,
    /// which is little-endian on all platforms of ctr.
    static func list(_ bytes: ArraySlice<UInt8>) -> [NetlinkAttribute] {
        var result: [NetlinkAttribute] = []
        var rest = bytes
        while rest.count >= 4 {
            let start = rest.startIndex
            let length = Int(rest[start]) | Int(rest[start + 1]) << 8
            guard length >= 4, length <= rest.count else { break }
            let type = (Int(rest[start + 2]) | Int(rest[start + 3]) << 8) & 0x3fff
            result.append(NetlinkAttribute(type: type, data: rest[(start + 4)..<(start + length)]))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return result
    }

    var nested: [NetlinkAttribute] { NetlinkAttribute.list(data) }
}

extension [NetlinkAttribute] {
    func first(_ type: Int) -> NetlinkAttribute? { first { $0.type == type } }
}
