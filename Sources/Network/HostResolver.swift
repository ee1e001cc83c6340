internal import Kernel
public import Model

/// Name servers for a VPS behind the host: the host's own.
public enum HostResolver {
    /// As /etc/resolv.conf has it; nil where the host knows none that the VPS can reach.
    public static func text() -> String? {
        found().map { "# by ctr, of the host's \($0.path)\n" + $0.lines.joined(separator: "\n") + "\n" }
    }

    /// The same, where the host asks itself alone and VPSs may ask it too: it is at their gateways.
    public static func text(at gateways: [IPAddress], _ settings: NetworkSettings?) -> String? {
        guard settings?.opensNames == true, !gateways.isEmpty else { return nil }
        return "# by ctr: the host itself\n" + gateways.map { "nameserver \($0)\n" }.joined()
    }

    /// What a VPS that is told none gets by the host's own files, in words.
    public enum Reach {
        case servers(String)
        /// Others than the host itself, which VPSs can't ask and may wait for.
        case some(String)
        /// Only the host itself, which VPSs can't ask.
        case none(String)
    }

    public static func reach(_ settings: NetworkSettings?) throws(CtrError) -> Reach {
        let own = try NetlinkSocket().addresses().map(\.address.address)
        let servers = servers()
        let (here, elsewhere) = (servers.filter(own.contains), servers.filter { !own.contains($0) })
        func list(_ servers: [IPAddress]) -> String { servers.map { "\($0)" }.joined(separator: ", ") }
        if settings?.opensNames == true { return .servers(servers.isEmpty ? "the host itself" : list(servers)) }
        if !elsewhere.isEmpty, !here.isEmpty {
            return .some("VPSs can reach \(list(elsewhere)), and not the host's resolver at \(list(here))")
        }
        if !elsewhere.isEmpty { return .servers(list(elsewhere)) }
        return .none(
            "VPSs can't reach the host's resolver" + (here.isEmpty ? " on its own loopback" : " at \(list(here))"))
    }

    /// Their addresses.
    static func servers() -> [IPAddress] {
        found()?.lines.compactMap { $0.hasPrefix("nameserver ") ? IPAddress(String($0.dropFirst(11))) : nil } ?? []
    }

    private static func found() -> (path: String, lines: [String])? {
        // The second has what a resolver on the host's own loopback asks in its turn: systemd-resolved writes it so.
        for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
            guard let bytes = try? open(path, [.readOnly, .nonBlocking]).readAll(limit: 1 << 16) else { continue }
            let lines = usable(String(decoding: bytes, as: UTF8.self))
            if lines.contains(where: { $0.hasPrefix("nameserver") }) {
                return (path, lines)
            }
        }
        return nil
    }

    /// What means the same inside: servers on other machines, domains and options.
    private static func usable(_ text: String) -> [String] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split { $0 == " " || $0 == "\t" }
            switch words.first {
            case "nameserver":
                guard words.count > 1, let address = IPAddress(String(words[1])), address.isHost,
                    // Link-local ones are of another link.
                    !(address.isIPv6 && address.bytes[0] == 0xfe && address.bytes[1] & 0xc0 == 0x80)
                else { return nil }
                return "nameserver \(address)"
            case "search", "domain", "options": return words.joined(separator: " ")
            default: return nil
            }
        }
    }
}
