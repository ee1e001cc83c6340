internal import Kernel
public import Model

// A VPS with several interfaces. Each is a port with a claim, a note, totals and an alias of its own: eth0's go by the VPS's name,
// those of the others by `NAME@eth1` (``Model/VPSConfig/ports``). Which others it has, or had, `ports-NAME` says: made before the
// first of them, and removed after the last.
extension HostNetwork {
    /// The VPS that a port is of.
    static func owner(of port: String) -> String { String(port.prefix { $0 != "@" }) }

    /// Of a port the interface's name inside.
    public static func guestInterface(of port: String) -> String {
        port.firstIndex(of: "@").map { String(port[port.index(after: $0)...]) } ?? guestInterface
    }

    /// For messages: `VPS web`, `interface eth1 of VPS web`.
    static func title(of port: String) -> String {
        let vps = owner(of: port)
        return vps == port
            ? "VPS \(vps.escaped)" : "interface \(guestInterface(of: port).escaped) of VPS \(vps.escaped)"
    }

    /// All ports that a VPS may have anything of.
    func ports(of vps: String, _ registry: borrowing AddressRegistry) throws(CtrError) -> [String] {
        [vps] + (try registry.further(of: vps)).map { VPSConfig.portName($0, of: vps) }
    }

    /// What one is about to claim is found by its VPS's name.
    func enlist(_ port: String, _ registry: borrowing AddressRegistry) throws(CtrError) {
        let (vps, interface) = (HostNetwork.owner(of: port), HostNetwork.guestInterface(of: port))
        if vps == port { return }
        let known = try registry.further(of: vps)
        if !known.contains(interface) { try registry.write(further: known + [interface], of: vps) }
    }

    /// Gives back what a stopped VPS had by interfaces that its configuration has no more; what went over them is not
    /// forgotten.
    /// - Returns: whether it had any.
    @discardableResult
    public func releaseOthers(than config: VPSConfig) throws(CtrError) -> Bool {
        let kept = config.ports.map(\.name)
        var others: [String] = []
        do {
            guard let registry = try registry(mending: config.name) else { return false }
            for port in try ports(of: config.name, registry) where !kept.contains(port) {
                if try registry.note(of: port) != nil { others.append(port) }
            }
        }
        for port in others { try release(port: port, keepingTotals: true) }
        return !others.isEmpty
    }
}
