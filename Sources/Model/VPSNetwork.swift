/// `--net none|host|nat|bridge=NAME|routed`: how a VPS is joined to the network.
public enum NetworkChoice: Codable, Sendable, Hashable {
    /// Its loopback only.
    case none
    /// The host's network itself.
    case host
    /// An address of a pool, on a bridge that ctr makes, behind the host's own addresses.
    case nat
    /// Addresses of the host's own network, which the host answers for.
    case routed
    /// A port of a bridge that is there.
    case bridge(String)

    /// As the option has it.
    public var text: String {
        switch self {
        case .none: "none"
        case .host: "host"
        case .nat: "nat"
        case .routed: "routed"
        case .bridge(let name): "bridge=\(name)"
        }
    }

    /// nil for what is none of them.
    public init?(text: String) {
        switch text {
        case "none": self = .none
        case "host": self = .host
        case "nat": self = .nat
        case "routed": self = .routed
        default:
            guard text.hasPrefix("bridge=") else { return nil }
            let name = String(text.dropFirst("bridge=".count))
            guard NetworkChoice.isInterface(name) else { return nil }
            self = .bridge(name)
        }
    }

    /// Whether it has an interface of its own that ctr makes.
    public var hasInterface: Bool {
        switch self {
        case .none, .host: false
        case .nat, .routed, .bridge: true
        }
    }

    /// What the kernel takes for an interface's name, without what a shell or nft would read otherwise.
    private static func isInterface(_ name: String) -> Bool {
        (1...15).contains(name.utf8.count) && name != "." && name != ".."
            && name.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
                    || [45, 46, 95].contains($0)
            }
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let choice = NetworkChoice(text: text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is no choice of a network"))
        }
        self = choice
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// What a VPS is given on its network, beside the choice itself: all that its options say.
public struct VPSNetwork: Codable, Sendable, Hashable {
    /// Addresses with their networks; of `nat` those without are of ctr's bridge.
    public var addresses: [CIDR] = []
    /// At most one of each family.
    public var gateways: [IPAddress] = []
    /// nil: one that follows from its name.
    public var mac: MACAddress?
    public var published: [PublishedPort] = []
    /// Bytes a second towards the VPS, and from it.
    public var rateIn: Int64?
    public var rateOut: Int64?

    public init() {}

    /// Takes what `later` has: published ports and addresses by key, all else as a whole.
    mutating func merge(_ later: VPSNetwork) {
        addresses.merge(later.addresses) { "\($0.address)" }
        gateways.merge(later.gateways) { $0.isIPv6 ? "6" : "4" }
        mac = later.mac ?? mac
        published.merge(later.published) { $0.key }
        rateIn = later.rateIn ?? rateIn
        rateOut = later.rateOut ?? rateOut
    }

    /// Nothing of it is known inside.
    mutating func takeHostSide(of other: VPSNetwork) {
        (published, rateIn, rateOut) = (other.published, other.rateIn, other.rateOut)
    }

    /// What only one VPS of a network can have goes.
    public mutating func leaveIdentity() { (addresses, mac, published) = ([], nil, []) }

    /// Takes one of its options.
    /// - Throws: `usage`.
    mutating func set(_ option: String, _ value: String) throws(CtrError) {
        func read<Value>(_ made: Value?, _ form: String) throws(CtrError) -> Value {
            if let made { return made }
            throw CtrError(.usage, "\(option) '\(value.escaped)': not \(form)")
        }
        switch option {
        case "--ip":
            let address = try read(CIDR(value), "an address, or one with its network (192.0.2.7/24)")
            guard address.address.isHost else {
                throw CtrError(.usage, "\(option) '\(value.escaped)': not an address that one host can have")
            }
            addresses.merge([address]) { "\($0.address)" }
        case "--gateway": gateways.merge([try read(IPAddress(value), "an address")]) { $0.isIPv6 ? "6" : "4" }
        case "--mac": mac = try read(MACAddress(value), "the address of one interface (02:00:5e:10:00:01)")
        case "--publish":
            let port = try read(PublishedPort(value), "[IP:]PORT:PORT[/udp]")
            if let other = published.first(where: { $0.key == port.key && $0 != port }) {
                throw CtrError(.usage, "\(option) \(port): \(other) is published too (a port of the host leads to one)")
            }
            published.merge([port]) { $0.key }
        case "--rate-in": rateIn = try VPSNetwork.rate(option, value)
        default: rateOut = try VPSNetwork.rate(option, value)
        }
    }

    /// Numbers that the option takes: they may come from an archive.
    func checkRates(_ place: String) throws(CtrError) {
        for (option, rate) in [("rate-in", rateIn), ("rate-out", rateOut)] {
            if let rate, !(1000...125_000_000_000).contains(rate) {
                throw CtrError(.usage, "\(place)--\(option): \(rate) bytes a second are none (8k to 1000G bits)")
            }
        }
    }

