internal import CMnl
internal import Kernel
internal import Model

/// A network interface as the kernel describes it.
struct Link: Equatable {
    var index: Int32
    var name: String
    /// `ip link set ... alias`: here ctr writes whose it is.
    var alias: String
    var mac: [UInt8]
    /// The index of the bridge that it is a port of; 0 for none.
    var master: UInt32
    var isUp: Bool
    /// `bridge`, `veth`; empty for hardware.
    var kind: String
    var mtu: UInt32
    /// What its bridge does with what comes in here; nil for one that is no bridge's port.
    var portState: PortState?
    /// Room for 15 bytes and a NUL.
    static let longestName = 15
    static let up: UInt32 = 1

    /// See bridge(8), `state`.
    enum PortState: UInt8 {
        case disabled, listening, learning, forwarding, blocking
    }

    init?(_ answer: NetlinkAnswer) {
        guard answer.type == RTM_NEWLINK, let fixed = answer.fixed(ifinfomsg.self) else { return nil }
        let attributes = answer.attributes(after: ifinfomsg.self)
        index = fixed.ifi_index
        isUp = fixed.ifi_flags & Link.up != 0
        name = attributes.first(IFLA_IFNAME)?.text ?? ""
        alias = attributes.first(IFLA_IFALIAS)?.text ?? ""
        mac = Array(attributes.first(IFLA_ADDRESS)?.data ?? [])
        master = attributes.first(IFLA_MASTER)?.u32 ?? 0
        mtu = attributes.first(IFLA_MTU)?.u32 ?? 0
        let info = attributes.first(IFLA_LINKINFO)?.nested ?? []
        kind = info.first(IFLA_INFO_KIND)?.text ?? ""
        if info.first(IFLA_INFO_SLAVE_KIND)?.text == "bridge" {
            portState = info.first(IFLA_INFO_SLAVE_DATA)?.nested.first(IFLA_BRPORT_STATE)?.data.first
                .flatMap(PortState.init)
        }
    }
}

extension NetlinkSocket {
    /// nil where there is none of that name.
    func link(_ name: String) throws(CtrError) -> Link? {
        let batch = NetlinkBatch()
        batch.add(RTM_GETLINK, what: "interface \(name.escaped)", acknowledge: false) { message in
            message.put(ifinfomsg())
            message.put(IFLA_IFNAME, name)
        }
        return try ask(batch, dump: false)?.lazy.compactMap { Link($0) }.first
    }

    func links() throws(CtrError) -> [Link] {
        let batch = NetlinkBatch()
        batch.add(RTM_GETLINK, NLM_F_DUMP, what: "list of interfaces", acknowledge: false) { $0.put(ifinfomsg()) }
        return try ask(batch, dump: true)?.compactMap { Link($0) } ?? []
    }

    /// What the host's interfaces have: index of the interface, address and its network.
    func addresses() throws(CtrError) -> [(index: UInt32, address: CIDR)] {
        let batch = NetlinkBatch()
        batch.add(RTM_GETADDR, NLM_F_DUMP, what: "list of addresses", acknowledge: false) { $0.put(ifaddrmsg()) }
        return try ask(batch, dump: true)?.compactMap { answer in
            guard answer.type == RTM_NEWADDR, let fixed = answer.fixed(ifaddrmsg.self) else { return nil }
            let attributes = answer.attributes(after: ifaddrmsg.self)
            let address = (attributes.first(IFA_LOCAL) ?? attributes.first(IFA_ADDRESS))?.address
            return address.map { (fixed.ifa_index, CIDR($0, min($0.width, Int(fixed.ifa_prefixlen)))) }
        } ?? []
    }

    /// The destinations of the host's routes, defaults left out, and the interface that each leads to.
    func routes() throws(CtrError) -> [(index: UInt32, network: CIDR)] {
        let batch = NetlinkBatch()
        batch.add(RTM_GETROUTE, NLM_F_DUMP, what: "list of routes", acknowledge: false) { $0.put(rtmsg()) }
        return try ask(batch, dump: true)?.compactMap { answer in
            guard answer.type == RTM_NEWROUTE, let fixed = answer.fixed(rtmsg.self), fixed.rtm_dst_len > 0 else {
                return nil
            }
            let attributes = answer.attributes(after: rtmsg.self)
            guard let address = attributes.first(Int(RTA_DST.rawValue))?.address else { return nil }
            let index = attributes.first(Int(RTA_OIF.rawValue))?.u32 ?? 0
            return (index, CIDR(address, min(address.width, Int(fixed.rtm_dst_len))))
        } ?? []
    }
}

/// How a host's interface for a VPS and the one inside it are made.
struct VethPair {
    var name: String
    /// That of the host's end.
    var mac: MACAddress
    var peerName: String
    var peerMAC: MACAddress
    /// The index of a bridge; nil for none.
    var master: Int32?
    var alias: String
    var mtu: UInt32?
}

extension NetlinkBatch {
    private static let create = NLM_F_CREATE | NLM_F_EXCL

