internal import Kernel
internal import Model

// --net routed: addresses of the host's own network, by host routes; the host answers for them to its neighbours.
extension HostNetwork {
    /// - Throws: what stands against it, before anything is made.
    func requireRouting(
        _ network: ClaimedNetwork, of vps: String, _ registry: borrowing AddressRegistry, _ socket: NetlinkSocket
    ) throws(CtrError) {
        try HostSysctl.requireForwarding()
        if network.addresses.contains(where: \.address.isIPv6), !HostSysctl.isOn("ipv6/conf/all/forwarding") {
            throw CtrError(
                .unavailable,
                "network: this host passes no packets of IPv6 on (turn it on: sysctl -w net.ipv6.conf.all.forwarding=1)",
                step: "network")
        }
        let addresses = network.addresses.map(\.address)
        try refuseTheHostsOwn(addresses, socket)
        try refuseRouted(addresses, socket)
        let answers = try registry.answers(of: vps)
        try refuseAnswered(addresses, but: answers?.isOfThisBoot() == true ? answers : nil, socket)
    }

    /// The host's side: its address on the link of the two, the way to the VPS, and its word for it on the network that
    /// the address is of. What the VPS had of it before and is not to have is taken away.
    func route(
        _ network: ClaimedNetwork, of vps: String, over name: String, _ registry: borrowing AddressRegistry,
        _ socket: NetlinkSocket
    ) throws(CtrError) {
        guard let link = try socket.link(name) else {
            throw CtrError(.failed, "network: interface \(name) has gone", step: "network")
        }
        let addresses = network.addresses.map(\.address)
        let uplinks = try uplinks(of: addresses, socket)
        let answers = try ProxyAnswers(uplinks.map { ($0.address, $0.link.index) })
        try answerNoMore(vps, but: answers, registry, socket)
        for uplink in Set(uplinks.filter { $0.address.isIPv6 }.map(\.link.name)) {
            try HostSysctl.set("ipv6/conf/\(uplink)/proxy_ndp", "1")
        }
        let batch = NetlinkBatch()
        for gateway in network.gateways {
            batch.add(CIDR(gateway, gateway.width), to: link.index)
        }
        try socket.carryOut(batch)
        try lead(addresses, to: link, socket)
        if uplinks.isEmpty { return }
        if try registry.answers(of: vps) != answers { try registry.write(answers, of: vps) }
        let word = NetlinkBatch()
        for uplink in uplinks { word.add(proxy: uplink.address, over: uplink.link.index) }
        try socket.carryOut(word)
        announce(uplinks)
    }

    /// Never in place of another's route.
    private func lead(_ addresses: [IPAddress], to link: Link, _ socket: NetlinkSocket) throws(CtrError) {
        for isSecond in [false, true] {
            let there = isSecond ? try socket.routes(toAll: addresses) : []
            let batch = NetlinkBatch()
            for route in there where route.index != UInt32(bitPattern: link.index) {
                // The address is this VPS's in the registry, and so nobody's else of this root: a killed ctr has left it.
                guard let other = try socket.links().first(where: { UInt32(bitPattern: $0.index) == route.index }),
                    isOurs(other)
                else { continue }
                batch.remove(route: CIDR(route.address, route.address.width), over: other.index)
            }
            for address in addresses
            where !there.contains(where: { $0.address == address && $0.index == UInt32(bitPattern: link.index) }) {
                batch.add(route: CIDR(address, address.width), over: link.index, replacing: false)
            }
            guard let refusal = try socket.send(batch).first else { return }
            if !isSecond, refusal.errno == Errno.exists { continue }
            // Somebody made one since it was looked for.
            if refusal.errno == Errno.exists { try refuseRouted(addresses, socket) }
            throw refusal.error(refusal.errno == Errno.exists ? .cannotCreate : .failed)
        }
    }

    /// As ``route(_:of:over:_:_:)``, for one that had other addresses.
    func reroute(
        _ before: AddressRegistry.Note, _ network: ClaimedNetwork, _ vps: String, over name: String,
        _ registry: borrowing AddressRegistry, _ socket: NetlinkSocket
    ) throws(CtrError) {
        let kept = network.addresses.map(\.address)
        try removeRoutes(to: before.addresses.filter { !kept.contains($0) }, over: name, socket)
        try route(network, of: vps, over: name, registry, socket)
    }

    /// Takes back what a change made that was killed.
    func unroute(
        _ half: AddressRegistry.Note, keeping note: AddressRegistry.Note?, _ vps: String, _ plan: NetworkPlan?,
        _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        let kept = note?.addresses ?? []
        let socket = try NetlinkSocket()
        if var answers = try registry.answers(of: vps) {
            answers.all.removeAll { !kept.contains($0.address) }
            try answerNoMore(vps, but: answers, registry, socket)
        }
        let name = interfaceName(of: vps, half, plan)
        try removeRoutes(to: half.addresses.filter { !kept.contains($0) }, over: name, socket)
    }

    private func removeRoutes(
        to addresses: [IPAddress], over name: String, _ socket: NetlinkSocket
    ) throws(CtrError) {
        guard let link = try socket.link(name), isOurs(link) else { return }
        let batch = NetlinkBatch()
        for address in addresses { batch.remove(route: CIDR(address, address.width), over: link.index) }
        // What is not there any more needs no removal.
        _ = try socket.send(batch)
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

    /// The host answers for a VPS's addresses no more, but where `kept` says so.
    func answerNoMore(
        _ vps: String, but kept: ProxyAnswers? = nil, _ registry: borrowing AddressRegistry, _ socket: NetlinkSocket
    ) throws(CtrError) {
        // One that can't be read is of no use.
        guard var answers = try registry.answers(of: vps) else { return try registry.forgetAnswers(of: vps) }
        let batch = NetlinkBatch()
        let isNow = try answers.isOfThisBoot()
        for answer in answers.all where isNow && kept?.all.contains(answer) != true {
            batch.remove(proxy: answer.address, over: answer.index)
        }
        // What is not there any more needs no removal.
        _ = try socket.send(batch)
        answers.all.removeAll { !isNow || kept?.all.contains($0) != true }
        if answers.all.isEmpty { return try registry.forgetAnswers(of: vps) }
        try registry.write(answers, of: vps)
    }
}

/// Where the host answers for addresses of a VPS. Written down, for the networks that the host is on may have changed until
/// it is to stop; and with the boot, since after another one nothing of it is there.
struct ProxyAnswers: Equatable {
    struct Answer: Equatable {
        var address: IPAddress
        /// Of the interface.
        var index: Int32
    }

    var boot: String
    var all: [Answer]

    init(_ all: [(IPAddress, Int32)]) throws(CtrError) {
        boot = try ProxyAnswers.boot()
        self.all = all.map { Answer(address: $0.0, index: $0.1) }
    }

    private static func boot() throws(CtrError) -> String {
        try describing("network") { () throws(SysError) in try ProcFiles.bootID() }
    }

    func isOfThisBoot() throws(CtrError) -> Bool { try boot == ProxyAnswers.boot() }

    var text: String { ([boot] + all.map { "\($0.address)@\($0.index)" }).joined(separator: " ") }

    init?(text: String) {
        let words = text.split(separator: " ")
        guard let first = words.first else { return nil }
        boot = String(first)
        all = []
        for word in words.dropFirst() {
            let parts = word.split(separator: "@").map(String.init)
            guard parts.count == 2, let address = IPAddress(parts[0]), let index = Int32(parts[1]) else { return nil }
            all.append(Answer(address: address, index: index))
        }
    }
}
