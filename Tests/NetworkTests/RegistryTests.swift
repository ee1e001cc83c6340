import Kernel
import Model
import Testing

@testable import Network

/// A root with VPSs' directories, and no network: what is claimed and released lies in files alone.
private func withRoot(_ subnet: String = "10.9.0.0/24", _ body: (HostNetwork, (String) throws -> Void) throws -> Void)
    throws
{
    let path = "/tmp/ctr-network-\(CurrentProcess.pid)-\(UInt32.random(in: 0...UInt32.max))"
    let root = try open("/", [.directory])
    try root.makeDirectory(path, mode: 0o700)
    try root.makeDirectory("\(path)/vps", mode: 0o700)
    defer { do { _ = try ToolProcess("rm", ["-rf", path]).wait() } catch {} }
    var settings = NetworkSettings()
    settings.subnet = CIDR(subnet)
    let network = HostNetwork(root: path, isStandard: false, settings: settings)
    try body(network) { try root.makeDirectory("\(path)/vps/\($0)", mode: 0o700) }
}

private func config(_ name: String, _ options: (String, String)...) throws -> VPSConfig {
    var given = VPSOptions()
    try given.set("--net", "nat")
    for (option, value) in options { try given.set(option, value) }
    var config = VPSConfig(name: name, template: "t", created: "", args: ["true"])
    config.network = given.network ?? .none
    config.onNetwork = given.interface
    try config.checkNetwork()
    return config
}

@Suite struct RegistryTests {
    @Test func anAddressIsGivenOnceAndKept() throws {
        try withRoot { network, make in
            try make("a")
            try make("b")
            let a = try network.claim(config("a"), durable: false)
            let b = try network.claim(config("b"), durable: true)
            #expect(a.addresses.count == 2 && Set(a.addresses).isDisjoint(with: b.addresses))
            #expect(a.mac != b.mac)
            #expect(try network.claim(config("a"), durable: false) == a)
            #expect(a.addresses[0].bits == 24 && a.addresses[1].bits == 64)
            #expect(a.gateways.map(\.description)[0] == "10.9.0.1")
            #expect(try network.lookup("a")?.addresses == a.addresses.map(\.address))
        }
    }

    @Test func aPoolUsedUpSaysSo() throws {
        try withRoot("10.9.0.0/29") { network, make in
            var seen: Set<IPAddress> = []
            for index in 0..<5 {
                try make("v\(index)")
                seen.formUnion(try network.claim(config("v\(index)"), durable: false).addresses.map(\.address))
            }
            #expect(seen.count == 10)
            try make("one-more")
            let error = #expect(throws: CtrError.self) { try network.claim(config("one-more"), durable: false) }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("all 5 addresses of 10.9.0.0/29 are in use") == true)
            #expect(try network.lookup("one-more") == nil)
        }
    }

    @Test func whatBelongsToADirectoryThatIsGoneIsFreed() throws {
        try withRoot("10.9.0.0/29") { network, make in
            for index in 0..<5 {
                try make("v\(index)")
                _ = try network.claim(config("v\(index)"), durable: false)
            }
            try open("\(network.root)/vps", [.directory]).unlink("v3", directory: true)
            try make("new")
            let new = try network.claim(config("new"), durable: false)
            #expect(new.addresses.count == 2)
            #expect(try network.lookup("v3") == nil)
            #expect(try network.reclaim() == [])
        }
    }

    @Test func addressesAndPortsOfOthersAreRefused() throws {
        try withRoot { network, make in
            try make("a")
            try make("b")
            let mac = ("--mac", "02:00:5E:00:00:07")
            _ = try network.claim(config("a", ("--ip", "10.9.0.7"), ("--publish", "80:8080"), mac), durable: false)
            for options in [[("--ip", "10.9.0.7")], [("--publish", "80:1")], [("--mac", "02:00:5e:00:00:07")]] {
                var other = try config("b")
                var given = VPSOptions()
                for (option, value) in options { try given.set(option, value) }
                other.onNetwork = given.interface
                let error = #expect(throws: CtrError.self) { try network.claim(other, durable: false) }
                #expect(error?.code == .cannotCreate && error?.message.contains("VPS a has") == true)
                // Half a claim is none.
                #expect(try network.lookup("b") == nil)
            }
            // Another transport and another address of the host are other ports.
            _ = try network.claim(
                config("b", ("--publish", "80:1/udp"), ("--publish", "192.0.2.1:80:1")), durable: false)
        }
    }

