internal import CMnl
internal import Kernel
public import Model

// Addresses, ports and MACs that a VPS can't have, since the host, its operator or another VPS has them. What VPSs of this root have,
// the registry says.
extension HostNetwork {
    /// - Parameter item: as the registry has it.
    static func isTaken(_ item: String, by owner: String) -> CtrError {
        let name = item.hasPrefix("mac-") ? "MAC \(item.dropFirst(4))" : item
        return CtrError(.cannotCreate, "network: \(title(of: owner)) has \(name) (choose another)", step: "network")
    }

    /// One MAC is for one VPS, whether it was given or made up.
    func refuseMAC(
        _ note: AddressRegistry.Note, beside before: AddressRegistry.Note?, _ port: String,
        _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        if let before, note.mac == before.mac, note.claimsMAC == before.claimsMAC { return }
        let item = note.mac.registryName
        func refuse(_ owner: String) throws(CtrError) {
            if HostNetwork.owner(of: owner) != HostNetwork.owner(of: port) {
                throw HostNetwork.isTaken(item, by: owner)
            }
        }
        if let owner = try registry.owner(of: item) { try refuse(owner) }
        // Those that were made up are in notes alone: an ordinary start does without a claim more.
        guard note.claimsMAC else { return }
        for owner in try registry.all() where try registry.note(of: owner)?.mac == note.mac { try refuse(owner) }
    }

    /// What a VPS that runs is to have from its next start on: nothing is claimed yet, but what another VPS has is refused now.
    public func refuseOthers(_ config: VPSConfig) throws(CtrError) {
        let registry = try registry()
        let before = try registry.note(of: config.name)
        let note = AddressRegistry.Note(try wanted(config, before, plan(registry), registry))
        try refuseMAC(note, beside: before, config.name, registry)
        for item in note.items {
            guard let owner = try registry.owner(of: item) else { continue }
            if HostNetwork.owner(of: owner) != HostNetwork.owner(of: config.name) {
                throw HostNetwork.isTaken(item, by: owner)
            }
        }
    }

    /// Nor those that no host can have: of an uplink's network its own address, and the one for all.
    func refuseTheHostsOwn(_ addresses: [IPAddress], _ socket: NetlinkSocket) throws(CtrError) {
        let own = try socket.addresses().map(\.address)
        for address in addresses {
            if own.contains(where: { $0.address == address }) { throw isTheHosts(address, "") }
            for network in own where network.address.width - network.bits > 1 {
                let isAll = !address.isIPv6 && address == network.last
                if !isAll, address != network.network { continue }
                throw CtrError(
                    .cannotCreate,
                    "--ip \(address): the \(isAll ? "broadcast " : "")address of the host's network "
                        + "\(CIDR(network.network, network.bits)) itself (choose another)", step: "network")
            }
        }
    }

    /// For a port of an operator's bridge.
    func refuseTheHostsOwn(
        _ network: ClaimedNetwork, on bridge: Int32, of port: String, _ socket: NetlinkSocket
    ) throws(CtrError) {
        if network.addresses.isEmpty { return }
        let own = try socket.addresses()
        for address in network.addresses.map(\.address) {
            // A link-local one is another on each link.
            let isThere = own.contains {
                $0.address.address == address
                    && (!HostNetwork.linkLocal.contains(address) || $0.index == UInt32(bitPattern: bridge))
            }
            if isThere { throw isTheHosts(address, port) }
        }
    }

    private static let linkLocal = CIDR(hostLinkLocal, 10)

    /// - Parameter port: what is of eth0 has an option of its own.
    private func isTheHosts(_ address: IPAddress, _ port: String) -> CtrError {
        let interface = HostNetwork.guestInterface(of: port)
        let option = interface == HostNetwork.guestInterface ? "--ip " : "--interface \(interface):ip="
        return CtrError(
            .cannotCreate, "\(option)\(address): the host itself has this address (choose another)", step: "network")
    }

