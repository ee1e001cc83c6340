internal import Kernel
public import Model

// The interface of one VPS.
extension HostNetwork {
    /// The name of the first interface inside.
    public static let guestInterface = "eth0"

    /// Makes a VPS's interface and sets it up on both sides, in a VPS whose first process has not executed its program yet.
    /// - Parameters:
    ///   - network: as ``claim(_:durable:)`` returned it.
    ///   - pid: of a process in its network namespace, which the caller keeps from being reaped.
    ///   - closed: the host's end stays down, and nothing says where its addresses are, until ``openPort(_:_:pid:)``.
    public func attach(_ vps: String, _ network: ClaimedNetwork, pid: Int32, closed: Bool = false) throws(CtrError) {
        let namespace = try self.namespace(of: vps, pid)
        let socket = try NetlinkSocket()
        let plan = try currentPlan()
        let note = AddressRegistry.Note(network)
        let name = interfaceName(of: vps, note, plan)
        var pair = VethPair(
            name: name, mac: HostNetwork.hostMAC, peerName: HostNetwork.guestInterface(of: vps), peerMAC: network.mac,
            master: nil,
            alias: alias(of: vps), mtu: nil)
        switch network.choice {
        case .nat:
            pair.master = try ensureBridge(plan, socket)
        case .bridge(let name):
            let bridge = try foreignBridge(name, of: vps, socket)
            try refuseTheHostsOwn(network, on: bridge, of: vps, socket)
            pair.master = bridge
        case .routed: try requireRouting(network, of: vps, registry(), socket)
        case .none, .host: return
        }
        try make(pair, isSlot: note.slot(plan) != nil, into: namespace, closed: closed, socket)
        do throws(CtrError) {
            try place(pair, socket)
            try admit(note, vps, plan)
            forgetConversations(with: note.published, of: note.addresses)
            let registry = try registry()
            // What is there is its own of before, or of one that had the slot before it.
            try count(note, vps, plan, registry, dropped: 0)
            if network.choice == .routed, !closed { try route(network, of: vps, over: name, registry, socket) }
            _ = consume registry
            if let rate = network.rateIn { try shape(name, rate, socket) }
            let guest = try configure(network, pair.peerName, in: namespace)
            if !closed { try announce(network, by: guest, in: namespace, over: name, socket) }
        } catch {
            // Whoever started it releases or detaches, but what it makes must never outlive an error.
            if let registry = try? registry() { try? takeAway(note, vps, registry, plan: plan) }
            throw error
        }
    }

    /// Lets packets through an interface that was attached closed.
    public func openPort(_ vps: String, _ network: ClaimedNetwork, pid: Int32) throws(CtrError) {
        let namespace = try self.namespace(of: vps, pid)
        let name = interfaceName(of: vps, AddressRegistry.Note(network), try currentPlan())
        let socket = try NetlinkSocket()
        let batch = NetlinkBatch()
        batch.setUp(name)
        try socket.carryOut(batch)
        if network.choice == .routed { try route(network, of: vps, over: name, registry(), socket) }
        let peer = HostNetwork.guestInterface(of: vps)
        guard let guest = try NetlinkSocket.inside(namespace).link(peer) else {
            throw CtrError(.failed, "network: interface \(peer) of the VPS has gone", step: "network")
        }
        try announce(network, by: guest, in: namespace, over: name, socket)
    }

    public func isPortOpen(_ vps: String, _ network: ClaimedNetwork) throws(CtrError) -> Bool {
        let name = interfaceName(of: vps, AddressRegistry.Note(network), try currentPlan())
        return try NetlinkSocket().link(name)?.isUp == true
    }

    private func namespace(of vps: String, _ pid: Int32) throws(CtrError) -> FD {
        try describing("network namespace of VPS \(vps)", code: .failed, step: "network") { () throws(SysError) in
            try Kernel.open("/proc/\(pid)/ns/net", .readOnly)
        }
    }

    private func announce(
        _ network: ClaimedNetwork, by guest: Link, in namespace: borrowing FD, over port: String,
        _ socket: NetlinkSocket
    ) throws(CtrError) {
        guard case .bridge(let bridge) = network.choice, !network.addresses.isEmpty,
            try socket.awaitForwarding(of: port, to: bridge)
        else { return }
        try announce(network.addresses.map(\.address), by: guest, in: namespace)
    }

    /// That of the host's end; a bridge with many ports of the same is content.
    static let hostMAC = MACAddress(bytes: [0xfe, 0x63, 0x74, 0x72, 0x00, 0x01])

    private func currentPlan() throws(CtrError) -> NetworkPlan {
        let registry = try registry()
        return try plan(registry)
    }

