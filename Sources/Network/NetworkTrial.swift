internal import CMnl
internal import Kernel
public import Model

/// One thing that a VPS's network takes of the kernel, tried in the network namespace of the calling process, where it stays: so that is
/// to be one of its own, without an interface of these names.
public enum NetworkTrial: CaseIterable, Sendable {
    case pair, bridge, filter, translation, bridgeFilter, rules, tokenBucket, conntrack

    private static let name = "ctr-trial"

    /// - Throws: what the kernel, or nft, says against it.
    public func make() throws(CtrError) {
        switch self {
        case .pair: try NetworkTrial.makePair()
        case .bridge:
            let batch = NetlinkBatch()
            batch.add(bridge: NetworkTrial.name, mac: HostNetwork.hostMAC)
            try NetlinkSocket().carryOut(batch)
        case .filter:
            try Nft.run("table inet \(NetworkTrial.name) { chain c { type filter hook forward priority 0; drop; }; }\n")
        case .translation:
            try Nft.run(
                """
                table inet \(NetworkTrial.name) {
                  map m { type inet_proto . inet_service : ipv4_addr . inet_service; }
                  chain d { type nat hook prerouting priority -100; dnat ip to meta l4proto . th dport map @m; }
                  chain s { type nat hook postrouting priority 100; ip saddr 192.0.2.0/24 masquerade; }
                }

                """)
        case .bridgeFilter:
            try Nft.run(
                "table bridge \(NetworkTrial.name) { chain c { type filter hook prerouting priority -300; drop; }; }\n")
        case .rules: try NetworkTrial.makeRules()
        case .tokenBucket:
            try NetworkTrial.makePair()
            let socket = try NetlinkSocket()
            guard let link = try socket.link(NetworkTrial.name) else {
                throw CtrError(.failed, "interface \(NetworkTrial.name) has gone")
            }
            let batch = NetlinkBatch()
            batch.set(tokenBucket: 1_000_000, of: link.index)
            try socket.carryOut(batch)
        case .conntrack: try NetlinkSocket(.netfilter).requireConversations()
        }
    }

    private static func makePair() throws(CtrError) {
        let own = try describing("network namespace", code: .failed) { () throws(SysError) in
            try open("/proc/self/ns/net", .readOnly)
        }
        let batch = NetlinkBatch()
        batch.add(
            VethPair(
                name: name, mac: HostNetwork.hostMAC, peerName: HostNetwork.guestInterface,
                peerMAC: MACAddress(bytes: [2, 0, 0, 0, 0, 2]), master: nil, alias: name, mtu: nil), into: own)
        try NetlinkSocket().carryOut(batch)
    }

    /// The very rules, and one VPS's part of them.
    private static func makeRules() throws(CtrError) {
        let network = { (bytes: [UInt8], bits) in CIDR(IPAddress(bytes: bytes), bits) }
        let filter = Filter(
            table: name, bridge: name, subnet4: network([192, 0, 2, 0], 24),
            subnet6: network([0xfd] + [UInt8](repeating: 0, count: 15), 64), open: false)
        try filter.install()
        let change = FilterChange.adding(to: name)
        let key = FilterChange.Key().interface(name)
        for family in [FilterChange.Table.inet, .bridge] {
            change.counters(family, name)
            change.limit(family, "rates", key, name, 1_000_000)
        }
        if let refusal = try change.commit() { throw refusal.error() }
    }
}

/// How many neighbours the kernel remembers, of all network namespaces together; see arp(7).
public struct NeighbourTable: Sendable {
    /// The smaller one of IPv4's and IPv6's.
    public let most: Int

    /// nil where this network namespace can't see it: only the machine's own one can.
    public init?() {
        let found = ["ipv4", "ipv6"].compactMap { family in
            (try? open("/proc/sys/net/\(family)/neigh/default/gc_thresh3", .readOnly).readAll(limit: 32)).flatMap {
                Int(String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).first ?? "")
            }
        }
        guard let least = found.min() else { return nil }
        most = least
    }

    /// For about how many VPSs of `--net nat` there is room: 200 were seen to take 900 entries of IPv6.
    public var servers: Int { most / 5 }
}
