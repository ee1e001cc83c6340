internal import CMnl
internal import Kernel
internal import Model

/// Elements of a table's sets and maps to be added or removed: one transaction of nf_tables, spoken to the kernel itself. A
/// nft that was started for it would cost a start more than all the rest of its network.
final class FilterChange {
    enum Table {
        case inet, bridge
        var family: UInt8 { self == .inet ? UInt8(NFPROTO_INET) : UInt8(NFPROTO_BRIDGE) }
    }

    /// A field of a key or of a map's value, as the kernel lays it out: in whole registers of four bytes.
    struct Key {
        private(set) var bytes: [UInt8] = []

        init() {}
        func interface(_ name: String) -> Key { adding(Array(name.utf8.prefix(15)), of: 16) }
        func mac(_ mac: MACAddress) -> Key { adding(mac.bytes, of: 8) }
        func address(_ address: IPAddress) -> Key { adding(address.bytes, of: address.bytes.count) }
        /// A transport protocol's number.
        func transport(udp: Bool) -> Key { adding([udp ? 17 : 6], of: 4) }
        func port(_ port: UInt16) -> Key { adding([UInt8(port >> 8), UInt8(port & 255)], of: 4) }

        private func adding(_ more: [UInt8], of size: Int) -> Key {
            var key = self
            key.bytes += more + [UInt8](repeating: 0, count: size - more.count)
            return key
        }
    }

    private let table: String
    private let isRemoval: Bool
    private let batch = NetlinkBatch(transaction: true)

    private init(table: String, isRemoval: Bool, generation: UInt32? = nil) {
        self.table = table
        self.isRemoval = isRemoval
        mark(NFNL_MSG_BATCH_BEGIN, generation)
    }

    /// - Parameter generation: nothing is added, and the word is `ERESTART`, if any table of the host has changed since.
    static func adding(to table: String, at generation: UInt32? = nil) -> FilterChange {
        FilterChange(table: table, isRemoval: false, generation: generation)
    }

    static func removing(from table: String) -> FilterChange { FilterChange(table: table, isRemoval: true) }

    /// For one after another, where all at once were refused: of the elements that `make` adds the one of this number.
    func only(_ number: Int, _ make: () -> Void) {
        (wanted, count) = (number, 0)
        make()
    }

    var isEmpty: Bool { count == 0 }
    /// How many elements there are.
    private(set) var count = 0
    private var wanted: Int?

