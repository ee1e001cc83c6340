public import Model

/// What went over a VPS's interface since its start, as the VPS sees it. Bytes and packets.
public struct NetworkCounters: Sendable, Equatable {
    public var receivedBytes: UInt64
    public var receivedPackets: UInt64
    /// On the way to the VPS; those that its rate cost are among them.
    public var receivedDropped: UInt64
    public var sentBytes: UInt64
    public var sentPackets: UInt64
    public var sentDropped: UInt64
}

/// What a VPS has on its network, as the host knows it.
public struct NetworkStatus: Sendable, Equatable {
    /// The host's end of its interface, there while it runs.
    public var interface: String
    public var mac: MACAddress
    public var addresses: [IPAddress]
    public var published: [PublishedPort]
    /// nil where it has no interface now.
    public var counters: NetworkCounters?
}

extension HostNetwork {
    /// The VPSs that one of `--net nat` can reach, as lines `ADDRESS NAME` of hosts(5): running or not, for their addresses
    /// stay. None where the settings keep VPSs apart.
    public func namesOfOthers(than vps: String) throws(CtrError) -> [String] {
        guard settings.open == true, let registry = try AddressRegistry.open(directory, make: false) else { return [] }
        var lines: [String] = []
        for other in try registry.all() where other != vps {
            guard let note = try registry.note(of: other), note.kind == .nat else { continue }
            lines += note.addresses.map { "\($0)\t\(other)" }
        }
        return lines
    }

    /// nil for a VPS that has no interface of ctr's.
    public func status(of vps: String) throws(CtrError) -> NetworkStatus? {
        guard let registry = try AddressRegistry.open(directory, make: false), let note = try registry.note(of: vps)
        else { return nil }
        let name = interfaceName(of: vps, note, try registry.plan())
        var status = NetworkStatus(
            interface: name, mac: note.mac, addresses: note.addresses, published: note.published, counters: nil)
        if let link = try NetlinkSocket().link(name), isOurs(link) {
            // What the host's end receives the VPS has sent.
            let host = link.counters
            status.counters = NetworkCounters(
                receivedBytes: host.sentBytes, receivedPackets: host.sentPackets, receivedDropped: host.sentDropped,
                sentBytes: host.receivedBytes, sentPackets: host.receivedPackets, sentDropped: host.receivedDropped)
        }
        return status
    }
}
