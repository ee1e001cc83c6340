internal import CMnl
internal import Model

// What the kernel remembers of who talks with whom, see conntrack(8).
extension HostNetwork {
    /// Forgets conversations by UDP with published ports that lead elsewhere: to the host itself, since the port was not published
    /// when they began, or to the VPS that had it before. A client that goes on asking from the same port would never reach
    /// the VPS. TCP asks anew, and from another port.
    ///
    /// A kernel that can't tell them (no ctnetlink) is no error: such a client gets through once it was silent for half a minute.
    func forgetConversations(with published: [PublishedPort], of addresses: [IPAddress]) {
        let ports = published.filter(\.isUDP)
        if !ports.isEmpty { try? forgetConversations(ports, addresses) }
    }

    private func forgetConversations(_ ports: [PublishedPort], _ addresses: [IPAddress]) throws(CtrError) {
        let own = Set(try NetlinkSocket().addresses().map(\.address.address))
        let socket = try NetlinkSocket(.netfilter)
        for port in ports {
            for six in [false, true] where port.address.map({ $0.isIPv6 == six }) ?? true {
                guard let target = addresses.first(where: { $0.isIPv6 == six }) else { continue }
                let gone = NetlinkBatch()
                for conversation in (try? socket.conversations(withUDP: port.hostPort, six: six)) ?? [] {
                    let asked = conversation.asked
                    guard own.contains(asked), port.address.map({ $0 == asked }) ?? true,
                        conversation.answers != target || conversation.answersFrom != port.guestPort
                    else { continue }
                    // Beyond some hundreds at once: they are left to fade.
                    if gone.hasRoom { gone.forget(conversation) }
                }
                // One may have ended by itself meanwhile.
                _ = try socket.send(gone)
            }
        }
    }
}

/// An entry of conntrack: whom a client asked, and who answers.
private struct Conversation {
    /// As the kernel told it.
    let original: ArraySlice<UInt8>
    let id: ArraySlice<UInt8>?
    let zone: ArraySlice<UInt8>?
    let six: Bool
    let asked: IPAddress
    let answers: IPAddress
    let answersFrom: UInt16

    /// - Returns: nil for what is not of UDP with this port.
    init?(_ answer: NetlinkAnswer, port: UInt16, six: Bool) {
        let attributes = answer.attributes(after: nfgenmsg.self)
        func end(_ tuple: ctattr_type, _ address: Int, _ number: ctattr_l4proto) -> (IPAddress, UInt16)? {
            let parts = attributes.first(Int(tuple.rawValue))?.nested ?? []
            let ip = parts.first(Int(CTA_TUPLE_IP.rawValue))?.nested ?? []
            let transport = parts.first(Int(CTA_TUPLE_PROTO.rawValue))?.nested ?? []
            guard transport.first(Int(CTA_PROTO_NUM.rawValue))?.data == [17], let address = ip.first(address)?.address,
                let data = transport.first(Int(number.rawValue))?.data, data.count == 2
            else { return nil }
            return (address, UInt16(data.first!) << 8 | UInt16(data.last!))
        }
        let (source, destination) = six ? (CTA_IP_V6_SRC, CTA_IP_V6_DST) : (CTA_IP_V4_SRC, CTA_IP_V4_DST)
        guard let original = attributes.first(Int(CTA_TUPLE_ORIG.rawValue)),
            let to = end(CTA_TUPLE_ORIG, Int(destination.rawValue), CTA_PROTO_DST_PORT), to.1 == port,
            let from = end(CTA_TUPLE_REPLY, Int(source.rawValue), CTA_PROTO_SRC_PORT)
        else { return nil }
        self.original = original.data
        self.six = six
        id = attributes.first(Int(CTA_ID.rawValue))?.data
        zone = attributes.first(Int(CTA_ZONE.rawValue))?.data
        (asked, answers, answersFrom) = (to.0, from.0, from.1)
    }
}

extension NetlinkBatch {
    fileprivate static func conntrack(_ message: cntl_msg_types) -> Int {
        Int(NFNL_SUBSYS_CTNETLINK) << 8 | Int(message.rawValue)
    }

    fileprivate static func header(six: Bool) -> nfgenmsg {
        nfgenmsg(nfgen_family: UInt8(six ? NFPROTO_IPV6 : NFPROTO_IPV4), version: 0, res_id: 0)
    }

    fileprivate func forget(_ conversation: Conversation) {
        add(NetlinkBatch.conntrack(IPCTNL_MSG_CT_DELETE), what: "conversation by UDP") { request in
            request.put(NetlinkBatch.header(six: conversation.six))
            request.put(Int(CTA_TUPLE_ORIG.rawValue) | Int(NLA_F_NESTED), Array(conversation.original))
            // Not another that came after it.
            if let id = conversation.id { request.put(Int(CTA_ID.rawValue), Array(id)) }
            if let zone = conversation.zone { request.put(Int(CTA_ZONE.rawValue), Array(zone)) }
        }
    }
}

extension NetlinkSocket {
    /// - Throws: where the kernel tells nothing of conversations.
    func requireConversations() throws(CtrError) { _ = try conversations(withUDP: 53, six: false) }

    /// All conversations by UDP where somebody asked this port.
    fileprivate func conversations(withUDP port: UInt16, six: Bool) throws(CtrError) -> [Conversation] {
        let batch = NetlinkBatch()
        batch.add(
            NetlinkBatch.conntrack(IPCTNL_MSG_CT_GET), NLM_F_DUMP, what: "list of conversations", acknowledge: false
        ) { request in
            request.put(NetlinkBatch.header(six: six))
            // A busy host has many others: from Linux 5.8 on the kernel leaves them out, before that it knows no filter.
            request.nest(Int(CTA_TUPLE_ORIG.rawValue)) { tuple in
                tuple.nest(Int(CTA_TUPLE_PROTO.rawValue)) { transport in
                    transport.put(Int(CTA_PROTO_NUM.rawValue), u8: 17)
                    transport.put(Int(CTA_PROTO_DST_PORT.rawValue), u16: port.bigEndian)
                }
            }
            // The protocol's number and the port asked: bits that only the kernel's own nf_internals.h names.
            request.nest(Int(CTA_FILTER.rawValue)) { $0.put(Int(CTA_FILTER_ORIG_FLAGS.rawValue), u32: 1 << 3 | 1 << 5) }
        }
        return try ask(batch, dump: true)?.compactMap { Conversation($0, port: port, six: six) } ?? []
    }
}
