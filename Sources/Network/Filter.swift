internal import Model

/// The packet filter of one root: a table of its own for addresses and ports, and one of the bridge family for what may
/// come out of a VPS. Other tables are neither read nor written.
struct Filter {
    let table: String
    let bridge: String
    let subnet4: CIDR
    let subnet6: CIDR?
    /// VPSs on ctr's bridge may talk to each other.
    let open: Bool
    /// What of the host VPSs may reach.
    var services: [HostService] = []

    /// Makes both tables anew in one transaction, without any VPS in them.
    ///
    /// By nft's own language: its JSON form can't describe `targets6` before nft 1.0.9. Everything that is filled in is made
    /// by ctr: names, and networks that have been parsed.
    func install() throws(CtrError) { try Nft.run(rules) }

    /// Takes both away; what is not there is no error.
    static func remove(table: String) throws(CtrError) { try Nft.run(removal(table)) }

    /// `add` makes sure that there is something to delete.
    private static func removal(_ table: String) -> String {
        ["inet", "bridge"].map { "add table \($0) \(table)\ndelete table \($0) \(table)\n" }.joined()
    }

    /// On packets of one VPS that asked for another one's published port, from one hook to the next.
    private static let mark = "0x40000000"

    private var rules: String {
        Filter.removal(table)
            + "table inet \(table) {\n\(maps)\(translation)\(walls)}\ntable bridge \(table) {\n\(ports)}\n"
    }

    /// Published ports: of all the host's addresses, or of one.
    private var maps: String {
        [("4", "ipv4_addr"), ("6", "ipv6_addr")].map { family, type in
            """
              map publish\(family) { type inet_proto . inet_service : \(type) . inet_service; }
              map publish\(family)at { type \(type) . inet_proto . inet_service : \(type) . inet_service; }

            """
        }.joined()
    }

    private var translation: String {
        let publish = """
                fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @publish4at
                fib daddr type local dnat ip to meta l4proto . th dport map @publish4
                fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish6at
                fib daddr type local dnat ip6 to meta l4proto . th dport map @publish6

            """
        let masquerade = ([("ip", subnet4)] + (subnet6.map { [("ip6", $0)] } ?? [])).map { family, subnet in
            // The second is for a VPS that asks for a port that another one has published.
            """
                \(family) saddr \(subnet) oifname != "\(bridge)" masquerade
                ct status dnat \(family) saddr \(subnet) oifname "\(bridge)" masquerade

            """
        }.joined()
        return """
              chain prerouting { type nat hook prerouting priority -100; policy accept;
            \(publish)  }
              chain hairpin { type filter hook prerouting priority -90; policy accept;
                iifname "\(bridge)" ct status dnat meta mark set meta mark | \(Filter.mark)
              }
              chain output { type nat hook output priority -100; policy accept;
                ip daddr 127.0.0.0/8 accept
                ip6 daddr ::1 accept
            \(publish)  }
              chain postrouting { type nat hook postrouting priority 100; policy accept;
            \(masquerade)  }

            """
    }

    /// What may reach the VPSs of the bridge, and what of the host they may reach. All interfaces of ctr's begin with its name,
    /// also those of other roots.
    private var walls: String {
        """
          chain forward { type filter hook forward priority 0; policy accept;
            iifname != "\(bridge)" oifname != "\(bridge)" accept
            ct state established,related accept
            ct status dnat accept
            iifname "\(bridge)" oifname "\(bridge)" \(open ? "accept" : "drop")
            oifname "\(bridge)" drop
          }
          chain services {
            ct state established,related accept
            icmp type echo-request accept
            icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert } accept
        \(opened)    drop
          }
          set routed { type ifname; }
          chain input { type filter hook input priority 0; policy accept;
            iifname "\(bridge)" goto services
            iifname @routed goto services
            iifname "\(bridge)p*" drop
            iifname "\(HostNetwork.portPrefix)*" drop
          }
          set routed4 { type ifname . ipv4_addr; }
          set routed6 { type ifname . ipv6_addr; }
          map rates { type ifname : limit; }
        \(counters(four: "meta nfproto ipv4", six: "meta nfproto ipv6"))
          chain raw { type filter hook prerouting priority -300; policy accept;
            iifname != @routed accept
            limit name iifname map @rates jump refuse
            iifname . ip saddr @routed4 goto sent
            iifname . ip6 saddr @routed6 goto sent
            ip6 saddr fe80::/10 goto sent
            ip6 saddr :: goto sent
            jump refuse
          }
          chain routedforward { type filter hook forward priority 0; policy accept;
            ct state established,related accept
            iifname "ctr*" oifname @routed \(open ? "accept" : "drop")
          }

        """
    }