    /// - Parameter what: for the error message.
    func element(_ family: Table, _ set: String, _ key: Key, value: Key? = nil, object: String? = nil, what: String) {
        defer { count += 1 }
        if let wanted, wanted != count { return }
        let message = isRemoval ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM
        let type = Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(message.rawValue)
        batch.add(type, isRemoval ? 0 : NLM_F_CREATE, what: what) { request in
            request.put(nfgenmsg(nfgen_family: family.family, version: 0, res_id: 0))
            request.put(Int(NFTA_SET_ELEM_LIST_TABLE.rawValue), table)
            request.put(Int(NFTA_SET_ELEM_LIST_SET.rawValue), set)
            request.nest(Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)) { list in
                list.nest(Int(NFTA_LIST_ELEM.rawValue)) { element in
                    element.nest(Int(NFTA_SET_ELEM_KEY.rawValue)) { $0.put(Int(NFTA_DATA_VALUE.rawValue), key.bytes) }
                    if let object { element.put(Int(NFTA_SET_ELEM_OBJREF.rawValue), object) }
                    if let value, !isRemoval {
                        element.nest(Int(NFTA_SET_ELEM_DATA.rawValue)) {
                            $0.put(Int(NFTA_DATA_VALUE.rawValue), value.bytes)
                        }
                    }
                }
            }
        }
    }

    /// What comes from an interface beyond a rate is refused: an object of its own, and the element of a map that names it.
    /// - Parameter rate: bytes a second.
    func limit(_ family: Table, _ map: String, _ key: Key, _ name: String, _ rate: Int64) {
        let what = "--rate-out of \(name)"
        if isRemoval {
            element(family, map, key, what: what)
            limitObject(NFT_MSG_DELOBJ, family, name, rate, what: what)
        } else {
            limitObject(NFT_MSG_NEWOBJ, family, name, rate, what: what)
            element(family, map, key, object: name, what: what)
        }
    }

    /// What comes from or goes to an interface is counted: objects of its own, and the elements of maps that name them.
    func counters(_ family: Table, _ port: String) {
        let what = "counters of \(port)"
        for counter in TrafficCounter.allCases {
            let (key, name) = (Key().interface(port), counter.object(port))
            if isRemoval { element(family, counter.map, key, what: what) }
            object(isRemoval ? NFT_MSG_DELOBJ : NFT_MSG_NEWOBJ, family, name, NFT_OBJECT_COUNTER, what: what) { data in
                data.put(Int(NFTA_COUNTER_BYTES.rawValue), u64: 0)
                data.put(Int(NFTA_COUNTER_PACKETS.rawValue), u64: 0)
            }
            if !isRemoval { element(family, counter.map, key, object: name, what: what) }
        }
    }

    private func limitObject(
        _ message: nf_tables_msg_types, _ family: Table, _ name: String, _ rate: Int64, what: String
    ) {
        object(message, family, name, NFT_OBJECT_LIMIT, what: what) { data in
            data.put(Int(NFTA_LIMIT_RATE.rawValue), u64: UInt64(rate).bigEndian)
            data.put(Int(NFTA_LIMIT_UNIT.rawValue), u64: UInt64(1).bigEndian)
            // The kernel's bucket has a second's worth beside this; a large segment must fit in.
            let burst = UInt32(max(0, (1 << 17) - rate))
            data.put(Int(NFTA_LIMIT_BURST.rawValue), bigEndian: burst)
            data.put(Int(NFTA_LIMIT_TYPE.rawValue), bigEndian: UInt32(NFT_LIMIT_PKT_BYTES.rawValue))
            data.put(Int(NFTA_LIMIT_FLAGS.rawValue), bigEndian: UInt32(NFT_LIMIT_F_INV.rawValue))
        }
    }

    /// One that is there already stays as it is.
    private func object(
        _ message: nf_tables_msg_types, _ family: Table, _ name: String, _ kind: Int32, what: String,
        _ body: (NetlinkMessage) -> Void
    ) {
        defer { count += 1 }
        if let wanted, wanted != count { return }
        let type = Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(message.rawValue)
        batch.add(type, isRemoval ? 0 : NLM_F_CREATE, what: what) { request in
            request.put(nfgenmsg(nfgen_family: family.family, version: 0, res_id: 0))
            request.put(Int(NFTA_OBJ_TABLE.rawValue), table)
            request.put(Int(NFTA_OBJ_NAME.rawValue), name)
            request.put(Int(NFTA_OBJ_TYPE.rawValue), bigEndian: UInt32(kind))
            if !isRemoval { request.nest(Int(NFTA_OBJ_DATA.rawValue), body) }
        }
    }

    /// - Returns: the first that was refused, where nothing was changed.
    func commit() throws(CtrError) -> NetlinkSocket.Refusal? {
        mark(NFNL_MSG_BATCH_END)
        return try NetlinkSocket(.netfilter).send(batch).first
    }

    private func mark(_ type: Int32, _ generation: UInt32? = nil) {
        batch.add(Int(type), what: "packet filter", acknowledge: false) { message in
            message.put(
                nfgenmsg(
                    nfgen_family: 0, version: 0, res_id: UInt16(NFNL_SUBSYS_NFTABLES).bigEndian))
            if let generation { message.put(Int(NFNL_BATCH_GENID.rawValue), bigEndian: generation) }
        }
    }
}
