public import Model
internal import Network

extension Host {
    /// The networks of this root.
    /// - Parameter settings: needed where something may be made.
    func network(settings: Settings? = nil) -> HostNetwork {
        HostNetwork(
            root: root, isStandard: root == Host.standardRoot, settings: settings?.network ?? NetworkSettings())
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

    /// nil for a VPS without an interface of ctr's.
    init?(_ config: VPSConfig, on host: Host) throws(CtrError) {
        guard config.network.hasInterface, let status = try host.network().status(of: config.name) else { return nil }
        interface = status.interface
        mac = status.mac
        addresses = status.addresses
        published = status.published
        received = status.counters.map { Traffic($0.received) }
        sent = status.counters.map { Traffic($0.sent) }
    }
}
