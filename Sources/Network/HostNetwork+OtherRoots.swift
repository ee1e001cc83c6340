internal import CMnl
internal import Kernel
internal import Model

// Published ports of another ctr root on this host. Each root has a table of its own; of two that lead the same port elsewhere,
// the kernel would follow the one that was made first.
extension HostNetwork {
    /// Adds elements to the filter. Of two roots that look for a port at once and find nothing one gets it: the kernel refuses what
    /// is added to other tables than those that were looked at.
    /// - Parameters:
    ///   - published: ports that no other root may have, of a VPS with these addresses.
    ///   - fill: adds the elements, theirs among them.
    /// - Returns: what was refused, where nothing was changed.
    func add(
        taking published: [PublishedPort], for addresses: [IPAddress], _ fill: (FilterChange) -> Void
    ) throws(CtrError) -> NetlinkSocket.Refusal? {
        // Each round that is in vain is one in which somebody else got on.
        for _ in 0..<1000 {
            let generation = published.isEmpty ? nil : try NetlinkSocket(.netfilter).generation()
            try refuse(published, for: addresses)
            let change = FilterChange.adding(to: table, at: generation)
            fill(change)
            let refusal = try change.commit()
            if generation == nil || refusal?.errno != Errno.restart { return refusal }
        }
        throw CtrError(
            .unavailable, "network: the host's packet filter is being changed all the time (try again)", step: "network"
        )
    }

    private func refuse(_ published: [PublishedPort], for targets: [IPAddress]) throws(CtrError) {
        if published.isEmpty { return }
        let socket = try NetlinkSocket(.netfilter)
        let others = try socket.tables().filter { $0 != table && ($0 == "ctr" || $0.hasPrefix("ctr-")) }
        if others.isEmpty { return }
        let own = try NetlinkSocket().addresses().map(\.address.address)
        for published in published {
            for six in Set(targets.map(\.isIPv6))
            where published.address.map({ $0.isIPv6 == six }) ?? true {
                let addresses = published.address.map { [$0] } ?? own.filter { $0.isIPv6 == six }
                let keys = keys(of: published, six: six, at: addresses)
                for other in others {
                    for (map, key) in keys where try socket.contains(key, in: map, of: other) {
                        throw isPublished(published, by: other)
                    }
                }
            }
        }
    }

    /// Where a table may have it: of all the host's addresses, or of one.
    private func keys(
        of port: PublishedPort, six: Bool, at addresses: [IPAddress]
    ) -> [(map: String, key: FilterChange.Key)] {
        func key(_ start: FilterChange.Key) -> FilterChange.Key { start.transport(udp: port.isUDP).port(port.hostPort) }
        let map = six ? "publish6" : "publish4"
        return [(map, key(FilterChange.Key()))] + addresses.map { ("\(map)at", key(FilterChange.Key().address($0))) }
    }

    private func isPublished(_ port: PublishedPort, by other: String) -> CtrError {
        let bridge = other == "ctr" ? "ctr0" : other
        let alias = (try? NetlinkSocket().link(bridge))??.alias ?? ""
        let root =
            alias.hasPrefix("ctr bridge of ") ? "'\(alias.dropFirst(14).description.escaped)'" : "of table \(other)"
        return CtrError(
            .cannotCreate,
            "--publish \(port): a VPS of the ctr root \(root) has port \(port.hostPort)\(port.isUDP ? "/udp" : "") of the host "
                + "(choose another, here or there: ctr set, of a suspended VPS too; if that one has ended: ctr host recover there)",
            step: "network")
    }
}

extension NetlinkSocket {
    /// The names of the packet filter's tables of the family inet.
    fileprivate func tables() throws(CtrError) -> [String] {
        let batch = NetlinkBatch()
        let type = Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETTABLE.rawValue)
        batch.add(type, NLM_F_DUMP, what: "list of the packet filter's tables", acknowledge: false) { request in
            request.put(nfgenmsg(nfgen_family: UInt8(NFPROTO_INET), version: 0, res_id: 0))
        }
        return try ask(batch, dump: true)?.compactMap { answer in
            answer.attributes(after: nfgenmsg.self).first(Int(NFTA_TABLE_NAME.rawValue))?.text
        } ?? []
    }

    /// Of the host's packet filter: another number after each change. nil: the kernel does not say.
    fileprivate func generation() throws(CtrError) -> UInt32? {
        let batch = NetlinkBatch()
        let type = Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETGEN.rawValue)
        batch.add(type, what: "generation of the packet filter", acknowledge: false) { request in
            request.put(nfgenmsg(nfgen_family: UInt8(NFPROTO_UNSPEC), version: 0, res_id: 0))
        }
        return try ask(batch, dump: false)?.first?.attributes(after: nfgenmsg.self).first(Int(NFTA_GEN_ID.rawValue))
            .map { $0.u32.byteSwapped }
    }

    /// Whether a map of a table of the family inet has this key; a table or map that is not there has none.
    fileprivate func contains(_ key: FilterChange.Key, in map: String, of table: String) throws(CtrError) -> Bool {
        let batch = NetlinkBatch()
        let type = Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETSETELEM.rawValue)
        batch.add(type, what: "map \(map) of table \(table)", acknowledge: false) { request in
            request.put(nfgenmsg(nfgen_family: UInt8(NFPROTO_INET), version: 0, res_id: 0))
            request.put(Int(NFTA_SET_ELEM_LIST_TABLE.rawValue), table)
            request.put(Int(NFTA_SET_ELEM_LIST_SET.rawValue), map)
            request.nest(Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)) { list in
                list.nest(Int(NFTA_LIST_ELEM.rawValue)) { element in
                    element.nest(Int(NFTA_SET_ELEM_KEY.rawValue)) { $0.put(Int(NFTA_DATA_VALUE.rawValue), key.bytes) }
                }
            }
        }
        return try ask(batch, dump: false) != nil
    }
}
