internal import Kernel
internal import Model

// --net routed: addresses of the host's own network, by host routes; the host answers for them to its neighbours.
extension HostNetwork {
    /// - Throws: what stands against it, before anything is made.
    func requireRouting(_ network: ClaimedNetwork, _ socket: NetlinkSocket) throws(CtrError) {
        try HostSysctl.requireForwarding()
        if network.addresses.contains(where: \.address.isIPv6), !HostSysctl.isOn("ipv6/conf/all/forwarding") {
            throw CtrError(
                .unavailable,
                "network: this host passes no packets of IPv6 on (turn it on: sysctl -w net.ipv6.conf.all.forwarding=1)",
                step: "network")
        }
        let own = try socket.addresses()
        for address in network.addresses.map(\.address) where own.contains(where: { $0.address.address == address }) {
            throw CtrError(
                .cannotCreate, "--ip \(address): the host itself has this address (choose another)", step: "network")
        }
    }

    /// The host's side: its address on the link of the two, the way to the VPS, and its word for it on the network that
    /// the address is of.
    func route(_ network: ClaimedNetwork, over name: String, _ socket: NetlinkSocket) throws(CtrError) {
        guard let link = try socket.link(name) else {
            throw CtrError(.failed, "network: interface \(name) has gone", step: "network")
        }
        let uplinks = try uplinks(of: network.addresses.map(\.address), socket)
        if uplinks.contains(where: { $0.address.isIPv6 }) {
            for uplink in Set(uplinks.filter { $0.address.isIPv6 }.map(\.link.name)) {
                try HostSysctl.set("ipv6/conf/\(uplink)/proxy_ndp", "1")
            }
        }
        let batch = NetlinkBatch()
        for gateway in network.gateways {
            batch.add(CIDR(gateway, gateway.width), to: link.index)
        }
        for address in network.addresses.map(\.address) {
            batch.add(route: CIDR(address, address.width), over: link.index)
        }
        for uplink in uplinks { batch.add(proxy: uplink.address, over: uplink.link.index) }
        try socket.carryOut(batch)
        announce(uplinks)
    }

    /// As ``route(_:over:_:)``, for one that had other addresses.
    func reroute(
        _ before: AddressRegistry.Note, _ network: ClaimedNetwork, over name: String, _ socket: NetlinkSocket
    ) throws(CtrError) {
        var gone = before
        gone.addresses.removeAll { address in network.addresses.contains { $0.address == address } }
        try answerNoMore(gone, socket)
        guard let link = try socket.link(name) else {
            throw CtrError(.failed, "network: interface \(name) has gone", step: "network")
        }
        let batch = NetlinkBatch()
        for address in gone.addresses { batch.remove(route: CIDR(address, address.width), over: link.index) }
        // What is not there any more needs no removal.
        _ = try socket.send(batch)
        try route(network, over: name, socket)
    }

    /// Who knew the addresses elsewhere learns that they are here. Where that can't be said, their memory fades by itself.
    private func announce(_ uplinks: [(address: IPAddress, link: Link)]) {
        for uplink in uplinks where uplink.link.isUp && uplink.link.mac.count == 6 {
            try? CurrentProcess.sendFrame(
                Announcement.frame(uplink.address, at: uplink.link.mac), over: uplink.link.index)
        }
    }

    /// For each address the interface on whose network it is. One that is routed to the host as a whole has none.
    private func uplinks(
        of addresses: [IPAddress], _ socket: NetlinkSocket
    ) throws(CtrError) -> [(address: IPAddress, link: Link)] {
        let own = try socket.addresses()
        let links = try socket.links()
        var result: [(address: IPAddress, link: Link)] = []
        for address in addresses {
            guard let at = own.first(where: { $0.address.bits < address.width && $0.address.contains(address) }),
                let link = links.first(where: { UInt32(bitPattern: $0.index) == at.index }), link.name != "lo"
            else { continue }
            result.append((address, link))
        }
        return result
    }

    func answerNoMore(_ note: AddressRegistry.Note, _ socket: NetlinkSocket) throws(CtrError) {
        let batch = NetlinkBatch()
        for uplink in try uplinks(of: note.addresses, socket) {
            batch.remove(proxy: uplink.address, over: uplink.link.index)
        }
        // What is not there any more needs no removal.
        _ = try socket.send(batch)
    }
}