    /// Ports of the host.
    private var opened: String {
        [false, true].map { udp in
            let ports = Set(services.filter { $0.isUDP == udp }.map(\.port)).sorted().map { "\($0)" }
            let rule = "\(udp ? "udp" : "tcp") dport { \(ports.joined(separator: ", ")) } accept"
            return ports.isEmpty ? "" : "    \(rule)\n"
        }.joined()
    }

    /// What VPSs send, beside what of it is dropped, and what is sent to them.
    private func counters(four: String, six: String) -> String {
        TrafficCounter.allCases.map { "  map \($0.map) { type ifname : counter; }\n" }.joined() + """
              chain refuse {
                counter name iifname map @refused
                drop
              }
              chain sent {
                \(four) counter name iifname map @sent4
                \(six) counter name iifname map @sent6
              }
              chain received { type filter hook postrouting priority 300; policy accept;
                \(four) counter name oifname map @received4
                \(six) counter name oifname map @received6
              }
            """
    }

    /// What may come in at a VPS's port: its own addresses and nothing else. And from port to port of ctr's bridge nothing, but
    /// for what asked for a published port: with br_netfilter, which other programs load, the bridge itself passes that on.
    /// (For the same reason ports are not `isolated`.) Ordinary packets are through after the fewest rules.
    ///
    /// The kind of a frame is taken from its header: where it has a VLAN tag, `meta protocol`, by which nft tells what a rule on
    /// `ip6 saddr` is about, is that of what the tag is on, and `ether type` the tag's.
    ///
    /// Frames to 01:80:c2:00:00:00 to :0f are for the bridge itself: of those it hands on to the host, as of the port, some pass
    /// `input` alone, and some (0, of a spanning tree, and e) no hook of the family at all (br_handle_frame in
    /// net/bridge/br_input.c). What is of IP the table `inet` drops; see also ``NetlinkBatch/setSilent(port:)``.
    private var ports: String {
        """
          set ports { type ifname; }
          set macs { type ifname . ether_addr; }
          set own4 { type ifname . ether_addr . ipv4_addr; }
          set own6 { type ifname . ether_addr . ipv6_addr; }
          set targets6 { typeof iifname . ether saddr . @th,64,128; }
          map rates { type ifname : limit; }
        \(counters(four: "ether type ip", six: "ether type ip6"))
          chain prerouting { type filter hook prerouting priority -300; policy accept;
            iifname != @ports accept
            limit name iifname map @rates jump refuse
            ether type vmap { ip : goto ipv4, ip6 : goto ipv6, arp : goto whohas }
            jump refuse
          }
          chain ipv4 {
            udp sport 67 jump refuse
            iifname . ether saddr . ip saddr @own4 goto sent
            iifname . ether saddr @macs goto sent
            jump refuse
          }
          chain ipv6 {
            meta l4proto tcp iifname . ether saddr . ip6 saddr @own6 goto sent
            icmpv6 type { nd-router-advert, nd-redirect } jump refuse
            udp sport 547 jump refuse
            iifname . ether saddr @macs goto sent
            icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @targets6 jump refuse
            iifname . ether saddr . ip6 saddr @own6 goto sent
            ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . ether saddr . @th,64,128 @targets6 goto sent
            ip6 saddr :: icmpv6 type { mld-listener-report, mld2-listener-report } goto sent
            jump refuse
          }
          chain whohas {
            iifname . ether saddr . arp saddr ip @own4 iifname . arp saddr ether . arp saddr ip @own4 accept
            iifname . ether saddr @macs accept
            jump refuse
          }
          chain input { type filter hook input priority -300; policy accept;
            ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 iifname @ports jump refuse
          }
          chain forward { type filter hook forward priority 0; policy accept;
            iifname != "\(bridge)p*" accept
            meta mark & \(Filter.mark) != 0 accept
            \(open ? "accept" : "drop")
          }

        """
    }
}
