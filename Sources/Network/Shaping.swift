internal import CMnl
internal import Model

// What goes to a VPS is shaped: it waits in a token bucket at the host's end of its interface, see tc-tbf(8).
extension HostNetwork {
    /// - Parameter rate: bytes a second; nil: as fast as it goes.
    func shape(_ name: String, _ rate: Int64?, _ socket: NetlinkSocket) throws(CtrError) {
        guard let link = try socket.link(name) else {
            throw CtrError(.failed, "network: interface \(name) has gone", step: "network")
        }
        let batch = NetlinkBatch()
        if let rate {
            batch.set(tokenBucket: onTheWire(rate), of: link.index)
        } else {
            batch.remove(queueOf: link.index)
        }
        if let refusal = try socket.send(batch).first, rate != nil { throw refusal.error() }
    }

    /// A rate is one of IP, as what comes from a VPS is counted; the bucket counts Ethernet's header too: 14 bytes on the 1500 of
    /// a full packet. Without this TCP over IPv6 would be more than a twentieth below the rate.
    private func onTheWire(_ rate: Int64) -> Int64 { rate / 1500 * 1514 + rate % 1500 * 1514 / 1500 }
}

extension NetlinkBatch {
    fileprivate static let root: UInt32 = 0xffff_ffff
    fileprivate static let tokenBucket = "tbf"

    func set(tokenBucket rate: Int64, of index: Int32) {
        add(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, what: "--rate-in: token bucket") { message in
            var fixed = tcmsg()
            fixed.tcm_ifindex = index
            fixed.tcm_parent = NetlinkBatch.root
            message.put(fixed)
            message.put(Int(TCA_KIND), NetlinkBatch.tokenBucket)
            // A hundredth of a second at once, and at least a large segment; a tenth of a second waits, then it drops.
            let burst = max(rate / 100, 1 << 16)
            var options = tc_tbf_qopt()
            options.rate.rate = UInt32(clamping: rate)
            // Else the kernel wants a table of what each size of packet costs.
            options.rate.linklayer = UInt8(TC_LINKLAYER_ETHERNET.rawValue)
            options.limit = UInt32(clamping: rate / 10 + burst)
            message.nest(Int(TCA_OPTIONS)) { nest in
                withUnsafeBytes(of: options) { nest.put(Int(TCA_TBF_PARMS), Array($0)) }
                if rate > Int64(UInt32.max) { nest.put(Int(TCA_TBF_RATE64), u64: UInt64(rate)) }
                nest.put(Int(TCA_TBF_BURST), u32: UInt32(clamping: burst))
            }
        }
    }

    func remove(queueOf index: Int32) {
        add(RTM_DELQDISC, what: "--rate-in: remove token bucket") { message in
            var fixed = tcmsg()
            fixed.tcm_ifindex = index
            fixed.tcm_parent = NetlinkBatch.root
            message.put(fixed)
        }
    }
}

extension NetlinkSocket {
    /// Packets that its token bucket has dropped; nil where it has none.
    func dropped(byQueueOf index: Int32) throws(CtrError) -> UInt64? {
        let batch = NetlinkBatch()
        // The answer is a notice, of which the asker gets an echo only if it wants one (seen on Linux 6.18). Of the queue
        // that the kernel gives by itself there is none at all: only the acknowledgement comes.
        batch.add(RTM_GETQDISC, NLM_F_ECHO, what: "queue of an interface") { message in
            var fixed = tcmsg()
            fixed.tcm_ifindex = index
            fixed.tcm_parent = NetlinkBatch.root
            message.put(fixed)
        }
        guard let attributes = try ask(batch, dump: false)?.first?.attributes(after: tcmsg.self),
            attributes.first(Int(TCA_KIND))?.text == NetlinkBatch.tokenBucket
        else { return nil }
        // struct gnet_stats_queue: length, backlog, drops, requeues, overlimits.
        let numbers = attributes.first(Int(TCA_STATS2))?.nested.first(Int(TCA_STATS_QUEUE))?.data ?? []
        return UInt64(NetlinkAttribute(type: 0, data: numbers.dropFirst(8)).u32)
    }
}
