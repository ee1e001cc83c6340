internal import Kernel
internal import Model

/// The networks of one ctr root on this host: its bridge, its packet filter, its addresses.
///
/// Values of this type hold nothing; what there is lies in the kernel and in `$CTR_ROOT/network` (``AddressRegistry``).
public struct HostNetwork: Sendable {
    /// `$CTR_ROOT`.
    let root: String
    let settings: NetworkSettings
    /// The interface of the bridge of `--net nat`.
    public let bridge: String
    /// Of the packet filter, in the families inet and bridge.
    public let table: String

    /// - Parameters:
    ///   - root: `$CTR_ROOT`, absolute, always spelled the same way.
    ///   - isStandard: it is the root that has no other beside it; others get names of their own.
    public init(root: String, isStandard: Bool, settings: NetworkSettings = NetworkSettings()) {
        self.root = root
        self.settings = settings
        // Short: a port's name, the bridge's with a number, has 15 bytes.
        let hash = String(NetworkPlan.hash(root), radix: 36).suffix(5)
        bridge = isStandard ? "ctr0" : "ctr-\(hash)"
        table = isStandard ? "ctr" : "ctr-\(hash)"
    }

    var directory: String { "\(root)/network" }

    /// What ctr's own interfaces say of themselves: whose they are.
    var bridgeAlias: String { HostNetwork.alias("ctr bridge of \(root)") }
    func alias(of vps: String) -> String { HostNetwork.alias("ctr \(vps) of \(root)") }

    /// The kernel takes 255 bytes: of a longer one the end is a hash of the whole, so that each VPS's is still its own.
    private static func alias(_ text: String) -> String {
        if text.utf8.count <= 255 { return text }
        let end = "~" + String(NetworkPlan.hash(text), radix: 36)
        var start = text.utf8.prefix(255 - end.utf8.count)
        // Not within a character.
        while String(start) == nil { start = start.dropLast() }
        return String(Substring(start)) + end
    }

    /// An interface of a VPS of this root.
    func isOurs(_ link: Link) -> Bool {
        guard link.kind == "veth", let port = HostNetwork.port(byAlias: link.alias) else { return false }
        return link.alias == alias(of: port)
    }

    /// The port, of this root or another, that an alias names; nil: it is none of ctr's.
    static func port(byAlias alias: String) -> String? {
        let words = alias.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard words.count == 4, words[0] == "ctr", words[2] == "of" else { return nil }
        return String(words[1])
    }

    /// The host's end of a VPS's interface: the same at every start.
    ///
    /// In a slot of the pool it is the slot's: so what the packet filter knows of a slot is true of every VPS that comes to
    /// it and stays when that one goes. To take it away costs the end of a VPS some 10 ms (closing the socket waits for RCU).
    /// All on ctr's own bridge begin with its name and a `p`, by which the filter knows them.
    func interfaceName(of vps: String, _ note: AddressRegistry.Note, _ plan: NetworkPlan?) -> String {
        if let slot = note.slot(plan) { return "\(bridge)p\(String(slot, radix: 36))" }
        let digits = String(NetworkPlan.hash("\(root)/\(vps)"), radix: 36)
        let hash = String(repeating: "0", count: max(0, 12 - digits.count)) + digits
        switch note.kind {
        case .nat: return "\(bridge)p-\(hash.suffix(4))"
        case .bridge: return "\(HostNetwork.portPrefix)\(hash.suffix(11))"
        case .routed: return "ctr\(hash.suffix(12))"
        }
    }

    /// Of the ports of operators' bridges.
    static let portPrefix = "ctrp"

    func filter(_ plan: NetworkPlan) -> Filter {
        Filter(
            table: table, bridge: bridge, subnet4: plan.subnet4, subnet6: plan.subnet6, open: settings.open ?? false,
            services: settings.hostServices ?? [])
    }

    func registry() throws(CtrError) -> AddressRegistry {
        guard let registry = try AddressRegistry.open(directory, make: true) else {
            throw CtrError(.io, "address registry '\(directory.escaped)'")
        }
        try mendFilter(registry)
        return registry
    }
}

/// What /proc/sys says of this host's network.
enum HostSysctl {
    static func isOn(_ name: String) -> Bool {
        guard let bytes = try? open("/proc/sys/net/\(name)", .readOnly).read(upTo: 16) else { return false }
        return bytes.first.map { $0 != UInt8(ascii: "0") } ?? false
    }

    static func set(_ name: String, _ value: String) throws(CtrError) {
        try describing("setting net/\(name) of the host", code: .failed, step: "network") { () throws(SysError) in
            try open("/proc/sys/net/\(name)", .writeOnly).writeAll(Array(value.utf8))
        }
    }

    /// The kernel has IPv6, and it is not turned off for new interfaces.
    static var hasIPv6: Bool {
        (try? open("/proc/sys/net/ipv6/conf/default/disable_ipv6", .readOnly).read(upTo: 4).first == 48) ?? false
    }

    /// - Throws: `unavailable` where the host passes nothing on.
    static func requireForwarding() throws(CtrError) {
        if isOn("ipv4/ip_forward") { return }
        throw CtrError(
            .unavailable,
            "network: this host passes no packets on (turn it on: sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d for "
                + "the next boot; or do without a network: --net none)", step: "network")
    }
}
