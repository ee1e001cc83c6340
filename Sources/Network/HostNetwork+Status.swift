public import Model

/// What went over a VPS's interface since it was created, as the VPS sees it.
public struct NetworkCounters: Sendable, Equatable {
    public var received = Direction()
    public var sent = Direction()

    /// Bytes of IP, without the headers of Ethernet; packets, of which the kernel may have joined several.
    public struct Direction: Sendable, Equatable {
        public var ipv4 = Family()
        public var ipv6 = Family()
        /// Packets. Of what is received: what had to wait for its rate too long. Of what is sent: what was not its own, or
        /// beyond its rate.
        public var dropped: UInt64 = 0
    }

    public struct Family: Sendable, Equatable {
        public var bytes: UInt64 = 0
        public var packets: UInt64 = 0
    }

    init(_ totals: TrafficTotals) {
        func family(_ counter: TrafficCounter) -> Family {
            Family(bytes: totals[counter].bytes, packets: totals[counter].packets)
        }
        (received.ipv4, received.ipv6) = (family(.received4), family(.received6))
        (sent.ipv4, sent.ipv6) = (family(.sent4), family(.sent6))
        sent.dropped = totals[.refused].packets
        received.dropped = totals.dropped
    }
}

/// What a VPS has on its network, as the host knows it.
public struct NetworkStatus: Sendable, Equatable {
    /// The host's end of its interface, there while it runs.
    public var interface: String
    public var mac: MACAddress
    public var addresses: [IPAddress]
    public var published: [PublishedPort]
    /// nil where it never had an interface.
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

    /// What was counted is written down as well: what somebody has been told, no loss of power makes less.
    /// - Returns: nil for a VPS that has no interface of ctr's.
    public func status(of vps: String) throws(CtrError) -> NetworkStatus? {
        guard let registry = try registry(mending: vps), let note = try registry.note(of: vps) else { return nil }
        let plan = try registry.plan()
        let name = interfaceName(of: vps, note, plan)
        var status = NetworkStatus(
            interface: name, mac: note.mac, addresses: note.addresses, published: note.published, counters: nil)
        guard let before = try registry.totals(of: vps) else { return status }
        var totals = before
        let dropped = try dropped(at: name, NetlinkSocket())
        totals.add(try counts(note.family, name, NetlinkSocket(.netfilter), dropped: dropped), of: name)
        // A full disk is no reason not to tell.
        if totals != before { try? registry.write(totals, of: vps) }
        status.counters = NetworkCounters(totals)
        return status
    }
}
