import Model
import Testing

@Suite struct AddressTests {
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("192.0.2.255", "192.0.2.255"), ("::", "::"), ("::1", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("fe80::192.0.2.1", "fe80::c000:201"), ("1::", "1::"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
    ])
    func addressesAreReadAndWritten(_ text: String, _ canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.-4", "+1.2.3.4", "1.2.3.4 ", ":", ":::", "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::", "fe80::1%eth0", "::1.2.3", "1.2.3.4::", "-1::",
    ])
    func whatIsNoAddressIsRefused(_ text: String) { #expect(IPAddress(text) == nil) }

    @Test func networks() throws {
        let network = try #require(CIDR("10.1.130.7/17"))
        #expect(network.network.description == "10.1.128.0" && network.last.description == "10.1.255.255")
        #expect(network.contains(IPAddress("10.1.200.1")!) && !network.contains(IPAddress("10.1.127.255")!))
        #expect(!network.contains(IPAddress("::1")!))
        #expect(network.overlaps(CIDR("10.0.0.0/8")!) && network.overlaps(CIDR("10.1.129.0/24")!))
        #expect(!network.overlaps(CIDR("10.1.0.0/17")!))
        #expect(CIDR("192.0.2.1")?.bits == 32 && CIDR("::1")?.bits == 128)
        for text in ["1.2.3.4/33", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/+8", "::/129", "1.2.3.4/8/8"] {
            #expect(CIDR(text) == nil, "\(text)")
        }
    }

    @Test func countingOn() {
        #expect(IPAddress("10.0.0.255")!.advanced(by: 2)?.description == "10.0.1.1")
        #expect(IPAddress("255.255.255.255")!.advanced(by: 1) == nil)
        #expect(IPAddress("fd00::ffff:ffff")!.advanced(by: 1)?.description == "fd00::1:0:0")
    }

    @Test func macs() {
        #expect(MACAddress("02:AB:00:00:00:0f")?.description == "02:ab:00:00:00:0f")
        for text in [
            "", "01:00:00:00:00:00", "00:00:00:00:00:00", "2:0:0:0:0:1", "02:00:00:00:00", "02-00-00-00-00-01",
        ] {
            #expect(MACAddress(text) == nil, "\(text)")
        }
    }

    @Test(arguments: [
        ("80:8080", "80:8080"), ("53:53/udp", "53:53/udp"), ("1:2/tcp", "1:2"), ("192.0.2.1:80:81", "192.0.2.1:80:81"),
        ("[2001:DB8::1]:80:81/udp", "[2001:db8::1]:80:81/udp"),
    ])
    func publishedPorts(_ text: String, _ canonical: String) {
        #expect(PublishedPort(text)?.description == canonical)
    }

    @Test(arguments: [
        "", "80", "0:80", "80:0", "80:65536", "a:b", "80:80/sctp", "2001:db8::1:80:81", "[192.0.2.1]:1:2", "x:80:80",
        ":80", "+1:2",
    ])
    func whatIsNoPublishedPortIsRefused(_ text: String) { #expect(PublishedPort(text) == nil) }

    @Test(arguments: ["none", "host", "nat", "routed", "bridge=br0", "bridge=br-lan.7"])
    func choices(_ text: String) { #expect(NetworkChoice(text: text)?.text == text) }

    @Test(arguments: [
        "", "bridge", "bridge=", "bridge=a b", "bridge=a/b", "bridge=.", "bridge=0123456789abcdef", "NAT", "bridge=\"x",
    ])
    func whatIsNoChoiceIsRefused(_ text: String) { #expect(NetworkChoice(text: text) == nil) }

    @Test(arguments: [
        ("none", "--ip", "10.0.0.7"), ("host", "--publish", "1:1"), ("routed", "--publish", "1:1"),
        ("routed", "--mac", "02:00:00:00:00:01"),
        ("nat", "--gateway", "10.0.0.1"), ("bridge=br0", "--ip", "10.0.0.7"),
    ])
    func optionsThatDoNotFitAreRefused(_ net: String, _ option: String, _ value: String) throws {
        var options = VPSOptions()
        try options.set("--net", net)
        try options.set(option, value)
        var config = VPSConfig(name: "a", template: "t", created: "", args: ["true"])
        config.network = options.network!
        config.onNetwork = options.interface
        let error = #expect(throws: CtrError.self) { try config.checkNetwork() }
        #expect(error?.code == .usage)
    }

    @Test(arguments: [
        ("--ip", "127.0.0.1"), ("--ip", "224.0.0.1"), ("--ip", "::1"), ("--ip", "ff02::1"), ("--ip", "x"),
        ("--mac", "01:00:00:00:00:01"),
        ("--rate-in", "0"), ("--rate-in", "-1M"), ("--rate-out", "1"), ("--rate-out", "M"), ("--rate-out", "2000G"),
        ("--gateway", "10.0.0.0/8"),
        ("--net", "veth"),
    ])
    func badValuesAreRefused(_ option: String, _ value: String) {
        var options = VPSOptions()
        let error = #expect(throws: CtrError.self) { try options.set(option, value) }
        #expect(error?.code == .usage && error?.message.contains(option) == true)
    }

    @Test func ratesAreBitsASecond() throws {
        var options = VPSOptions()
        try options.set("--rate-in", "100M")
        try options.set("--rate-out", "1.5G")
        #expect(options.interface.rateIn == 12_500_000 && options.interface.rateOut == 187_500_000)
    }

    // MARK: further interfaces

    private func config(_ net: String, _ options: (String, String)...) throws -> VPSConfig {
        var all = VPSOptions()
        try all.set("--net", net)
        for (option, value) in options { try all.set(option, value) }
        var config = VPSConfig(name: "a", template: "t", created: "", args: ["true"])
        config.network = all.network!
        config.onNetwork = all.interface
        config.furtherInterfaces = all.interfaces.compactMap(\.interface)
        try config.checkNetwork()
        return config
    }

    /// Of interfaces that are the same in both, and nothing else.
    @Test func whatTheHostDoesIsTakenOver() throws {
        func made(_ given: (String, String)...) throws -> VPSConfig {
            var options = VPSOptions()
            for (option, value) in given { try options.set(option, value) }
            var config = VPSConfig(name: "web", template: "t", created: "", args: ["true"])
            config.network = options.network ?? .nat
            config.onNetwork = options.interface
            config.take(options.interfaces)
            return config
        }
        let old = try made(("--publish", "80:80"), ("--interface", "eth1:bridge=b,ip=10.0.0.1/24"))
        var taken = old
        taken.takeHostSide(
            of: try made(
                ("--ip", "10.9.0.7"), ("--publish", "81:80"), ("--rate-in", "8M"),
                ("--interface", "eth1:bridge=b,ip=10.0.0.2/24,rate-out=8M"), ("--interface", "eth2:bridge=b")))
        #expect(
            try taken
                == made(
                    ("--publish", "81:80"), ("--rate-in", "8M"),
                    ("--interface", "eth1:bridge=b,ip=10.0.0.1/24,rate-out=8M")))
        taken = old
        taken.takeHostSide(
            of: try made(
                ("--mac", "02:00:5e:00:00:07"), ("--publish", "81:80"), ("--interface", "eth1:bridge=c,rate-in=8M")))
        #expect(taken == old)
        taken.takeHostSide(of: try made())
        #expect(try taken == made(("--interface", "eth1:bridge=b,ip=10.0.0.1/24")))
    }

    @Test func furtherInterfacesArePortsOfTheirOwn() throws {
        let text = "eth1:bridge=br0,ip=10.0.0.7/24,ip=fd00::7/64,mac=02:00:00:00:00:01,rate-in=8000,rate-out=16000"
        let config = try config("nat", ("--interface", "eth2:bridge=br1"), ("--interface", text))
        #expect(config.furtherInterfaces.map(\.text).contains(text))
        #expect(Set(config.ports.map(\.name)) == ["a", "a@eth1", "a@eth2"])
        let port = try #require(config.ports.first { $0.name == "a@eth1" })
        #expect(port.network == .bridge("br0") && port.onNetwork.addresses.count == 2 && port.onNetwork.rateIn == 1000)
        #expect(try self.config("none", ("--interface", "eth1:bridge=br0")).ports.map(\.name) == ["a@eth1"])
    }

    @Test(arguments: [
        "", "eth1", "eth1:", "eth0:bridge=br0", "eth16:bridge=br0", "lan:bridge=br0", "eth1:nat", "eth1:routed",
        "eth1:host",
        "eth1:bridge=", "eth1:bridge=a b", "eth1:bridge=br0,", "eth1:bridge=br0,ip", "eth1:bridge=br0,ip=x",
        "eth1:bridge=br0,publish=1:1", "eth1:bridge=br0,mac=01:00:00:00:00:01", "eth1:bridge=br0,rate-in=0",
        "eth1:bridge=br0,rate-in=1M,rate-in=2M", "eth1:none,ip=10.0.0.7/24",
    ])
    func whatIsNoFurtherInterfaceIsRefused(_ text: String) {
        var options = VPSOptions()
        let error = #expect(throws: CtrError.self) { try options.set("--interface", text) }
        #expect(error?.code == .usage && error?.message.contains("--interface") == true)
    }

    @Test(
        arguments: [
            ("host", "eth1:bridge=br0", nil), ("nat", "eth1:bridge=br0,ip=10.0.0.7", nil),
            ("nat", "eth1:bridge=br0,ip=10.0.0.7/24,gateway=10.0.0.1", nil),
            ("none", "eth1:bridge=br0,ip=10.0.0.7/24", "eth2:bridge=br1,ip=10.0.0.7/24"),
            ("none", "eth1:bridge=br0,mac=02:00:00:00:00:01", "eth2:bridge=br1,mac=02:00:00:00:00:01"),
            (
                "none", "eth1:bridge=br0,ip=10.0.0.7/24,gateway=10.0.0.1",
                "eth2:bridge=br1,ip=10.1.0.7/24,gateway=10.1.0.1"
            ),
        ] as [(String, String, String?)])
    func furtherInterfacesThatDoNotFitAreRefused(_ net: String, _ first: String, _ second: String?) throws {
        let error = #expect(throws: CtrError.self) {
            if let second { return _ = try config(net, ("--interface", first), ("--interface", second)) }
            _ = try config(net, ("--interface", first))
        }
        #expect(error?.code == .usage)
    }
}