    private func make(
        _ pair: VethPair, isSlot: Bool, into namespace: borrowing FD, closed: Bool, _ socket: NetlinkSocket
    ) throws(CtrError) {
        for isSecond in [false, true] {
            let batch = NetlinkBatch()
            batch.add(pair, into: namespace)
            batch.set(alias: pair.alias, of: pair.name)
            batch.setNoIPv6(of: pair.name)
            if pair.master != nil { batch.setSilent(port: pair.name) }
            if !closed { batch.setUp(pair.name) }
            // Without IPv6 in the kernel there is nothing to turn off.
            let refusals = try socket.send(batch).filter { !$0.what.hasPrefix("IPv6") || HostSysctl.hasIPv6 }
            guard let refusal = refusals.first else { return }
            // What a VPS of this name left that ended a moment ago, or whose ctr was killed.
            if !isSecond, refusal.errno == Errno.exists, let there = try socket.link(pair.name),
                there.alias == pair.alias
            {
                try NetworkUndo.remove(pair.name, socket)
                continue
            }
            if refusal.errno == Errno.exists {
                throw refusal.error(.unavailable, hint: "an interface of this name is there, and not of this VPS")
            }
            try? NetworkUndo.remove(pair.name, socket)
            throw refusal.error()
        }
    }

    /// The port is to know its VPS's MAC without learning it.
    private func place(_ pair: VethPair, _ socket: NetlinkSocket) throws(CtrError) {
        guard pair.master != nil, let link = try socket.link(pair.name) else { return }
        let batch = NetlinkBatch()
        batch.add(place: pair.peerMAC, at: link.index)
        try socket.carryOut(batch)
    }

    /// What the filter lets through.
    private func admit(_ note: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan) throws(CtrError) {
        for isSecond in [false, true] {
            let refusal = try add(taking: note.published, for: note.addresses) { change in
                elements(of: note, vps, plan, in: change)
            }
            guard let refusal else { return }
            // It was never made, or somebody took the table away.
            if !isSecond, refusal.errno == Errno.noEntry {
                try installFilter(
                    plan,
                    unless: { () throws(CtrError) in
                        let again = FilterChange.adding(to: table)
                        elements(of: note, vps, plan, in: again)
                        return try again.commit() == nil
                    })
                continue
            }
            throw refusal.error()
        }
    }

    private func installFilter(_ plan: NetworkPlan, unless isThere: () throws(CtrError) -> Bool) throws(CtrError) {
        // Of two that find it missing one makes it: the other's elements would go with the table.
        let registry = try registry()
        if try !isThere() { try install(plan, registry) }
    }

    /// Makes the filter anew, with all VPSs that have an interface.
    func install(_ plan: NetworkPlan, _ registry: borrowing AddressRegistry) throws(CtrError) {
        try registry.beginFilter()
        try countAll(plan, registry)
        try filter(plan).install()
        try countFromZero(registry)
        let names = Set(try NetlinkSocket().links().map(\.name))
        var first: CtrError?
        for vps in try registry.all() {
            guard let note = try registry.note(of: vps),
                names.contains(interfaceName(of: vps, note, plan))
            else { continue }
            let change = FilterChange.adding(to: table)
            elements(of: note, vps, plan, in: change)
            // One that is refused leaves the others no less than theirs.
            if let refusal = try change.commit() { first = first ?? refusal.error() }
            forgetConversations(with: note.published, of: note.addresses)
        }
        try registry.finishFilter()
        if let first { throw first }
    }

    /// What has been killed at that is done again, as well as may be: it is no reason for another verb to fail.
    func mendFilter(_ registry: borrowing AddressRegistry) throws(CtrError) {
        guard try registry.isFilterUnfinished(), let plan = try registry.plan() else { return }
        try? install(plan, registry)
    }

    /// All that the filter knows of one VPS.
    /// - Parameter slots: also what is true of a slot whoever has it.
    func elements(
        of note: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan?, slots: Bool = true, in change: FilterChange
    ) {
        for published in note.published { publish(published, note.addresses, in: change) }
        let name = interfaceName(of: vps, note, plan)
        let port = FilterChange.Key().interface(name)
        if let rate = note.rateOut { change.limit(note.family, "rates", port, name, rate) }
        if note.slot(plan) != nil, !slots { return }
        let what = "packet filter of VPS \(vps)"
        change.counters(note.family, name)
        if note.kind == .routed {
            for address in note.addresses {
                change.element(.inet, address.isIPv6 ? "routed6" : "routed4", port.address(address), what: what)
            }
            return change.element(.inet, "routed", port, what: what)
        }
        change.element(.bridge, "ports", port, what: what)
        // Nobody said which: it asks for one by itself.
        if note.addresses.isEmpty { return change.element(.bridge, "macs", port.mac(note.mac), what: what) }
        for address in note.addresses + [note.mac.linkLocal] {
            let own = port.mac(note.mac).address(address)
            change.element(.bridge, address.isIPv6 ? "own6" : "own4", own, what: what)
            if address.isIPv6 { change.element(.bridge, "targets6", own, what: what) }
        }
    }

