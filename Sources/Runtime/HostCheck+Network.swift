internal import Kernel

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
        return section
    }

    private static func isOn(_ path: String) -> Finding {
        guard let bytes = try? open(path, .readOnly).read(upTo: 16), let first = bytes.first else {
            return .no("this kernel has no \(path)")
        }
        return first == UInt8(ascii: "0") ? .no("off") : .yes()
    }
}
