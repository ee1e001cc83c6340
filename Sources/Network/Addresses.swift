internal import CMnl
internal import Model

extension IPAddress {
    var family: UInt8 { isIPv6 ? 10 : 2 }
}

// Addresses, routes and neighbours of an interface, by its index.
extension NetlinkBatch {
    /// An address with its network. An IPv6 one is used at once, without looking for another host that has it: ctr knows
    /// that there is none.
    func add(_ address: CIDR, to index: Int32) {
        add(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, what: "address \(address)") { message in
            message.put(fixed(address, index))
            message.put(IFA_LOCAL, address.address)
            message.put(IFA_ADDRESS, address.address)
            if !address.address.isIPv6, address.bits < 31 { message.put(IFA_BROADCAST, address.last) }
        }
    }

    func remove(_ address: CIDR, from index: Int32) {
        add(RTM_DELADDR, what: "remove address \(address)") { message in
            message.put(fixed(address, index))
            message.put(IFA_LOCAL, address.address)
        }
    }

    private func fixed(_ address: CIDR, _ index: Int32) -> ifaddrmsg {
        var fixed = ifaddrmsg()
        fixed.ifa_family = address.address.family
        fixed.ifa_prefixlen = UInt8(address.bits)
        fixed.ifa_flags = address.address.isIPv6 ? UInt8(IFA_F_NODAD) : 0
        fixed.ifa_index = UInt32(bitPattern: index)
        return fixed
    }

    /// - Parameters:
    ///   - gateway: nil: its hosts are on the link itself.
    ///   - onLink: the gateway is, though no address of the interface says so.
    ///   - replacing: another one to the same network; else the kernel refuses it where there is one.
    func add(
        route network: CIDR, gateway: IPAddress? = nil, onLink: Bool = false, over index: Int32, replacing: Bool = true
    ) {
        let way = gateway.map { " by \($0)" } ?? ""
        let flags = NLM_F_CREATE | (replacing ? NLM_F_REPLACE : NLM_F_EXCL)
        add(RTM_NEWROUTE, flags, what: "route to \(network)\(way)") { message in
            message.put(route(network, gateway: gateway, onLink: onLink))
            put(message, network, gateway: gateway, index)
        }
    }

    func remove(route network: CIDR, over index: Int32) {
        add(RTM_DELROUTE, what: "remove route to \(network)") { message in
            var fixed = route(network, gateway: nil, onLink: false)
            fixed.rtm_scope = UInt8(RT_SCOPE_NOWHERE.rawValue)
            fixed.rtm_protocol = 0
            message.put(fixed)
            put(message, network, gateway: nil, index)
        }
    }

    private func route(_ network: CIDR, gateway: IPAddress?, onLink: Bool) -> rtmsg {
        var fixed = rtmsg()
        fixed.rtm_family = network.address.family
        fixed.rtm_dst_len = UInt8(network.bits)
        fixed.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
        fixed.rtm_protocol = UInt8(RTPROT_STATIC)
        fixed.rtm_scope = UInt8((gateway == nil ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE).rawValue)
        fixed.rtm_type = UInt8(RTN_UNICAST)
        fixed.rtm_flags = onLink ? UInt32(RTNH_F_ONLINK) : 0
        return fixed
    }

    private func put(_ message: NetlinkMessage, _ network: CIDR, gateway: IPAddress?, _ index: Int32) {
        if network.bits > 0 { message.put(Int(RTA_DST.rawValue), network.network) }
        if let gateway { message.put(Int(RTA_GATEWAY.rawValue), gateway) }
        message.put(Int(RTA_OIF.rawValue), u32: UInt32(bitPattern: index))
    }

    /// The host answers for `address` on this link, where it is asked who has it.
    func add(proxy address: IPAddress, over index: Int32) {
        proxy(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, address, index, what: "answer for \(address)")
    }

    func remove(proxy address: IPAddress, over index: Int32) {
        proxy(RTM_DELNEIGH, 0, address, index, what: "answer for \(address) no more")
    }

    private func proxy(_ type: Int, _ flags: Int32, _ address: IPAddress, _ index: Int32, what: String) {
        add(type, flags, what: what) { message in
            var fixed = ndmsg()
            fixed.ndm_family = address.family
            fixed.ndm_ifindex = index
            fixed.ndm_flags = UInt8(NTF_PROXY)
            fixed.ndm_state = UInt16(NUD_PERMANENT)
            message.put(fixed)
            message.put(NDA_DST, address)
        }
    }
}
