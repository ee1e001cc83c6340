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
            let name = vps.name.escaped
            table.add(row(name, vps.network))
            for further in vps.interfaces ?? [] where further.name != "eth0" {
                table.add(row("\(name)@\(further.name)", further.network))
            }
        }
        return table.text
    }

    private static func row(_ name: String, _ network: NetworkDetails?) -> [String] {
        let addresses = network?.addresses.map(\.description).joined(separator: ",") ?? ""
        return [name, addresses.isEmpty ? " " : addresses] + cells(network?.received) + cells(network?.sent)
    }

    private static func cells(_ traffic: NetworkDetails.Traffic?) -> [String] {
        guard let traffic else { return [" ", " ", " ", " "] }
        return [
            Format.bytes(Double(traffic.bytes)), Format.bytes(Double(traffic.ipv6.bytes)), "\(traffic.packets)",
            "\(traffic.dropped)",
        ]
    }
}