    /// Those that somebody else has routed as single ones.
    func refuseRouted(_ addresses: [IPAddress], _ socket: NetlinkSocket) throws(CtrError) {
        let routes = try socket.routes(toAll: addresses)
        if routes.isEmpty { return }
        let links = try socket.links()
        for route in routes {
            let link = links.first { UInt32(bitPattern: $0.index) == route.index }
            if let link, isOurs(link) { continue }
            var (place, way) = (
                link.map { " over \($0.name.escaped)" } ?? "",
                "remove the route: ip \(route.address.isIPv6 ? "-6 " : "")route del \(route.address)"
            )
            if let link, let other = HostNetwork.port(byAlias: link.alias) {
                place += ", to '\(link.alias.escaped)'"
                way = "destroy \(HostNetwork.title(of: other)) of that ctr root"
            }
            throw CtrError(
                .cannotCreate,
                "--ip \(route.address): the host has a route to this address\(place) (choose another, or \(way))",
                step: "network")
        }
    }

    /// Those that the host answers for, where this was not for the VPS.
    func refuseAnswered(
        _ addresses: [IPAddress], but own: ProxyAnswers?, _ socket: NetlinkSocket
    ) throws(CtrError) {
        for found in try socket.proxies(ofAny: addresses) where own?.all.contains(found) != true {
            let link = try socket.links().first { $0.index == found.index }
            let name = link?.name.escaped ?? "an interface"
            throw CtrError(
                .cannotCreate,
                "--ip \(found.address): the host answers for this address on \(name), and not for this VPS (choose another, or "
                    + "remove that: ip neigh del proxy \(found.address) dev \(name))", step: "network")
        }
    }
}

extension NetlinkSocket {
    /// The routes of the main table that lead to one of these alone; index 0: to no interface, or to several.
    func routes(toAll addresses: [IPAddress]) throws(CtrError) -> [(address: IPAddress, index: UInt32)] {
        var found: [(address: IPAddress, index: UInt32)] = []
        for six in [false, true] where addresses.contains(where: { $0.isIPv6 == six }) {
            let batch = NetlinkBatch()
            batch.add(RTM_GETROUTE, NLM_F_DUMP, what: "list of routes", acknowledge: false) { message in
                var fixed = rtmsg()
                fixed.rtm_family = six ? 10 : 2
                message.put(fixed)
            }
            // A router's list has a million of others.
            let answers = try ask(batch, dump: true) { answer in
                guard answer.type == RTM_NEWROUTE, let fixed = answer.fixed(rtmsg.self) else { return false }
                return fixed.rtm_dst_len == (six ? 128 : 32) && fixed.rtm_table == UInt8(RT_TABLE_MAIN.rawValue)
                    && fixed.rtm_flags & UInt32(RTM_F_CLONED) == 0
            }
            for answer in answers ?? [] {
                let attributes = answer.attributes(after: rtmsg.self)
                guard let address = attributes.first(Int(RTA_DST.rawValue))?.address, addresses.contains(address) else {
                    continue
                }
                found.append((address, attributes.first(Int(RTA_OIF.rawValue))?.u32 ?? 0))
            }
        }
        return found
    }

    /// Where the host answers for some of these.
    func proxies(ofAny addresses: [IPAddress]) throws(CtrError) -> [ProxyAnswers.Answer] {
        let batch = NetlinkBatch()
        batch.add(RTM_GETNEIGH, NLM_F_DUMP, what: "list of addresses answered for", acknowledge: false) { message in
            var fixed = ndmsg()
            fixed.ndm_flags = UInt8(NTF_PROXY)
            message.put(fixed)
        }
        return try ask(batch, dump: true)?.compactMap { answer in
            guard answer.type == RTM_NEWNEIGH, let fixed = answer.fixed(ndmsg.self),
                fixed.ndm_flags & UInt8(NTF_PROXY) != 0,
                let address = answer.attributes(after: ndmsg.self).first(NDA_DST)?.address, addresses.contains(address)
            else { return nil }
            return ProxyAnswers.Answer(address: address, index: fixed.ndm_ifindex)
        } ?? []
    }
}
