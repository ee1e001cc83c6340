internal import Kernel
internal import Model

// The bridge of --net nat, and the packet filter.
extension HostNetwork {
    /// The bridge, made with its packet filter where it is missing: on first use, and after each boot of the host.
    /// - Returns: its index.
    func ensureBridge(_ plan: NetworkPlan, _ socket: NetlinkSocket) throws(CtrError) -> Int32 {
        try HostSysctl.requireForwarding()
        // Up it comes last, so that one that is up is whole.
        if let link = try socket.link(bridge), link.isUp, link.alias == bridgeAlias { return link.index }
        // Of two that come at once one waits: the registry's lock is the only one of this root.
        let registry = try registry()
        if let link = try socket.link(bridge) {
            guard link.alias == bridgeAlias else {
                throw CtrError(
                    .unavailable,
                    "network: there is an interface \(bridge) that is not of this ctr root (rename or remove it)",
                    step: "network")
            }
            if link.isUp { return link.index }
            try NetworkUndo.remove(bridge, socket)
        }
        do throws(CtrError) { return try makeBridge(plan, registry, socket) } catch {
            try? NetworkUndo.remove(bridge, socket)
            throw error
        }
    }

    private func makeBridge(
        _ plan: NetworkPlan, _ registry: borrowing AddressRegistry, _ socket: NetlinkSocket
    ) throws(CtrError) -> Int32 {
        try refuseOverlap(plan, socket)
        // Before the bridge: whoever is on it is behind the filter at once.
        try install(plan, registry)
        let first = NetlinkBatch()
        first.add(bridge: bridge, mac: plan.mac(of: "bridge \(root)"))
        first.set(alias: bridgeAlias, of: bridge)
        try socket.carryOut(first)
        guard let link = try socket.link(bridge) else {
            throw CtrError(.failed, "network: bridge \(bridge) has gone", step: "network")
        }
        let second = NetlinkBatch()
        second.add(CIDR(plan.gateway4, plan.subnet4.bits), to: link.index)
        if HostSysctl.hasIPv6 {
            // A link-local address that the kernel makes is looked for on the link for a second, and until then the host does
            // not ask for its neighbours.
            second.setNoIPv6(of: bridge)
            second.add(CIDR(HostNetwork.hostLinkLocal, 64), to: link.index)
            second.add(CIDR(plan.gateway6, plan.subnet6.bits), to: link.index)
        }
        second.setUp(bridge)
        try socket.carryOut(second)
        return link.index
    }

    /// The host may have come to use the network since it was chosen.
    private func refuseOverlap(_ plan: NetworkPlan, _ socket: NetlinkSocket) throws(CtrError) {
        let taken = try socket.addresses().map(\.address) + socket.routes().map(\.network)
        for network in [plan.subnet4, plan.subnet6] {
            if let other = taken.first(where: { $0.bits > 0 && $0.overlaps(network) }) {
                throw CtrError(
                    .unavailable,
                    "network: the host uses \(other), which the VPSs' network \(network) overlaps (set network.subnet in ctr.json)",
                    step: "network")
            }
        }
    }

    /// Takes the bridge and the filter's tables away: when the last address has gone, and for another plan.
    func removeBridge() throws(CtrError) {
        let socket = try NetlinkSocket()
        if let link = try socket.link(bridge), link.alias == bridgeAlias { try NetworkUndo.remove(bridge, socket) }
        if ToolProcess.find(Nft.program) != nil { try Filter.remove(table: table) }
    }
}

// A bridge of the operator's.
extension HostNetwork {
    func foreignBridge(_ name: String, of port: String, _ socket: NetlinkSocket) throws(CtrError) -> Int32 {
        let interface = HostNetwork.guestInterface(of: port)
        let option = interface == HostNetwork.guestInterface ? "--net " : "--interface \(interface):"
        guard let link = try socket.link(name) else {
            throw CtrError(
                .unavailable, "\(option)bridge=\(name): no interface of this name on the host", step: "network")
        }
        guard link.kind == "bridge" else {
            throw CtrError(.unavailable, "\(option)bridge=\(name): the interface is not a bridge", step: "network")
        }
        return link.index
    }
}

enum NetworkUndo {
    /// Removes an interface; one that has gone is no error.
    static func remove(_ name: String, _ socket: NetlinkSocket) throws(CtrError) {
        let batch = NetlinkBatch()
        batch.remove(link: name)
        if let refusal = try socket.send(batch).first, refusal.errno != Errno.noDevice { throw refusal.error() }
    }
}
