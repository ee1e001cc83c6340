internal import Kernel
public import Model

/// What the host's settings say about networks: `network` of ctr.json.
public struct NetworkSettings: Codable, Sendable, Equatable {
    /// Of the bridge for `--net nat`; nil: ctr looks for one that is free.
    public var subnet: CIDR?
    /// The same for IPv6; nil: a unique local one (RFC 4193).
    public var subnet6: CIDR?
    /// VPSs of ctr's bridge may talk to each other.
    public var open: Bool?
    /// Ports of the host that VPSs may reach; else none.
    public var hostServices: [HostService]?

    /// VPSs may ask the host for names.
    var opensNames: Bool { hostServices?.contains(HostService(port: 53, isUDP: true)) ?? false }

    public init() {}
}

/// A port of the host: `53`, `53/udp`.
public struct HostService: Codable, Sendable, Equatable, CustomStringConvertible {
    public var port: UInt16
    public var isUDP: Bool

    public init(port: UInt16, isUDP: Bool = false) { (self.port, self.isUDP) = (port, isUDP) }

    public var description: String { "\(port)\(isUDP ? "/udp" : "")" }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        isUDP = text.hasSuffix("/udp")
        let digits = isUDP || text.hasSuffix("/tcp") ? text.dropLast(4) : text[...]
        guard let port = UInt16(digits), port > 0, digits.utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is no port of the host (53, 53/udp)")
            )
        }
        self.port = port
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// The networks of one root, chosen at first use and kept.
struct NetworkPlan: Equatable {
    var subnet4: CIDR
    var subnet6: CIDR
    /// From it and a VPS's name follows its MAC, which so differs between two hosts that have a VPS of the same name.
    var seed: UInt64

    var text: String { "\(subnet4) \(subnet6) \(String(seed, radix: 16))" }

    init?(text: String) {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 3, let four = CIDR(words[0]), let six = CIDR(words[1]), !four.address.isIPv6,
            six.address.isIPv6, let seed = UInt64(words[2], radix: 16)
        else { return nil }
        (subnet4, subnet6, self.seed) = (four, six, seed)
    }

    /// - Parameter taken: networks that the host has or knows a way to.
    /// - Throws: `config` for settings that can't be, `unavailable` where no network is free.
    init(_ settings: NetworkSettings, taken: [CIDR]) throws(CtrError) {
        let random = try describing("random number") { () throws(SysError) in try randomBytes(16) }
        seed = random.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        subnet4 = try NetworkPlan.four(settings, taken, start: Int(random[8]))
        if let wanted = settings.subnet6 {
            subnet6 = try NetworkPlan.check(wanted, six: true, taken)
        } else {
            subnet6 = CIDR(IPAddress(bytes: [0xfd] + random[9..<14] + [UInt8](repeating: 0, count: 10)), 64)
        }
    }

    private static func four(
        _ settings: NetworkSettings, _ taken: [CIDR], start: Int
    ) throws(CtrError) -> CIDR {
        if let wanted = settings.subnet { return try check(wanted, six: false, taken) }
        for step in 0..<256 {
            let candidate = CIDR(IPAddress(bytes: [10, UInt8((start + step) % 256), 0, 0]), 16)
            if !taken.contains(where: candidate.overlaps) { return candidate }
        }
        throw CtrError(
            .unavailable, "network of the VPSs: none of 10.0.0.0/8 is free (set network.subnet in ctr.json)",
            step: "network")
    }

    private static func check(_ wanted: CIDR, six: Bool, _ taken: [CIDR]) throws(CtrError) -> CIDR {
        let key = six ? "subnet6" : "subnet"
        let network = CIDR(wanted.network, wanted.bits)
        guard wanted.address.isIPv6 == six, wanted.address.width - wanted.bits >= 2, wanted.bits >= 8 else {
            throw CtrError(
                .config, "settings: network.\(key) \(wanted): not a network of IPv\(six ? 6 : 4) with room for VPSs",
                step: "network")
        }
        if let other = taken.first(where: network.overlaps) {
            throw CtrError(
                .config, "settings: network.\(key) \(wanted): the host uses \(other) (choose another)", step: "network")
        }
        return network
    }

    /// The host's own address on the bridge: the first.
    var gateway4: IPAddress { subnet4.network.advanced(by: 1)! }
    var gateway6: IPAddress { subnet6.network.advanced(by: 1)! }

    /// How many VPSs have room: without the network's own address, the host's, and the last one.
    var room: UInt64 { (1 << UInt64(min(32 - subnet4.bits, 128 - subnet6.bits))) - 3 }

    /// The addresses of a slot, 0 to ``room`` - 1.
    func addresses(_ slot: UInt64) -> [IPAddress] {
        [subnet4.network.advanced(by: slot + 2)!, subnet6.network.advanced(by: slot + 2)!]
    }

    /// The slot whose addresses these are, all of them; nil: of none.
    func slot(of addresses: [IPAddress]) -> UInt64? {
        guard addresses.count == 2, subnet4.contains(addresses[0]) else { return nil }
        let number = zip(addresses[0].bytes, subnet4.network.bytes).reduce(UInt64(0)) { $0 << 8 | UInt64($1.0 ^ $1.1) }
        return number >= 2 && number - 2 < room && self.addresses(number - 2) == addresses ? number - 2 : nil
    }

    /// Locally administered MACs.
    func mac(of vps: String) -> MACAddress { mac("vps \(vps)") }
    func mac(ofSlot slot: UInt64) -> MACAddress { mac("slot \(slot)") }

    private func mac(_ text: String) -> MACAddress {
        let hash = NetworkPlan.hash("\(seed) \(text)")
        return MACAddress(bytes: [0x02] + (0..<5).map { UInt8(truncatingIfNeeded: hash >> (8 * UInt64($0))) })
    }

    /// FNV-1a, 64 bits: the same in every run, unlike Swift's Hasher.
    static func hash(_ text: String) -> UInt64 {
        text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
