internal import Kernel
public import Model

// What can be changed while a VPS runs: its addresses and gateways, its published ports and its rates.
extension HostNetwork {
    /// Whether a running VPS takes on the difference of two configurations at once; another network and another MAC wait for
    /// its next start.
    public static func isLive(_ old: VPSConfig, _ new: VPSConfig) -> Bool {
        old.network == new.network && old.onNetwork.mac == new.onNetwork.mac
    }

    /// Gives a VPS that runs the addresses, ways out, published ports and rates of another configuration. What it keeps is not
    /// touched: connections of those addresses stay. Its MAC stays as well, until its next start.
    /// - Parameters:
    ///   - old: what it runs with; ``isLive(_:_:)``.
    ///   - pid: of a process in its network namespace.
    ///   - isAlive: whether that number is still this process's.
    /// - Throws: `cannotCreate` for an address or a port that another VPS or the host has. After an error all is as it was.
    public func change(
        _ old: VPSConfig, to new: VPSConfig, pid: Int32, isAlive: () -> Bool
    ) throws(CtrError) {
        let vps = new.name
        let registry = try registry()
        guard let before = try registry.note(of: vps) else {
            throw CtrError(.failed, "network: \(HostNetwork.title(of: vps)): is not there", step: "network")
        }
        let plan = try plan(registry)
        let half = try registry.pending(of: vps)
        try takeBack(vps, before, plan, registry)
        let namespace = try describing("network namespace of VPS \(vps)", code: .failed, step: "network") {
            () throws(SysError) in try Kernel.open("/proc/\(pid)/ns/net", .readOnly)
        }
        if !isAlive() { throw CtrError(.failed, "VPS \(vps): has just ended", step: "network") }
        let port = Port(vps: vps, plan: plan, socket: try NetlinkSocket(), namespace: namespace)
        let former = former(old, before, plan)
        if let half { try clear(half.addresses.filter { !before.addresses.contains($0) }, port) }
        var network = try wanted(new, before, plan, registry)
        if network.mac != before.mac { (network.mac, network.claimsMAC) = (before.mac, true) }
        try refuseTaken(network, beside: before, registry, port)
        let after = AddressRegistry.Note(network)
        try claim(after, beside: before, vps, registry)
        do throws(CtrError) {
            // Before anything of the old is gone.
            let known = before.published.map(\.key)
            try take(network.published.filter { !known.contains($0.key) }, for: after.addresses)
            try arrange(port, from: former, to: network, registry, always: half != nil)
        } catch {
            // What of it can't be taken back is told by the error; nothing of it outlives the VPS.
            try? arrange(port, from: network, to: former, registry, always: true)
            try? settle(before, insteadOf: after, vps, registry)
            throw error
        }
        try settle(after, insteadOf: before, vps, registry)
    }

    /// What is new must be free on the host.
    private func refuseTaken(
        _ network: ClaimedNetwork, beside before: AddressRegistry.Note, _ registry: borrowing AddressRegistry,
        _ port: borrowing Port
    ) throws(CtrError) {
        var new = network
        new.addresses.removeAll { before.addresses.contains($0.address) }
        if new.addresses.isEmpty { return }
        switch network.choice {
        case .routed: try requireRouting(new, of: port.vps, registry, port.socket)
        case .bridge(let name):
            let bridge = try foreignBridge(name, of: port.vps, port.socket)
            try refuseTheHostsOwn(new, on: bridge, of: port.vps, port.socket)
        case .nat, .none, .host: break
        }
    }

    /// A VPS's interface while it is changed.
    private struct Port: ~Copyable {
        let vps: String
        let plan: NetworkPlan
        let socket: NetlinkSocket
        let namespace: FD
    }

    /// What a VPS that runs has.
    private func former(_ old: VPSConfig, _ note: AddressRegistry.Note, _ plan: NetworkPlan) -> ClaimedNetwork {
        let addresses = note.addresses.map { address in
            if note.kind == .nat { return CIDR(address, plan.bits(of: address)) }
            return old.onNetwork.addresses.first { note.kind == .bridge && $0.address == address }
                ?? CIDR(address, address.width)
        }
        return ClaimedNetwork(
            choice: old.network, mac: note.mac, claimsMAC: note.claimsMAC, addresses: addresses,
            gateways: gateways(old, plan, note.addresses),
            published: note.published, rateIn: old.onNetwork.rateIn, rateOut: note.rateOut)
    }

    /// Takes back what a change left on the host that was killed. A VPS that runs has no way out until it is changed anew.
    func takeBack(
        _ vps: String, _ note: AddressRegistry.Note?, _ plan: NetworkPlan?, _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        guard let half = try registry.pending(of: vps) else { return }
        if half != note { try dismiss(half, vps, plan, slots: true) }
        if half.kind == .routed { try unroute(half, keeping: note, vps, plan, registry) }
        for claim in try registry.claims() where claim.vps == vps && note?.items.contains(claim.item) != true {
            try registry.release(claim.item, of: vps)
        }
        try registry.forgetPending(of: vps)
    }

    /// Takes addresses away inside that a change gave it which was killed.
    private func clear(_ addresses: [IPAddress], _ port: borrowing Port) throws(CtrError) {
        let socket = try NetlinkSocket.inside(port.namespace)
        guard let link = try socket.link(HostNetwork.guestInterface(of: port.vps)) else { return }
        let gone = NetlinkBatch()
        for address in addresses {
            // IPv6 wants to know of which network; the VPS may be of one of its own or of the pool's.
            for bits in Set([address.width, port.plan.bits(of: address), 64].filter { $0 <= address.width }) {
                gone.remove(CIDR(address, bits), from: link.index)
            }
        }
        // What is not there needs no removal.
        _ = try socket.send(gone)
    }

