internal import Kernel
public import Model

/// What a VPS has on its network.
public struct ClaimedNetwork: Sendable, Equatable {
    public var choice: NetworkChoice
    public var mac: MACAddress
    /// See ``AddressRegistry/Note/claimsMAC``.
    var claimsMAC: Bool
    /// With their networks, as the interface inside gets them.
    public var addresses: [CIDR]
    /// The ways out; nil where there is none.
    public var gateways: [IPAddress]
    public var published: [PublishedPort]
    public var rateIn: Int64?
    public var rateOut: Int64?
}

// Addresses: who has which.
extension HostNetwork {
    /// The addresses of a VPS: those that it has, else those that its configuration says, else (`nat`) the next free ones of the
    /// pool. It keeps them until ``release(_:)``.
    ///
    /// The VPS's directory must exist before: ``reclaim()`` frees what belongs to directories that are gone.
    /// - Parameter durable: the claim survives a loss of power. Not needed for an ephemeral VPS.
    /// - Throws: `cannotCreate` for an address or a MAC that another VPS has, `unavailable` where the pool is used up.
    public func claim(_ config: VPSConfig, durable: Bool) throws(CtrError) -> ClaimedNetwork {
        let registry = try registry()
        try mendRename(of: config.name, registry)
        let plan = try plan(registry)
        let before = try registry.note(of: config.name)
        try takeBack(config.name, before, plan, registry)
        let network = try wanted(config, before, plan, registry)
        let note = AddressRegistry.Note(network)
        try refuseMAC(note, beside: before, config.name, registry)
        if let before, interfaceName(of: config.name, before, plan) != interfaceName(of: config.name, note, plan),
            var totals = try registry.totals(of: config.name)
        {
            // From now on another may have that interface, and its counts.
            totals.port = "-"
            try registry.write(totals, of: config.name)
        }
        // What a killed one left: the next who has such an address is answered for anew.
        if before?.kind == .routed, note != before { try answerNoMore(config.name, registry, NetlinkSocket()) }
        try enlist(config.name, registry)
        // First the note, then what it tells of: a claim that is cut short is found.
        if note != before { try registry.write(note, of: config.name) }
        for item in before?.items ?? [] where !note.items.contains(item) { try registry.release(item, of: config.name) }
        for item in note.items where try !registry.claim(item, for: config.name) {
            let owner = try registry.owner(of: item) ?? "another"
            // One that goes from port to port of a VPS: what it leaves is claimed anew after this, or given back.
            if HostNetwork.owner(of: owner) == HostNetwork.owner(of: config.name) {
                try registry.release(item, of: owner)
                if try registry.claim(item, for: config.name) { continue }
            }
            // Only what is truly its own may stay in the note: by it all is taken away again.
            try giveUp(note, before, config.name, registry)
            throw HostNetwork.isTaken(item, by: owner)
        }
        if durable, note != before { try registry.sync() }
        return network
    }

    /// What a VPS is to have by its configuration and by what it has now; nothing is claimed.
    func wanted(
        _ config: VPSConfig, _ before: AddressRegistry.Note?, _ plan: NetworkPlan,
        _ registry: borrowing AddressRegistry
    ) throws(CtrError) -> ClaimedNetwork {
        let own = config.onNetwork
        var mac = own.mac ?? plan.mac(of: config.name)
        var addresses = try addresses(config, plan)
        if config.network == .nat, addresses.isEmpty {
            let found = try slot(config.name, before, plan, registry)
            if own.mac == nil, let slot = plan.slot(of: found) { mac = plan.mac(ofSlot: slot) }
            addresses = found.map { CIDR($0, plan.bits(of: $0)) }
        }
        return ClaimedNetwork(
            choice: config.network, mac: mac, claimsMAC: own.mac != nil, addresses: addresses,
            gateways: gateways(config, plan, addresses.map(\.address)), published: own.published,
            rateIn: own.rateIn, rateOut: own.rateOut)
    }

    /// What the operator asked for, with networks filled in; empty where the pool is to say.
    private func addresses(_ config: VPSConfig, _ plan: NetworkPlan) throws(CtrError) -> [CIDR] {
        var result: [CIDR] = []
        for asked in config.onNetwork.addresses {
            guard config.network == .nat else {
                // Of a link of two all others are behind the host.
                result.append(config.network == .routed ? CIDR(asked.address, asked.address.width) : asked)
                continue
            }
            let subnet = asked.address.isIPv6 ? plan.subnet6 : plan.subnet4
            let taken = [subnet.network, subnet.last, plan.gateway4, plan.gateway6]
            guard subnet.contains(asked.address), !taken.contains(asked.address) else {
                throw CtrError(
                    .usage,
                    "--ip \(asked.address): not one for VPSs of the bridge's network \(subnet) (leave it out for the next free one)",
                    step: "network")
            }
            result.append(CIDR(asked.address, subnet.bits))
        }
        return result
    }

