internal import Model
internal import Runtime

/// What went over VPSs' networks, as `ctr stats --net` shows it to people.
enum NetworkText {
    static func text(_ reading: StatsReading) -> String {
        var table = Table([
            ("NAME", .left), ("ADDRESSES", .left), ("RECEIVED", .right), ("OF IPV6", .right), ("PACKETS", .right),
            ("DROPPED", .right), ("SENT", .right), ("OF IPV6", .right), ("PACKETS", .right), ("DROPPED", .right),
        ])
        for vps in reading.vps {
            let addresses = vps.network?.addresses.map(\.description).joined(separator: ",") ?? ""
            table.add(
                [vps.name.escaped, addresses.isEmpty ? " " : addresses] + cells(vps.network?.received)
                    + cells(vps.network?.sent))
        }
        return table.text
    }

    private static func cells(_ traffic: NetworkDetails.Traffic?) -> [String] {
        guard let traffic else { return [" ", " ", " ", " "] }
        return [
            Format.bytes(Double(traffic.bytes)), Format.bytes(Double(traffic.ipv6.bytes)), "\(traffic.packets)",
            "\(traffic.dropped)",
        ]
    }
}