    /// What is new becomes the VPS's, beside what it has.
    private func claim(
        _ after: AddressRegistry.Note, beside before: AddressRegistry.Note, _ vps: String,
        _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        try registry.write(pending: after, of: vps)
        let new = after.items.filter { !before.items.contains($0) }
        for (index, item) in new.enumerated() where try !registry.claim(item, for: vps) {
            let owner = try registry.owner(of: item) ?? "another"
            for taken in new.prefix(index) { try registry.release(taken, of: vps) }
            try registry.forgetPending(of: vps)
            throw HostNetwork.isTaken(item, by: owner)
        }
    }

    private func settle(
        _ note: AddressRegistry.Note, insteadOf other: AddressRegistry.Note, _ vps: String,
        _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        try registry.write(note, of: vps)
        for item in other.items where !note.items.contains(item) { try registry.release(item, of: vps) }
        try registry.forgetPending(of: vps)
        try registry.sync()
    }

    private func arrange(
        _ port: borrowing Port, from former: ClaimedNetwork, to network: ClaimedNetwork,
        _ registry: borrowing AddressRegistry, always: Bool
    ) throws(CtrError) {
        let (before, after) = (AddressRegistry.Note(former), AddressRegistry.Note(network))
        try count(before, port, registry)
        let name = try named(after, port)
        try exchange(before, after, port, registry)
        try count(after, port, registry)
        if always || former.addresses != network.addresses || former.gateways != network.gateways {
            if network.choice == .routed { try reroute(before, network, port.vps, over: name, registry, port.socket) }
            try configure(network, after: former, port)
        }
        try shape(name, network.rateIn, port.socket)
    }

    private func count(
        _ note: AddressRegistry.Note, _ port: borrowing Port, _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        let dropped = try dropped(at: interfaceName(of: port.vps, note, port.plan), port.socket)
        try count(note, port.vps, port.plan, registry, dropped: dropped)
    }

    /// One that leaves a slot of the pool leaves the slot's name with it: the next VPS there makes an interface of that name.
    private func named(_ note: AddressRegistry.Note, _ port: borrowing Port) throws(CtrError) -> String {
        let name = interfaceName(of: port.vps, note, port.plan)
        let alias = alias(of: port.vps)
        guard let link = try port.socket.links().first(where: { isOurs($0) && $0.alias == alias }) else {
            throw CtrError(.failed, "network: the interface of VPS \(port.vps) has gone", step: "network")
        }
        if link.name == name { return name }
        let batch = NetlinkBatch()
        batch.rename(link.index, to: name)
        // Before Linux 6.2 one that is up can't be renamed.
        if let refusal = try port.socket.send(batch).first {
            guard refusal.errno == Errno.busy else { throw refusal.error() }
            let slow = NetlinkBatch()
            slow.set(up: false, link.index)
            slow.rename(link.index, to: name)
            slow.set(up: true, link.index)
            try port.socket.carryOut(slow)
        }
        return name
    }

    private func take(_ new: [PublishedPort], for addresses: [IPAddress]) throws(CtrError) {
        if new.isEmpty { return }
        let refusal = try add(taking: new, for: addresses) { change in
            for published in new { publish(published, addresses, in: change) }
        }
        // Where there is no table, it is made with all the rest.
        if let refusal, refusal.errno != Errno.noEntry { throw refusal.error() }
    }

    /// Out with the old elements and in with the new; what the VPS sends in between is lost. Ports that it keeps stay.
    private func exchange(
        _ before: AddressRegistry.Note, _ after: AddressRegistry.Note, _ port: borrowing Port,
        _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        var gone = before
        if before.addresses == after.addresses { gone.published.removeAll { after.published.contains($0) } }
        // As it was named: by `before` it had the slot's name until now.
        try dismiss(gone, port.vps, port.plan, slots: true)
        for isSecond in [false, true] {
            let into = FilterChange.adding(to: table)
            elements(of: after, port.vps, port.plan, in: into)
            guard let refusal = try into.commit() else {
                return forgetConversations(with: after.published, of: after.addresses)
            }
            // Somebody took the table away.
            guard !isSecond, refusal.errno == Errno.noEntry else { throw refusal.error() }
            try install(port.plan, registry)
            // That was by its note.
            try dismiss(before, port.vps, port.plan, slots: true)
        }
    }

    /// The side of the VPS: what of its addresses and ways is other than it was. What it has set up by itself stays.
    private func configure(
        _ network: ClaimedNetwork, after former: ClaimedNetwork, _ port: borrowing Port
    ) throws(CtrError) {
        let socket = try NetlinkSocket.inside(port.namespace)
        let name = HostNetwork.guestInterface(of: port.vps)
        guard let link = try socket.link(name) else {
            throw CtrError(.failed, "network: interface \(name) of the VPS has gone", step: "network")
        }
        let gone = NetlinkBatch()
        for gateway in former.gateways where !network.gateways.contains(gateway) {
            gone.remove(route: .all(six: gateway.isIPv6), over: link.index)
        }
        for address in former.addresses where !network.addresses.contains(address) {
            gone.remove(address, from: link.index)
        }
        // The VPS may have taken them away itself.
        _ = try socket.send(gone)
        // All of them, since with the first address of a network the kernel takes away the others of it.
        try socket.carryOut(settings(network, of: link))
        guard case .bridge = network.choice else { return }
        let new = network.addresses.map(\.address).filter { new in !former.addresses.contains { $0.address == new } }
        try announce(new, by: link, in: port.namespace)
    }
}
