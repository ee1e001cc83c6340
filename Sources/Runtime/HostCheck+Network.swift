internal import Kernel
internal import Model
internal import Network

extension HostCheck {
    /// What VPSs with an interface of their own need.
    static func network() -> CheckSection {
        var section = CheckSection("network")
        section.add(
            "nft",
            ToolProcess.find("nft").map { .yes($0) } ?? .no("not in \(ToolProcess.searchPath.joined(separator: ":"))"),
            cost: "--net nat, routed and bridge=NAME can't work: install the package nftables")
        section.add(
            "forwarding of IPv4", isOn("/proc/sys/net/ipv4/ip_forward"),
            cost: "--net nat and routed refuse to start VPSs: set the sysctl net.ipv4.ip_forward to 1")
        section.add(
            "forwarding of IPv6", isOn("/proc/sys/net/ipv6/conf/all/forwarding"),
            cost: "VPSs reach nothing beyond the host by IPv6: set the sysctl net.ipv6.conf.all.forwarding to 1")
        for trial in NetworkTrial.allCases {
            let finding = Probe(namespaces: .network).run { () throws(SysError) in
                do throws(CtrError) { try trial.make() } catch { return .no("\(error.message)") }
                return .yes()
            }
            section.add(trial.feature, finding, cost: trial.cost)
        }
        section.add("name servers", nameServers(), cost: nameServersAdvice)
        section.add("table of neighbours", neighbours(), cost: neighboursAdvice)
        return section
    }

    private static func nameServers() -> Finding {
        do throws(CtrError) {
            switch try HostResolver.reach(Settings.load().network) {
            case .servers(let text): return .yes(text)
            case .some(let text): return .partly(text)
            case .none(let text): return .no(text)
            }
        } catch { return .no(error.message) }
    }

    private static let nameServersAdvice =
        "VPSs of --net nat and routed have no name server that answers, or wait for it: give them one (--dns ADDRESS), or open the host's to them "
        + "(\"network\": {\"hostServices\": [\"53\", \"53/udp\"]} in ctr.json)"

    /// A host that is to have fewer needs no more.
    private static let plenty = 500

    private static func neighbours() -> Finding {
        guard let table = NeighbourTable() else { return .partly("not to be seen in this network namespace") }
        let room = "\(table.most) entries, for about \(table.servers) VPSs of --net nat"
        return table.servers >= plenty ? .yes(room) : .partly(room)
    }

    private static let neighboursAdvice =
        "with more VPSs packets are lost: set the sysctls net.ipv4.neigh.default.gc_thresh3 and net.ipv6.neigh.default.gc_thresh3 "
        + "to 16384, gc_thresh2 of both to half of it"

    private static func isOn(_ path: String) -> Finding {
        guard let bytes = try? open(path, .readOnly).read(upTo: 16), let first = bytes.first else {
            return .no("this kernel has no \(path)")
        }
        return first == UInt8(ascii: "0") ? .no("off") : .yes()
    }
}

extension NetworkTrial {
    fileprivate var feature: String {
        switch self {
        case .pair: "pairs of interfaces"
        case .bridge: "bridges"
        case .filter: "packet filter"
        case .translation: "translation of addresses"
        case .bridgeFilter: "packet filter of bridges"
        case .rules: "rules of VPSs"
        case .tokenBucket: "token bucket"
        case .conntrack: "list of connections"
        }
    }

    /// With what a kernel's configuration calls it.
    fileprivate var cost: String {
        switch self {
        case .pair: "--net nat, routed and bridge=NAME can't work: the kernel needs veth (CONFIG_VETH)"
        case .bridge: "--net nat can't work: the kernel needs bridges (CONFIG_BRIDGE)"
        case .filter: "--net nat, routed and bridge=NAME can't work: the kernel needs nf_tables (CONFIG_NF_TABLES_INET)"
        case .translation: "--net nat can't work: the kernel needs nf_tables' nat (CONFIG_NFT_NAT, CONFIG_NFT_MASQ)"
        case .bridgeFilter:
            "--net nat and bridge=NAME can't work: the kernel needs nf_tables for bridges (CONFIG_NF_TABLES_BRIDGE)"
        case .rules:
            "--net nat, routed and bridge=NAME can't work: nf_tables lacks one of counter, ct, fib, limit, objref or concatenated "
                + "sets"
        case .tokenBucket: "--rate-in is refused: the kernel needs the queue tbf (CONFIG_NET_SCH_TBF)"
        case .conntrack:
            "a client of UDP that asked a port before it was published waits half a minute (CONFIG_NF_CT_NETLINK)"
        }
    }
}
