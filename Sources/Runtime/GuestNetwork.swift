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
    /// Since its start; nil where it has no interface now.
    public var received: Traffic?
    public var sent: Traffic?

    /// In one direction, as the VPS sees it.
    public struct Traffic: Codable, Sendable, Equatable {
        public var bytes: UInt64
        public var packets: UInt64
        public var dropped: UInt64
    }

    /// nil for a VPS without an interface of ctr's.
    init?(_ config: VPSConfig, on host: Host) throws(CtrError) {
        guard config.network.hasInterface, let status = try host.network().status(of: config.name) else { return nil }
        interface = status.interface
        mac = status.mac
        addresses = status.addresses
        published = status.published
        if let counters = status.counters {
            received = Traffic(
                bytes: counters.receivedBytes, packets: counters.receivedPackets, dropped: counters.receivedDropped)
            sent = Traffic(bytes: counters.sentBytes, packets: counters.sentPackets, dropped: counters.sentDropped)
        }
    }
}
