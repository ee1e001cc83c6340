public import Model
internal import Network

extension Host {
    /// The networks of this root.
    /// - Parameter settings: needed where something may be made.
    func network(settings: Settings? = nil) -> HostNetwork {
        HostNetwork(
            root: root, isStandard: root == Host.standardRoot, settings: settings?.network ?? NetworkSettings())
    }

    /// What a VPS's interfaces are to have becomes its own, and what those had that it has no more is given back.
    /// - Returns: by the names of its ports; none for a VPS without an interface of ctr's.
    func claimPorts(_ config: VPSConfig) throws(CtrError) -> [(name: String, network: ClaimedNetwork)] {
        guard config.hasInterface || config.interfaces != nil else { return [] }
        let network = try network(settings: .load())
        let claimed = try config.ports.map { (port) throws(CtrError) in
            (port.name, try network.claim(port, durable: !config.ephemeral))
        }
        // One that never had others than eth0 is not asked for them.
        if config.interfaces != nil { try network.releaseOthers(than: config) }
        return claimed
    }

    /// Name servers for a VPS that is told none; nil: the host knows none that it can reach.
    func resolver(for ports: [(name: String, network: ClaimedNetwork)]) throws(CtrError) -> String? {
        if let text = HostResolver.text() { return text }
        return HostResolver.text(at: ports.first?.network.gateways ?? [], try Settings.load().network)
    }

    /// Makes the interfaces of a VPS whose first process, `pid`, executes nothing yet.
    /// - Parameter closed: nothing goes through them until ``openPorts(_:pid:ifClosed:)``.
    func attach(
        _ ports: [(name: String, network: ClaimedNetwork)], pid: Int32, closed: Bool = false
    ) throws(CtrError) {
        if ports.isEmpty { return }
        let network = try network(settings: .load())
        for port in ports { try network.attach(port.name, port.network, pid: pid, closed: closed) }
    }

    /// - Parameter ifClosed: leaves alone those that are open. Of a routed one nobody sees whether it is to the end: done again,
    ///   it is no harm.
    func openPorts(_ config: VPSConfig, pid: Int32, ifClosed: Bool = false) throws(CtrError) {
        let ports = try claimPorts(config)
        if ports.isEmpty { return }
        let network = try network(settings: .load())
        for port in ports {
            if ifClosed, config.network != .routed, try network.isPortOpen(port.name, port.network) { continue }
            try network.openPort(port.name, port.network, pid: pid)
        }
    }
}

/// What a VPS has on its network, for `show` and `stats`.
public struct NetworkDetails: Codable, Sendable, Equatable {
    /// The host's end of its interface, there while it runs.
    public var interface: String
    public var mac: MACAddress
    public var addresses: [IPAddress]
    public var published: [PublishedPort]
    /// Since it was created; nil where it never had an interface.
    public var received: Traffic?
    public var sent: Traffic?

    /// In one direction, as the VPS sees it.
    public struct Traffic: Codable, Sendable, Equatable {
        /// Of IPv4 and IPv6 together.
        public var bytes: UInt64
        public var packets: UInt64
        /// Packets; see ``NetworkCounters/Direction/dropped``.
        public var dropped: UInt64
        public var ipv4: Family
        public var ipv6: Family

        public struct Family: Codable, Sendable, Equatable {
            public var bytes: UInt64
            public var packets: UInt64
        }

        fileprivate init(_ counted: NetworkCounters.Direction) {
            ipv4 = Family(bytes: counted.ipv4.bytes, packets: counted.ipv4.packets)
            ipv6 = Family(bytes: counted.ipv6.bytes, packets: counted.ipv6.packets)
            bytes = ipv4.bytes + ipv6.bytes
            packets = ipv4.packets + ipv6.packets
            dropped = counted.dropped
        }
    }

    /// nil where there is none yet.
    /// - Parameter port: one of ``Model/VPSConfig/ports``.
    fileprivate init?(_ port: VPSConfig, on host: Host) throws(CtrError) {
        guard let status = try host.network().status(of: port.name) else { return nil }
        interface = status.interface
        mac = status.mac
        addresses = status.addresses
        published = status.published
        received = status.counters.map { Traffic($0.received) }
        sent = status.counters.map { Traffic($0.sent) }
    }
}

/// One interface of a VPS.
public struct InterfaceDetails: Codable, Sendable, Equatable {
    /// Inside: `eth0`.
    public var name: String
    /// As `--net` has it: `nat`, `bridge=lan0`.
    public var kind: String
    public var network: NetworkDetails

    private enum CodingKeys: CodingKey { case name, kind }

    private init(name: String, kind: String, network: NetworkDetails) {
        (self.name, self.kind, self.network) = (name, kind, network)
    }

    /// What the network is stands beside the name.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        kind = try container.decode(String.self, forKey: .kind)
        network = try NetworkDetails(from: decoder)
    }

    public func encode(to encoder: any Encoder) throws {
        try network.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(name, forKey: .name)
        try container.encode(kind, forKey: .kind)
    }

    /// All of a VPS, eth0 first.
    static func all(_ config: VPSConfig, on host: Host) throws(CtrError) -> [InterfaceDetails]? {
        var all: [InterfaceDetails] = []
        for port in config.ports {
            guard let network = try NetworkDetails(port, on: host) else { continue }
            let name = HostNetwork.guestInterface(of: port.name)
            all.append(InterfaceDetails(name: name, kind: port.network.text, network: network))
        }
        return all.isEmpty ? nil : all
    }
}

extension [InterfaceDetails] {
    var eth0: NetworkDetails? { first { $0.name == HostNetwork.guestInterface }?.network }
}
