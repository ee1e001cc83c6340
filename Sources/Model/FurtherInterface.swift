/// `--interface ethN:bridge=NAME[,...]`: an interface beside eth0, a port of a bridge of the operator's.
public struct FurtherInterface: Codable, Sendable, Hashable {
    /// Inside the VPS: `eth1` to `eth15`.
    public var name: String
    /// On the host.
    public var bridge: String
    /// Its addresses, gateways, MAC and rates; nothing is published there.
    public var interface = VPSNetwork()

    public init(name: String, bridge: String) { (self.name, self.bridge) = (name, bridge) }
}

/// One `--interface` as given.
public struct InterfaceOption: Codable, Sendable, Hashable {
    public var name: String
    /// nil: `none`, it goes.
    public var interface: FurtherInterface?

    /// Reads `ethN:none` or `ethN:bridge=NAME` and what it has, separated by commas.
    /// - Throws: `usage`.
    init(_ value: String) throws(CtrError) {
        func refuse(_ why: String) -> CtrError { CtrError(.usage, "--interface '\(value.escaped)': \(why)") }
        let form = "ethN:bridge=NAME[,ip=ADDRESS/BITS][,gateway=ADDRESS][,mac=MAC][,rate-in=RATE][,rate-out=RATE]"
        guard let colon = value.firstIndex(of: ":") else { throw refuse("not \(form), or ethN:none") }
        name = String(value[..<colon])
        if name == "eth0" { throw refuse("eth0 is what --net, --ip and --mac say") }
        guard FurtherInterface.names.contains(name) else { throw refuse("its name is not eth1 to eth15") }
        let parts = value[value.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: false)
        if parts == ["none"] { return }
        guard let kind = parts.first.map(String.init), kind.hasPrefix("bridge=") else {
            let isOther = parts.first.map { ["nat", "routed", "host"].contains($0) } ?? false
            throw refuse(isOther ? "only eth0 can be of nat, routed or host (--net)" : "not \(form), or ethN:none")
        }
        guard case .bridge(let bridge) = NetworkChoice(text: kind) else {
            throw refuse("'\(kind.escaped)' names no interface")
        }
        var interface = FurtherInterface(name: name, bridge: bridge)
        var seen: Set<String> = []
        for part in parts.dropFirst() {
            let key = OptionKey.name(String(part))
            guard ["ip", "gateway", "mac", "rate-in", "rate-out"].contains(key), part.contains("=") else {
                let hint = key == "publish" ? "published ports lead to eth0 (--publish)" : "not \(form)"
                throw refuse("'\(String(part).escaped)': \(hint)")
            }
            if !seen.insert(key).inserted, key != "ip", key != "gateway" { throw refuse("\(key) is given twice") }
            do throws(CtrError) { try interface.interface.set("--\(key)", OptionKey.value(String(part))) } catch {
                throw CtrError(.usage, "--interface \(name): \(error.message.dropFirst(2))")
            }
        }
        self.interface = interface
    }
}

extension FurtherInterface {
    static let names = (1...15).map { "eth\($0)" }

    /// As the option has it.
    public var text: String {
        let words =
            interface.addresses.map { "ip=\($0)" } + interface.gateways.map { "gateway=\($0)" }
            + (interface.mac.map { ["mac=\($0)"] } ?? [])
            + (interface.rateIn.map { ["rate-in=\($0 * 8)"] } ?? [])
            + (interface.rateOut.map { ["rate-out=\($0 * 8)"] } ?? [])
        return (["\(name):bridge=\(bridge)"] + words).joined(separator: ",")
    }

    /// Whether a running VPS takes on the difference to another of this name: what is left is addresses, gateways and rates.
    func isLive(_ new: FurtherInterface) -> Bool { bridge == new.bridge && interface.mac == new.interface.mac }
}

extension VPSConfig {
    /// As ``interfaces``. One that had some once knows that by an empty list: what they had is given back at its next start.
    public var furtherInterfaces: [FurtherInterface] {
        get { interfaces ?? [] }
        set { interfaces = newValue.isEmpty && interfaces == nil ? nil : newValue }
    }

    /// Whether it has any interface that ctr makes.
    public var hasInterface: Bool { network.hasInterface || !furtherInterfaces.isEmpty }

    /// A configuration for each of its interfaces, as if that were its only one: eth0's has the VPS's own name, the others
    /// `NAME@eth1`.
    public var ports: [VPSConfig] {
        (network.hasInterface ? [self] : []) + furtherInterfaces.map(port)
    }