    func gateways(_ config: VPSConfig, _ plan: NetworkPlan, _ addresses: [IPAddress]) -> [IPAddress] {
        switch config.network {
        case .none, .host: []
        case .bridge: config.onNetwork.gateways
        case .nat: [plan.gateway4, plan.gateway6].filter { gate in addresses.contains { $0.isIPv6 == gate.isIPv6 } }
        // Of a link of two neither needs an address of its own there.
        case .routed:
            [HostNetwork.routedGateway4, HostNetwork.hostLinkLocal].filter { gate in
                addresses.contains { $0.isIPv6 == gate.isIPv6 }
            }
        }
    }

    /// Link-local addresses, of which every routed VPS sees the host at the same one.
    static let routedGateway4 = IPAddress(bytes: [169, 254, 1, 1])
    static let hostLinkLocal = IPAddress(bytes: [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1])

    /// The addresses that it had, where they are still of this plan; else those of the first free slot from the one on that its
    /// name leads to.
    private func slot(
        _ vps: String, _ before: AddressRegistry.Note?, _ plan: NetworkPlan, _ registry: borrowing AddressRegistry
    ) throws(CtrError) -> [IPAddress] {
        if let had = before?.addresses, had.count == 2, plan.subnet4.contains(had[0]), plan.subnet6.contains(had[1]) {
            return had
        }
        for round in 0..<2 {
            // Names that ctr made up come only once: they share the first slots. Not the very first, which the one before has
            // just left: to wait until the kernel has taken away its interface costs 20 ms.
            let first = UInt64(CurrentProcess.pid) % min(HostNetwork.sharedSlots, plan.room)
            let start = vps.hasPrefix("run-") ? first : NetworkPlan.hash(vps) % plan.room
            for step in 0..<plan.room {
                let slot = (start + step) % plan.room
                let addresses = plan.addresses(slot)
                var isFree = true
                for item in addresses.map({ "\($0)" }) + [plan.mac(ofSlot: slot).registryName] {
                    if let owner = try registry.owner(of: item), owner != vps { isFree = false }
                }
                if isFree { return addresses }
            }
            if round == 0 { _ = try reclaim(registry) }
        }
        throw CtrError(
            .unavailable,
            "network: all \(plan.room) addresses of \(plan.subnet4) are in use (destroy a VPS, or set a wider network.subnet)",
            step: "network")
    }

    /// Where ephemeral VPSs look first; what the filter knows of these stays.
    private static let sharedSlots: UInt64 = 64

    /// What a VPS has, if it has an interface.
    public func lookup(_ vps: String) throws(CtrError) -> (mac: MACAddress, addresses: [IPAddress])? {
        guard let registry = try AddressRegistry.open(directory, make: false), let note = try registry.note(of: vps)
        else { return nil }
        return (note.mac, note.addresses)
    }

    /// Gives back all that a VPS had, its interfaces on the host included. Nothing there is no error.
    public func release(_ vps: String) throws(CtrError) {
        guard let registry = try registry(mending: vps) else { return }
        let ports = try ports(of: vps, registry)
        for port in ports { try release(port, keepingTotals: false, registry) }
        if ports.count > 1 { try registry.forgetFurther(of: vps) }
    }

    /// As ``release(_:)``, of one interface.
    /// - Parameter keepingTotals: the VPS is still there, and what it has sent and received is not forgotten.
    public func release(port: String, keepingTotals: Bool) throws(CtrError) {
        guard let registry = try registry(mending: port) else { return }
        try release(port, keepingTotals: keepingTotals, registry)
    }

    private func release(
        _ vps: String, keepingTotals: Bool, _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        if !keepingTotals { try registry.forgetTotals(of: vps) }
        guard let note = try registry.note(of: vps) else { return }
        let plan = try registry.plan()
        try takeBack(vps, note, plan, registry)
        if keepingTotals { try count(note, vps, plan, registry, dropped: nil) }
        try takeAway(note, vps, registry, plan: plan, ended: true)
        try release(note, vps, registry)
    }