    /// A pair whose other end comes to life in another network namespace.
    func add(_ pair: VethPair, into namespace: borrowing FD) {
        let number = UInt32(bitPattern: namespace.rawValue)
        add(RTM_NEWLINK, NetlinkBatch.create, what: "make interface \(pair.name)") { message in
            message.put(ifinfomsg())
            message.put(IFLA_IFNAME, pair.name)
            message.put(IFLA_ADDRESS, pair.mac.bytes)
            if let mtu = pair.mtu { message.put(IFLA_MTU, u32: mtu) }
            if let master = pair.master { message.put(IFLA_MASTER, u32: UInt32(bitPattern: master)) }
            message.nest(IFLA_LINKINFO) { info in
                info.put(IFLA_INFO_KIND, "veth")
                info.nest(IFLA_INFO_DATA) { data in
                    data.nest(Int(VETH_INFO_PEER)) { peer in
                        peer.putInner(ifinfomsg())
                        peer.put(IFLA_IFNAME, pair.peerName)
                        peer.put(IFLA_ADDRESS, pair.peerMAC.bytes)
                        if let mtu = pair.mtu { peer.put(IFLA_MTU, u32: mtu) }
                        peer.put(IFLA_NET_NS_FD, u32: number)
                    }
                }
            }
        }
    }

    func add(bridge name: String, mac: MACAddress) {
        add(RTM_NEWLINK, NetlinkBatch.create, what: "make bridge \(name)") { message in
            message.put(ifinfomsg())
            message.put(IFLA_IFNAME, name)
            // Fixed: else the bridge takes the lowest of its ports' and changes it as VPSs come and go.
            message.put(IFLA_ADDRESS, mac.bytes)
            message.nest(IFLA_LINKINFO) { info in
                info.put(IFLA_INFO_KIND, "bridge")
                // Who listens to which group is not worth asking: VPSs hear the host only. While it asks, a new port's first
                // neighbour solicitations are lost.
                info.nest(IFLA_INFO_DATA) { $0.put(IFLA_BR_MCAST_SNOOPING, u8: 0) }
            }
        }
    }

    func set(alias: String, of name: String) {
        change(name, what: "alias of interface \(name)") { $0.put(IFLA_IFALIAS, Array(alias.utf8)) }
    }

    /// A bridge takes no place of a MAC from what comes in at this port, and no word of a spanning tree: one that speaks of it is
    /// closed. For the bridge looks at frames of both kinds where no packet filter does.
    func setSilent(port name: String) {
        change(name, what: "port \(name) of a bridge") { message in
            message.nest(IFLA_LINKINFO) { info in
                info.put(IFLA_INFO_SLAVE_KIND, "bridge")
                info.nest(IFLA_INFO_SLAVE_DATA) { data in
                    data.put(IFLA_BRPORT_LEARNING, u8: 0)
                    data.put(IFLA_BRPORT_GUARD, u8: 1)
                }
            }
        }
    }

    /// The bridge knows from now on that a MAC is at this port.
    func add(place mac: MACAddress, at index: Int32) {
        add(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, what: "place of \(mac) on the bridge") { message in
            var fixed = ndmsg()
            // AF_BRIDGE
            fixed.ndm_family = 7
            fixed.ndm_ifindex = index
            fixed.ndm_flags = UInt8(NTF_MASTER)
            // `static` of bridge(8); permanent ones are the host's own.
            fixed.ndm_state = UInt16(NUD_NOARP)
            message.put(fixed)
            message.put(NDA_LLADDR, mac.bytes)
        }
    }

    /// It gets no link-local address of IPv6: a port of a bridge is no host.
    func setNoIPv6(of name: String) {
        // AF_INET6, IN6_ADDR_GEN_MODE_NONE
        change(name, what: "IPv6 of interface \(name)") { message in
            message.nest(IFLA_AF_SPEC) { families in
                families.nest(10) { $0.put(IFLA_INET6_ADDR_GEN_MODE, u8: 1) }
            }
        }
    }

    func setUp(_ name: String) {
        add(RTM_NEWLINK, what: "bring interface \(name) up") { message in
            var fixed = ifinfomsg()
            fixed.ifi_flags = Link.up
            fixed.ifi_change = Link.up
            message.put(fixed)
            message.put(IFLA_IFNAME, name)
        }
    }

    func rename(_ index: Int32, to name: String) {
        add(RTM_NEWLINK, what: "rename interface to \(name)") { message in
            var fixed = ifinfomsg()
            fixed.ifi_index = index
            message.put(fixed)
            message.put(IFLA_IFNAME, name)
        }
    }

    func set(up: Bool, _ index: Int32) {
        add(RTM_NEWLINK, what: "bring an interface \(up ? "up" : "down")") { message in
            var fixed = ifinfomsg()
            fixed.ifi_index = index
            fixed.ifi_flags = up ? Link.up : 0
            fixed.ifi_change = Link.up
            message.put(fixed)
        }
    }

    func remove(link name: String) {
        add(RTM_DELLINK, what: "remove interface \(name)") { message in
            message.put(ifinfomsg())
            message.put(IFLA_IFNAME, name)
        }
    }

    private func change(_ name: String, what: String, _ body: (NetlinkMessage) -> Void) {
        add(RTM_NEWLINK, what: what) { message in
            message.put(ifinfomsg())
            message.put(IFLA_IFNAME, name)
            body(message)
        }
    }
}
