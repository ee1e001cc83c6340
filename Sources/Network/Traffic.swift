internal import CMnl
internal import Kernel
internal import Model

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

/// What went over a VPS's interface since it was created, and how much of the filter's present counts is in it.
///
/// Counts are added to the totals when the VPS ends, or by whoever finds that it has; the filter keeps them until then. Both
/// numbers change at once, so nothing is ever counted twice.
struct TrafficTotals: Equatable {
    private static let width = TrafficCounter.allCases.count * 2
    /// Whose counts `seen` are.
    var port: String
    /// Bytes and packets of each counter, in their order.
    private(set) var total = [UInt64](repeating: 0, count: width)
    private var seen = [UInt64](repeating: 0, count: width)

    /// - Parameter now: what others have left there.
    init(port: String, now: [UInt64]?) {
        self.port = port
        if let now { seen = now }
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

    /// - Parameter now: nil where there is no such filter any more.
    mutating func add(_ now: [UInt64]?, of port: String) {
        guard let now else { return }
        if port == self.port {
            // Less than before: the filter was made anew.
            for index in now.indices {
                total[index] &+= now[index] >= seen[index] ? now[index] - seen[index] : now[index]
            }
        }
        (self.port, seen) = (port, now)
    }

    subscript(_ counter: TrafficCounter) -> (bytes: UInt64, packets: UInt64) {
        let index = TrafficCounter.allCases.firstIndex(of: counter)! * 2
        return (total[index], total[index + 1])
    }
}

extension HostNetwork {
    /// Writes down what the filter has counted so far.
    func count(
        _ note: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan?, _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        let (port, now) = try counts(note, vps, plan)
        var totals = try registry.totals(of: vps) ?? TrafficTotals(port: port, now: now)
        totals.add(now, of: port)
        try registry.write(totals, of: vps)
    }

    /// The interface's name, and what is counted of it; nil where the filter does not know it.
    func counts(
        _ note: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan?
    ) throws(CtrError) -> (port: String, now: [UInt64]?) {
        let port = interfaceName(of: vps, note, plan)
        let socket = try NetlinkSocket(.netfilter)
        var numbers: [UInt64] = []
        for counter in TrafficCounter.allCases {
            guard let (bytes, packets) = try socket.counter(note.family, table, counter.object(port)) else {
                return (port, nil)
            }
            numbers += [bytes, packets]
        }
        return (port, numbers)
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