    /// Whether another configuration has interfaces of the same names on the same bridges.
    public func hasSamePorts(as other: VPSConfig) -> Bool {
        furtherInterfaces.map { [$0.name, $0.bridge] } == other.furtherInterfaces.map { [$0.name, $0.bridge] }
    }

    private func port(_ further: FurtherInterface) -> VPSConfig {
        var port = self
        port.name = VPSConfig.portName(further.name, of: name)
        port.network = .bridge(further.bridge)
        port.interface = further.interface
        port.interfaces = nil
        return port
    }

    /// No VPS's name has an `@`.
    public static func portName(_ interface: String, of vps: String) -> String { "\(vps)@\(interface)" }

    /// In the order of their names.
    public mutating func take(_ options: [InterfaceOption]) {
        for option in options {
            furtherInterfaces.removeAll { $0.name == option.name && option.interface == nil }
            if let interface = option.interface { furtherInterfaces.merge([interface]) { $0.name } }
        }
        furtherInterfaces.sort { FurtherInterface.number($0.name) < FurtherInterface.number($1.name) }
    }

    /// What only one VPS of a network can have goes.
    public mutating func leaveNetworkIdentity() {
        onNetwork.leaveIdentity()
        if furtherInterfaces.isEmpty { return interfaces = nil }
        for index in furtherInterfaces.indices { furtherInterfaces[index].interface.leaveIdentity() }
    }

    /// Takes those of another configuration whose difference acts on a running VPS.
    public mutating func takeLiveInterfaces(_ new: VPSConfig) {
        for index in furtherInterfaces.indices {
            let old = furtherInterfaces[index]
            if let now = new.furtherInterfaces.first(where: { $0.name == old.name }), old.isLive(now) {
                furtherInterfaces[index] = now
            }
        }
    }

    /// Takes what another configuration has the host do for interfaces that are the same there: published ports and rates.
    public mutating func takeHostSide(of other: VPSConfig) {
        if network == other.network, onNetwork.mac == other.onNetwork.mac {
            onNetwork.takeHostSide(of: other.onNetwork)
        }
        for index in furtherInterfaces.indices {
            let own = furtherInterfaces[index]
            if let new = other.furtherInterfaces.first(where: { $0.name == own.name }), own.isLive(new) {
                furtherInterfaces[index].interface.takeHostSide(of: new.interface)
            }
        }
    }

    /// That they can be, beside eth0 and each other.
    /// - Throws: `usage`.
    func checkInterfaces() throws(CtrError) {
        if furtherInterfaces.isEmpty { return }
        func refuse(_ name: String, _ why: String) -> CtrError {
            CtrError(.usage, "--interface \(name.escaped): \(why)")
        }
        if network == .host {
            throw refuse(furtherInterfaces[0].name, "with --net host it has the host's own interfaces")
        }
        var names: Set<String> = []
        var addresses = Set(onNetwork.addresses.map(\.address))
        var macs = Set(onNetwork.mac.map { [$0] } ?? [])
        var ways = waysOut
        for further in furtherInterfaces {
            let (name, own) = (further.name, further.interface)
            guard FurtherInterface.names.contains(name), names.insert(name).inserted,
                NetworkChoice(text: "bridge=\(further.bridge)") != nil, own.published.isEmpty
            else { throw refuse(name, "no interface that a VPS can have") }
            for address in own.addresses {
                if address.bits == address.address.width {
                    throw refuse(
                        name, "ip=\(address.address): say its network too (/\(address.address.isIPv6 ? 64 : 24))")
                }
                guard addresses.insert(address.address).inserted else {
                    throw refuse(name, "ip=\(address.address): another of its interfaces has this address")
                }
            }
            if let mac = own.mac, !macs.insert(mac).inserted {
                throw refuse(name, "mac=\(mac): another of its interfaces has this MAC")
            }
            for gateway in own.gateways {
                if let other = ways.first(where: { $0.six == gateway.isIPv6 }) {
                    throw refuse(
                        name, "gateway=\(gateway): its way out of IPv\(gateway.isIPv6 ? 6 : 4) is that of \(other.name)"
                    )
                }
                ways.append((name, gateway.isIPv6))
            }
            try own.checkRates("--interface \(name): ")
        }
    }

    /// The ways out that eth0 has.
    private var waysOut: [(name: String, six: Bool)] {
        switch network {
        case .none, .host: []
        case .nat: [("eth0", false), ("eth0", true)]
        case .routed: Set(onNetwork.addresses.map(\.address.isIPv6)).map { ("eth0", $0) }
        case .bridge: onNetwork.gateways.map { ("eth0", $0.isIPv6) }
        }
    }
}

extension FurtherInterface {
    static func number(_ name: String) -> Int { Int(name.dropFirst(3)) ?? 0 }
}
