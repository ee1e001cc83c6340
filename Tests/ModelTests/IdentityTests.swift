import Model
import Testing

@Suite struct IdentityTests {
    private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5a7qFf0RB8tZAZ6+vO5SdbJmVCyOcYmC1Cj1rMYG8D me@here"

    @Test(arguments: [
        ("--password-hash", "secret"), ("--password-hash", "$6$x:y$\(String(repeating: "a", count: 80))"),
        ("--password-hash", "$1$old$abcdefghijklmnopqrstuv"), ("--password-hash", "$6$short"), ("--timezone", "../etc"),
        ("--timezone", "/etc/passwd"), ("--timezone", "Europe//Vienna"), ("--timezone", ""), ("--dns", "dns.example"),
        ("--dns", "1.2.3"), ("--dns", "1.2.3.4\n"), ("--dns", "::g"),
    ]) func badValuesAreRefused(option: String, value: String) {
        var options = VPSOptions()
        #expect(throws: CtrError.self) { try options.set(option, value) }
    }

    @Test func goodOnesAreTaken() throws {
        var options = VPSOptions()
        try options.set("--password-hash", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$tnSYvahCwPBHKZUspmcxMfb0.WiB9W.zEaKlOBL35rC")
        for zone in ["Europe/Vienna", "UTC", "Etc/GMT+3", "America/Argentina/Buenos_Aires"] {
            try options.set("--timezone", zone)
        }
        for server in ["192.0.2.1", "::1", "2001:db8::53"] { try options.set("--dns", server) }
        #expect(options.identity.dns.count == 3)
    }

    @Test func keysAreLinesOfSSH() throws {
        let text = "# mine\n\n  \(IdentityTests.key)\r\n\(IdentityTests.key)\n"
        #expect(try VPSIdentity.keys(text, "f") == [IdentityTests.key, IdentityTests.key])
        for bad in [
            "", "# none\n", "-----BEGIN OPENSSH PRIVATE KEY-----\n", "ssh-ed25519", "ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ5a7qFf0RB8tZAZ6+vO5SdbJmVCyOcYmC1Cj1rMYG8D",
            "command=\"x\" \(IdentityTests.key)", "\(IdentityTests.key)\nnonsense",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5a7qFf0RB8tZAZ6+vO5SdbJmVCyOcYmC1Cj1rMYG8D a\u{1b}[2J",
        ] {
            #expect(throws: CtrError.self, "\(bad)") { try VPSIdentity.keys(bad, "f") }
        }
    }
}
