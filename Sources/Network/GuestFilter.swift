internal import CMnl
public import Model

/// What a guest has of packet filters.
public enum GuestFilter {
    /// Whether there is any table of nf_tables in the network namespace of the calling thread: an nft(8) that finds none takes
    /// longer than to ask.
    public static func hasTables() throws(CtrError) -> Bool {
        let batch = NetlinkBatch()
        let type = Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(NFT_MSG_GETTABLE.rawValue)
        batch.add(type, NLM_F_DUMP, what: "tables of the packet filter", acknowledge: false) {
            $0.put(nfgenmsg(nfgen_family: UInt8(NFPROTO_UNSPEC), version: UInt8(NFNETLINK_V0), res_id: 0))
        }
        // A guest may have made very many.
        var hasOne = false
        _ = try NetlinkSocket(.netfilter).ask(batch, dump: true) { _ in
            hasOne = true
            return false
        }
        return hasOne
    }
}