    /// A VPS that ended keeps its addresses, and nothing else.
    /// - Parameter uncounted: told why what went over its interface can't be added to its totals, on a full disk: that must
    ///   keep no VPS from its end.
    public func detach(_ vps: String, uncounted: (CtrError) -> Void) throws(CtrError) {
        guard let registry = try registry(mending: vps) else { return }
        var hadOne = false
        for port in try ports(of: vps, registry) {
            guard let note = try registry.note(of: port) else { continue }
            hadOne = true
            let plan = try registry.plan()
            try takeBack(port, note, plan, registry)
            // The filter still knows, though the interface has gone.
            do throws(CtrError) { try count(note, port, plan, registry, dropped: nil) } catch { uncounted(error) }
            try takeAway(note, port, registry, plan: plan, ended: true)
        }
        // What was counted survives a loss of power.
        if hadOne { try registry.unlockAndSync() }
    }

    private func release(
        _ note: AddressRegistry.Note, _ vps: String, _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        for item in note.items { try registry.release(item, of: vps) }
        try registry.forget(vps)
    }

    /// A claim that failed: what there was before stands again, as far as it is still there.
    private func giveUp(
        _ note: AddressRegistry.Note, _ before: AddressRegistry.Note?, _ vps: String,
        _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        for item in note.items where before?.items.contains(item) != true { try registry.release(item, of: vps) }
        guard let before else { return try registry.forget(vps) }
        for item in before.items { _ = try registry.claim(item, for: vps) }
        try registry.write(before, of: vps)
    }

    /// Frees what belongs to VPSs whose directory is gone; returns their names.
    public func reclaim() throws(CtrError) -> [String] {
        guard let registry = try AddressRegistry.open(directory, make: false) else { return [] }
        return try reclaim(registry)
    }

    private func reclaim(_ registry: borrowing AddressRegistry) throws(CtrError) -> [String] {
        // A disk that is only not mounted keeps its VPSs' addresses.
        let all: FD
        do throws(SysError) { all = try open("\(root)/vps", [.path, .directory]) } catch { return [] }
        func isGone(_ port: String) -> Bool {
            let vps = HostNetwork.owner(of: port)
            do throws(SysError) { _ = try all.open(vps, [.path, .noFollow]) } catch {
                return error.errno == Errno.noEntry
            }
            return false
        }
        var freed: [String] = []
        for old in try registry.renamed() { try mendRename(of: old, registry) }
        for vps in try registry.all() where isGone(vps) {
            if let note = try registry.note(of: vps) {
                try takeBack(vps, note, registry.plan(), registry)
                try takeAway(note, vps, registry, plan: try registry.plan())
                try release(note, vps, registry)
            }
            let owner = HostNetwork.owner(of: vps)
            if freed.last != owner { freed.append(owner) }
        }
        for vps in try registry.counted() where isGone(vps) { try registry.forgetTotals(of: vps) }
        for claim in try registry.claims() where isGone(claim.vps) {
            try registry.release(claim.item, of: claim.vps)
        }
        for vps in try registry.withFurther() where isGone(vps) { try registry.forgetFurther(of: vps) }
        return freed
    }

    /// The plan of this root, chosen now where there is none.
    func plan(_ registry: borrowing AddressRegistry) throws(CtrError) -> NetworkPlan {
        if let plan = try registry.plan() {
            let wanted = [settings.subnet, settings.subnet6]
            let same = zip(wanted, [plan.subnet4, plan.subnet6]).allSatisfy { asked, has in
                asked.map { CIDR($0.network, $0.bits) == has } ?? true
            }
            if same { return plan }
            // Addresses of VPSs with --net routed or bridge= are not of the plan.
            let inPlan = try registry.claims().first { claim in
                IPAddress(claim.item).map { plan.subnet4.contains($0) || plan.subnet6.contains($0) } ?? false
            }
            if let vps = inPlan {
                throw CtrError(
                    .config,
                    "settings: network.subnet: VPS \(vps.vps.escaped) has an address of \(plan.subnet4) (destroy the VPSs of "
                        + "--net nat first, or set network.subnet back)", step: "network")
            }
            try countAll(plan, registry)
            try removeBridge()
            try countFromZero(registry)
        }
        let socket = try NetlinkSocket()
        let taken = try socket.addresses().map(\.address) + socket.routes().map(\.network)
        // Name servers are often on a network that only the default route tells of.
        let servers = HostResolver.servers().map { CIDR($0, $0.width) }
        let plan = try NetworkPlan(settings, taken: taken.filter { $0.bits > 0 } + servers)
        try registry.record(plan)
        return plan
    }
}

extension NetworkPlan {
    func bits(of address: IPAddress) -> Int { address.isIPv6 ? subnet6.bits : subnet4.bits }
}

extension NetworkChoice {
    /// Of one that has an interface.
    var kind: AddressRegistry.Note.Kind {
        switch self {
        case .routed: .routed
        case .bridge: .bridge
        case .nat, .none, .host: .nat
        }
    }
}