    @Test(arguments: ["10.9.0.0", "10.9.0.1", "10.9.0.255", "10.8.0.7", "fd00::7", "192.0.2.1"])
    func addressesOutsideThePoolAreRefused(_ address: String) throws {
        try withRoot { network, make in
            try make("a")
            let error = #expect(throws: CtrError.self) {
                try network.claim(config("a", ("--ip", address)), durable: false)
            }
            #expect(error?.code == .usage && error?.message.contains(address) == true)
            #expect(try network.lookup("a") == nil)
        }
    }

    @Test func aClaimThatChangesGivesBackTheOld() throws {
        try withRoot { network, make in
            try make("a")
            try make("b")
            _ = try network.claim(config("a", ("--ip", "10.9.0.7"), ("--publish", "80:80")), durable: false)
            _ = try network.claim(config("a", ("--ip", "10.9.0.8")), durable: false)
            let b = try network.claim(config("b", ("--ip", "10.9.0.7"), ("--publish", "80:80")), durable: false)
            #expect(b.addresses.map(\.description) == ["10.9.0.7/24"])
            // A claim that fails leaves what there was.
            #expect(throws: CtrError.self) {
                try network.claim(config("a", ("--ip", "10.9.0.9"), ("--publish", "80:80")), durable: false)
            }
            #expect(try network.lookup("a")?.addresses.map(\.description) == ["10.9.0.8"])
        }
    }

    /// Also by whoever comes next, where the rename was killed after the directory's.
    @Test(arguments: ["itself", "z", "a", "reclaim"]) func aRenamedVPSKeepsItsAddresses(next: String) throws {
        try withRoot { network, make in
            try make("a")
            let a = try network.claim(config("a"), durable: false)
            let all = try open("\(network.root)/vps", [.directory])
            try network.prepareRename("a", inode: all.status(of: "a").inode, to: "z")
            try all.rename("a", to: all, "z", replace: false)
            switch next {
            case "itself": try network.finishRename(to: "z")
            case "reclaim": #expect(try network.reclaim().isEmpty)
            case "a":
                try make("a")
                #expect(try network.claim(config("a"), durable: false).addresses != a.addresses)
            default: break
            }
            if next != "a" { #expect(try network.status(of: "a") == nil) }
            let z = try network.claim(config("z"), durable: false)
            #expect(z.addresses == a.addresses && z.mac == a.mac)
        }
    }

    @Test func aRenameThatNeverWasIsForgotten() throws {
        try withRoot { network, make in
            try make("a")
            let a = try network.claim(config("a"), durable: false)
            let all = try open("\(network.root)/vps", [.directory])
            try network.prepareRename("a", inode: all.status(of: "a").inode, to: "z")
            try make("z")
            #expect(try network.claim(config("z"), durable: false).addresses != a.addresses)
            #expect(try network.claim(config("a"), durable: false).addresses == a.addresses)
        }
    }

    @Test func aPlanThatIsUsedCanNotBeChanged() throws {
        try withRoot { network, make in
            try make("a")
            _ = try network.claim(config("a"), durable: false)
            var settings = NetworkSettings()
            settings.subnet = CIDR("10.10.0.0/24")
            let other = HostNetwork(root: network.root, isStandard: false, settings: settings)
            let error = #expect(throws: CtrError.self) { try other.claim(config("a"), durable: false) }
            #expect(error?.code == .config && error?.message.contains("VPS a") == true)
        }
    }

    @Test func aNoteIsReadAsItWasWritten() throws {
        var note = AddressRegistry.Note(.nat, mac: MACAddress("02:00:00:00:00:07")!)
        #expect(AddressRegistry.Note(note.text) == note)
        note.claimsMAC = true
        note.addresses = [IPAddress("10.0.0.7")!, IPAddress("fd00::7")!]
        note.published = [PublishedPort("80:8080")!, PublishedPort("[2001:db8::1]:53:53/udp")!]
        #expect(AddressRegistry.Note(note.text) == note)
        for text in [
            "", "x", "02:00:00:00:00:07", "02:00:00:00:00:07 nat 10.0.0", "02:00:00:00:00:07 nat +80",
            "02:00:00:00:00:07 veth",
        ] {
            #expect(AddressRegistry.Note(text) == nil, "\(text)")
        }
    }
}
