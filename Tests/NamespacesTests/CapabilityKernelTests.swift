import Model
import Namespaces
import Testing

/// What the kernel says of a program that `security-probe` executed with a plan. As root.
@Suite struct CapabilityKernelTests {
    static let none = "0000000000000000"

    /// A mask as /proc shows it.
    static func mask(_ names: [String]) throws -> String {
        var mask: UInt64 = 0
        for name in names { mask |= 1 << UInt64(try CapabilityName.number(of: name, source: "")) }
        let text = String(mask, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    @Test(arguments: [["--own", "2000000"], ["--own", "2000000", "--seccomp", "default"]])
    func rootOfAVPS(options: [String]) throws {
        let status = try SecurityProbe.status(options + ["--plan"])
        let system = try Self.mask(CapabilitySet.system.bounding)
        #expect(status["CapBnd"] == system)
        #expect(status["CapEff"] == system)
        #expect(status["CapPrm"] == system)
        #expect(status["CapInh"] == Self.none)
        #expect(status["CapAmb"] == Self.none)
        #expect(status["Uid"] == "0\t0\t0\t0")
    }

    @Test(arguments: [["--own", "2000000"], ["--own", "2000000", "--seccomp", "default"]])
    func aUserOfAVPS(options: [String]) throws {
        let status = try SecurityProbe.status(
            options + ["--plan", "--uid", "1000", "--gid", "100", "--group", "100", "--group", "27"])
        #expect(status["CapBnd"] == (try Self.mask(CapabilitySet.system.bounding)))
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] { #expect(status[set] == Self.none, "\(set)") }
        #expect(status["Uid"] == "1000\t1000\t1000\t1000")
        #expect(status["Gid"] == "100\t100\t100\t100")
        #expect(status["Groups"] == "27 100")
    }

    @Test func rootOfTheHost() throws {
        let status = try SecurityProbe.status(["--plan", "--seccomp", "default"])
        let host = try Self.mask(CapabilitySet.hostUser.bounding)
        for set in ["CapBnd", "CapEff", "CapPrm"] { #expect(status[set] == host, "\(set)") }
        #expect(status["CapInh"] == Self.none)
        #expect(status["CapAmb"] == Self.none)
        #expect(status["Seccomp"] == "2")
    }

    /// The filter is loaded by CAP_SYS_ADMIN, which must not outlive the execve.
    @Test func aUserOfTheHost() throws {
        let status = try SecurityProbe.status(["--plan", "--uid", "1000", "--gid", "1000", "--seccomp", "default"])
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] { #expect(status[set] == Self.none, "\(set)") }
        #expect(status["CapBnd"] == (try Self.mask(CapabilitySet.hostUser.bounding)))
        #expect(status["NoNewPrivs"] == "0")
    }

    @Test func noNewPrivileges() throws {
        let status = try SecurityProbe.status(
            ["--plan", "--uid", "1000", "--gid", "1000", "--seccomp", "default", "--no-new-privileges"])
        #expect(status["NoNewPrivs"] == "1")
        #expect(status["Seccomp"] == "2")
        #expect(status["CapEff"] == Self.none)
    }

    @Test func ambientOnlyWhereAsked() throws {
        let status = try SecurityProbe.status(
            ["--own", "2000000", "--plan", "--uid", "1000", "--gid", "1000", "--ambient", "CAP_NET_BIND_SERVICE"])
        let bind = try Self.mask(["CAP_NET_BIND_SERVICE"])
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] { #expect(status[set] == bind, "\(set)") }
    }

    @Test func dropAll() throws {
        let status = try SecurityProbe.status(["--own", "2000000", "--plan", "--drop", "all", "--add", "KILL"])
        for set in ["CapBnd", "CapEff", "CapPrm"] { #expect(status[set] == (try Self.mask(["CAP_KILL"])), "\(set)") }
    }

    /// This machine's root may lack a capability; asking for one that ctr has not is an error, not silence.
    @Test func whatTheHostLacksIsAnErrorWhereAsked() throws {
        let own = try SecurityProbe.status([])
        let bounding = try #require(UInt64(own["CapBnd"]!, radix: 16))
        for number in 0...40 {
            let name = CapabilityName.name(of: number)
            let result = try SecurityProbe.run(["run", "--plan", "--add", name, "--", "true"])
            if bounding & 1 << UInt64(number) != 0 {
                #expect(result.status == 0, "\(name): \(result.errors)")
            } else {
                #expect(result.status == 125 && result.errors.contains("ctr itself has not got it"), "\(name)")
            }
        }
    }
}
