internal import CMnl
internal import Kernel
public import Model

/// What the packet filter counts of a VPS's interface, in bytes of IP and packets. In tables of ctr's own and not at the
/// interface: that one goes with the VPS, and may be taken away from inside.
enum TrafficCounter: String, CaseIterable {
    case received4, received6, sent4, sent6
    /// Sent, and dropped: not its own, or beyond its rate.
    case refused

    /// The map from interfaces to counters in the tables.
    var map: String { rawValue }
    func object(_ port: String) -> String { "\(port)-\(rawValue)" }
}

/// What went over a VPS's interface since it was created, and how much of the present counts is in it.
///
/// Counts are added to the totals when the VPS ends, or by whoever finds that it has, and whenever somebody looks; the filter
/// keeps them until then. Both numbers change at once, so nothing is ever counted twice.
struct TrafficTotals: Equatable {
    /// Bytes and packets of each of the filter's counters, in their order; last the packets to the VPS that had to
    /// wait too long for its rate. nil where there is no such counter (any more).
    typealias Counts = [UInt64?]
    private static let dropped = TrafficCounter.allCases.count * 2
    private static let width = dropped + 1
    /// Whose counts `seen` are.
    var port: String
    private(set) var total = [UInt64](repeating: 0, count: width)
    private var seen: [UInt64]

    /// - Parameter now: what others have left there.
    init(port: String, now: Counts) {
        self.port = port
        seen = now.map { $0 ?? 0 }
    }

    init?(text: String) {
        let words = text.split(separator: " ")
        let numbers = words.dropFirst().compactMap { UInt64($0) }
        guard words.count == 1 + 2 * TrafficTotals.width, numbers.count == words.count - 1 else { return nil }
        port = String(words[0])
        total = Array(numbers.prefix(TrafficTotals.width))
        seen = Array(numbers.suffix(TrafficTotals.width))
    }

    var text: String { ([port] + (total + seen).map { "\($0)" }).joined(separator: " ") }

    mutating func add(_ now: Counts, of port: String) {
        if port == self.port {
            for (index, count) in now.enumerated() {
                // Less than before: it was made anew.
                if let count { total[index] &+= count >= seen[index] ? count - seen[index] : count }
            }
        }
        self.port = port
        // One that is made anew begins at zero.
        seen = now.map { $0 ?? 0 }
    }

    mutating func filterBeginsAnew() { for index in 0..<TrafficTotals.dropped { seen[index] = 0 } }

    subscript(_ counter: TrafficCounter) -> (bytes: UInt64, packets: UInt64) {
        let index = TrafficCounter.allCases.firstIndex(of: counter)! * 2
        return (total[index], total[index + 1])
    }

    /// Packets that were sent to the VPS and did not arrive.
    var dropped: UInt64 { total[TrafficTotals.dropped] }
}

extension HostNetwork {
    /// Writes down what has been counted so far.
    /// - Parameter dropped: ``dropped(at:_:)``.
    func count(
        _ note: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan?, _ registry: borrowing AddressRegistry,
        dropped: UInt64?
    ) throws(CtrError) {
        let port = interfaceName(of: vps, note, plan)
        let now = try counts(note.family, port, NetlinkSocket(.netfilter), dropped: dropped)
        var totals = try registry.totals(of: vps) ?? TrafficTotals(port: port, now: now)
        totals.add(now, of: port)
        try registry.write(totals, of: vps)
    }

    /// As ``count(_:_:_:_:dropped:)``, of every VPS, before the filter's tables go.
    func countAll(_ plan: NetworkPlan?, _ registry: borrowing AddressRegistry) throws(CtrError) {
        // To close one socket for each of many would take long.
        let socket = try NetlinkSocket(.netfilter)
        let routes = try NetlinkSocket()
        for vps in try registry.all() {
            guard let note = try registry.note(of: vps), var totals = try registry.totals(of: vps) else { continue }
            let port = interfaceName(of: vps, note, plan)
            totals.add(try counts(note.family, port, socket, dropped: dropped(at: port, routes)), of: port)
            try registry.write(totals, of: vps)
        }
    }

    /// After the tables were made anew.
    func countFromZero(_ registry: borrowing AddressRegistry) throws(CtrError) {
        for vps in try registry.all() {
            guard var totals = try registry.totals(of: vps) else { continue }
            totals.filterBeginsAnew()
            try registry.write(totals, of: vps)
        }
    }

    /// What is dropped on the way to a VPS is counted at the interface, which goes with the VPS: so before that one is ended.
    public func countDropped(of vps: String) throws(CtrError) {
        guard let registry = try registry(mending: vps), let note = try registry.note(of: vps) else { return }
        let plan = try registry.plan()
        let dropped = try dropped(at: interfaceName(of: vps, note, plan), NetlinkSocket())
        try count(note, vps, plan, registry, dropped: dropped)
    }

    /// Packets to the VPS that had to wait too long for its rate; nil where it has none, or the interface has gone.
    func dropped(at port: String, _ socket: NetlinkSocket) throws(CtrError) -> UInt64? {
        guard let link = try socket.link(port), isOurs(link) else { return nil }
        return try socket.dropped(byQueueOf: link.index)
    }

    func counts(
        _ family: FilterChange.Table, _ port: String, _ socket: borrowing NetlinkSocket, dropped: UInt64?
    ) throws(CtrError) -> TrafficTotals.Counts {
        var numbers: TrafficTotals.Counts = []
        for counter in TrafficCounter.allCases {
            let found = try socket.counter(family, table, counter.object(port))
            numbers += [found?.0, found?.1]
        }
        return numbers + [dropped]
    }
}

extension AddressRegistry.Note {
    /// The table that its packets go through.
    var family: FilterChange.Table { kind == .routed ? .inet : .bridge }
}

extension NetlinkSocket {
    fileprivate func counter(
        _ family: FilterChange.Table, _ table: String, _ name: String
    ) throws(CtrError) -> (UInt64, UInt64)? {
        let batch = NetlinkBatch()
        let type = Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETOBJ.rawValue)
        batch.add(type, what: "counter \(name)", acknowledge: false) { request in
            request.put(nfgenmsg(nfgen_family: family.family, version: 0, res_id: 0))
            request.put(Int(NFTA_OBJ_TABLE.rawValue), table)
            request.put(Int(NFTA_OBJ_NAME.rawValue), name)
            request.put(Int(NFTA_OBJ_TYPE.rawValue), bigEndian: UInt32(NFT_OBJECT_COUNTER))
        }
        guard let answer = try ask(batch, dump: false)?.first else { return nil }
        let data = answer.attributes(after: nfgenmsg.self).first(Int(NFTA_OBJ_DATA.rawValue))?.nested ?? []
        func number(_ type: Int) -> UInt64 { data.first(type)?.u64.byteSwapped ?? 0 }
        return (number(Int(NFTA_COUNTER_BYTES.rawValue)), number(Int(NFTA_COUNTER_PACKETS.rawValue)))
    }
}