    func publish(_ published: PublishedPort, _ addresses: [IPAddress], in change: FilterChange) {
        for six in [false, true] where published.address.map({ $0.isIPv6 == six }) ?? true {
            guard let target = addresses.first(where: { $0.isIPv6 == six }) else { continue }
            let start = published.address.map { FilterChange.Key().address($0) } ?? FilterChange.Key()
            change.element(
                .inet, "publish\(six ? "6" : "4")\(published.address == nil ? "" : "at")",
                start.transport(udp: published.isUDP).port(published.hostPort),
                value: FilterChange.Key().address(target).port(published.guestPort), what: "--publish \(published)")
        }
    }

    /// The side of the VPS: its address and ways, in its own network namespace.
    private func configure(
        _ network: ClaimedNetwork, _ name: String, in namespace: borrowing FD
    ) throws(CtrError) -> Link {
        let socket = try NetlinkSocket.inside(namespace)
        guard let link = try socket.link(name) else {
            throw CtrError(.failed, "network: interface \(name) of the VPS has gone", step: "network")
        }
        try socket.carryOut(settings(network, of: link))
        return link
    }

    /// Addresses and ways of the interface inside. What is there already is no error.
    func settings(_ network: ClaimedNetwork, of link: Link) -> NetlinkBatch {
        let six = HostSysctl.hasIPv6
        let batch = NetlinkBatch()
        // Before it comes up: what it then says of itself is of these.
        for address in network.addresses where six || !address.address.isIPv6 { batch.add(address, to: link.index) }
        batch.setUp(link.name)
        for gateway in network.gateways where six || !gateway.isIPv6 {
            batch.add(
                route: .all(six: gateway.isIPv6), gateway: gateway, onLink: network.choice == .routed, over: link.index)
        }
        return batch
    }

    /// Takes away all that the host has of a VPS's interface. What is not there is no error.
    /// - Parameter ended: its last process is gone, and with it, in a moment, its network namespace and both ends of the interface: the
    ///   kernel does that by itself, while to be told costs 20 ms of waiting. Should something hold the namespace, whoever
    ///   comes to the slot next takes the interface away: see ``make(_:isSlot:into:_:)``.
    func takeAway(
        _ note: AddressRegistry.Note, _ vps: String, _ registry: borrowing AddressRegistry, plan: NetworkPlan?,
        ended: Bool = false
    ) throws(CtrError) {
        try dismiss(note, vps, plan, slots: false)
        let slot = note.slot(plan)
        if ended, slot != nil { return }
        let name = interfaceName(of: vps, note, plan)
        let socket = try NetlinkSocket()
        if let link = try socket.link(name), isOurs(link) { try NetworkUndo.remove(name, socket) }
        if note.kind == .routed { try answerNoMore(vps, registry, socket) }
    }
}

// Taking away what the filter knows.
extension HostNetwork {
    /// Out with a VPS's elements; those that are not there are no error.
    func dismiss(
        _ note: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan?, slots: Bool
    ) throws(CtrError) {
        let change = FilterChange.removing(from: table)
        elements(of: note, vps, plan, slots: slots, in: change)
        guard !change.isEmpty, let refusal = try change.commit(), refusal.errno == Errno.noEntry else { return }
        // Half of it is there at most: one after another.
        for number in 0..<change.count {
            let single = FilterChange.removing(from: table)
            single.only(number) { self.elements(of: note, vps, plan, slots: slots, in: single) }
            _ = try single.commit()
        }
    }
}

extension AddressRegistry.Note {
    init(_ network: ClaimedNetwork) {
        self.init(network.choice.kind, mac: network.mac)
        claimsMAC = network.claimsMAC
        rateOut = network.rateOut
        addresses = network.addresses.map(\.address)
        published = network.published
    }
}

extension CIDR {
    /// What a default route leads to.
    static func all(six: Bool) -> CIDR { CIDR(IPAddress(bytes: [UInt8](repeating: 0, count: six ? 16 : 4)), 0) }
}

extension MACAddress {
    /// The link-local address that a Linux makes of it (RFC 4291, appendix A).
    var linkLocal: IPAddress {
        let tail = [bytes[0] ^ 2, bytes[1], bytes[2], 0xff, 0xfe, bytes[3], bytes[4], bytes[5]]
        return IPAddress(bytes: [0xfe, 0x80, 0, 0, 0, 0, 0, 0] + tail)
    }
}

extension NetlinkSocket {
    /// A socket of another network namespace; this process is in its own again when it returns.
    static func inside(_ namespace: borrowing FD) throws(CtrError) -> NetlinkSocket {
        try within(namespace) { () throws(CtrError) in try NetlinkSocket() }
    }

    /// Runs a block in another network namespace, and returns to this process's own.
    static func within<Result: ~Copyable>(
        _ namespace: borrowing FD, _ body: () throws(CtrError) -> Result
    ) throws(CtrError) -> Result {
        let own = try describing("network namespace", code: .failed, step: "network") { () throws(SysError) in
            let own = try open("/proc/self/ns/net", .readOnly)
            try namespace.join(.network)
            return own
        }
        let result: Result
        do throws(CtrError) { result = try body() } catch {
            try? own.join(.network)
            throw error
        }
        try describing("return to the host's network", code: .failed, step: "network") { () throws(SysError) in
            try own.join(.network)
        }
        return result
    }
}