    /// Bits a second, as links are sold: `100M` is 100,000,000; kept as bytes.
    private static func rate(_ option: String, _ value: String) throws(CtrError) -> Int64 {
        let factors: [Character: Double] = ["k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9]
        let factor = value.last.flatMap { factors[$0] }
        if let number = Double(factor == nil ? value : String(value.dropLast())), number.isFinite,
            case let rate = number * (factor ?? 1) / 8, rate >= 1000, rate <= 125e9
        {
            return Int64(rate)
        }
        throw CtrError(.usage, "\(option) '\(value.escaped)': not bits a second from 8k to 1000G (100M)")
    }
}

/// `--publish [IP:]PORT:PORT[/udp]`: a port of the host that leads to one of the VPS.
public struct PublishedPort: Codable, Sendable, Hashable, CustomStringConvertible {
    /// Of the host; nil: any of its addresses.
    public var address: IPAddress?
    public var hostPort: UInt16
    public var guestPort: UInt16
    public var isUDP: Bool

    public init(address: IPAddress? = nil, hostPort: UInt16, guestPort: UInt16, isUDP: Bool = false) {
        self.address = address
        self.hostPort = hostPort
        self.guestPort = guestPort
        self.isUDP = isUDP
    }

    /// nil for what is none. An IPv6 address stands in brackets.
    public init?(_ text: String) {
        var rest = Substring(text)
        isUDP = rest.hasSuffix("/udp")
        if isUDP || rest.hasSuffix("/tcp") { rest = rest.dropLast(4) }
        guard let last = rest.lastIndex(of: ":"), let guest = PublishedPort.port(rest[rest.index(after: last)...])
        else { return nil }
        rest = rest[..<last]
        if let colon = rest.lastIndex(of: ":") {
            var host = rest[..<colon]
            let bracketed = host.first == "[" && host.last == "]"
            if bracketed { host = host.dropFirst().dropLast() }
            guard let address = IPAddress(String(host)), address.isIPv6 == bracketed else { return nil }
            self.address = address
            rest = rest[rest.index(after: colon)...]
        }
        guard let port = PublishedPort.port(rest) else { return nil }
        (hostPort, guestPort) = (port, guest)
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard let number = UInt16(text), number > 0, text.utf8.allSatisfy({ (48...57).contains($0) }) else {
            return nil
        }
        return number
    }

    public var description: String {
        let host = address.map { ($0.isIPv6 ? "[\($0)]" : "\($0)") + ":" } ?? ""
        return "\(host)\(hostPort):\(guestPort)\(isUDP ? "/udp" : "")"
    }

    /// What it takes of the host: two with the same can't be.
    public var key: String { "\(address.map { "\($0)" } ?? "*") \(hostPort) \(isUDP)" }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let port = PublishedPort(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is no published port"))
        }
        self = port
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension VPSConfig {
    /// That what is said of its interface can be true of its choice of a network.
    /// - Throws: `usage`.
    public func checkNetwork() throws(CtrError) {
        let own = onNetwork
        try own.checkRates("")
        try checkInterfaces()
        func refuse(_ option: String, _ why: String) -> CtrError {
            CtrError(.usage, "\(option) with --net \(network.text): \(why)")
        }
        if !network.hasInterface, own != VPSNetwork() {
            let given: [(String, Bool)] = [
                ("--ip", !own.addresses.isEmpty), ("--gateway", !own.gateways.isEmpty), ("--mac", own.mac != nil),
                ("--publish", !own.published.isEmpty), ("--rate-in", own.rateIn != nil),
                ("--rate-out", own.rateOut != nil),
            ]
            let option = given.first { $0.1 }?.0 ?? "--net"
            throw refuse(option, "it is for an interface of its own (--net nat, routed or bridge=NAME)")
        }
        if network != .nat, !own.published.isEmpty {
            throw refuse("--publish", "its ports are there for everybody (--publish is for --net nat)")
        }
        if case .bridge = network {
            if let bare = own.addresses.first(where: { $0.bits == $0.address.width }) {
                throw refuse(
                    "--ip \(bare.address)", "say its network too (\(bare.address)/\(bare.address.isIPv6 ? 64 : 24))")
            }
        } else if !own.gateways.isEmpty {
            throw refuse("--gateway", "the host is its gateway (--gateway is for --net bridge=NAME)")
        }
        if network == .routed, own.addresses.isEmpty {
            throw refuse("--ip", "missing: a routed VPS has no pool to take one from")
        }
    }
}
