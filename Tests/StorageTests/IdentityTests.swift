import Kernel
import Model
import Testing

@testable import Storage

/// An identity in the files of a root that wishes us ill. Without a user namespace: other ids are those of end-to-end tests.
@Suite struct IdentityTests {
    private static let hash = "$6$saltsalt$\(String(repeating: "a", count: 86))"
    static let key =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5a7qFf0RB8tZAZ6+vO5SdbJmVCyOcYmC1Cj1rMYG8D me@here"

    private func write(_ f: Fixture, _ parts: [VPSIdentity.Part], domain: String? = nil) throws -> [String] {
        var config = VPSConfig(name: "web", template: "t", created: "2026-01-01T00:00:00Z", args: ["sh"])
        config.domain = domain
        var identity = VPSIdentity()
        identity.passwordHash = IdentityTests.hash
        identity.sshKeys = [IdentityTests.key]
        identity.dns = [try #require(IPAddress("192.0.2.1")), try #require(IPAddress("2001:db8::1"))]
        identity.timezone = "Europe/Vienna"
        config.identity = identity
        let root = SharedFD(try Kernel.open("\(f.path)/root", [.directory]))
        return try IdentityWriter(config, in: GuestFiles(root: root, owner: 0, of: "web")).write(parts)
    }

    @Test func ofADebianRoot() throws {
        try Fixture.with { f in
            try f.write("root/etc/os-release", "ID=debian\n")
            try f.write("root/etc/machine-id", "old\n")
            try f.write("root/var/lib/dbus/machine-id", "old\n")
            try f.write("root/etc/hosts", "127.0.0.1 localhost\n127.0.1.1\told old.example\n::1 localhost\n")
            try f.write("root/etc/shadow", "daemon:*:1::::::\nroot:*:1:0:99999:7:::\n")
            // In no encoding of ours.
            _ = try f.sh("printf 'caf\\351:*:1::::::\\r\\n' >> root/etc/shadow")
            try f.write("root/etc/passwd", "root:x:0:0::/home/boss:/bin/sh\n")
            try f.write("root/etc/resolv.conf", "nameserver 9.9.9.9\n")
            try f.write("root/usr/share/zoneinfo/Europe/Vienna", "tz")
            try f.write("root/usr/sbin/sshd", "")
            try f.write("root/etc/ssh/ssh_host_rsa_key", "old")
            try f.write("root/etc/ssh/moduli", "kept")
            _ = try f.sh("chmod 640 root/etc/shadow; chown 0:42 root/etc/shadow")
            _ = try write(f, VPSIdentity.Part.allCases, domain: "example.org")
            let id = try f.text("root/etc/machine-id")
            #expect(id.utf8.count == 33 && id != "old\n")
            #expect(try f.sh("readlink root/var/lib/dbus/machine-id") == "/etc/machine-id\n")
            #expect(try f.text("root/etc/hostname") == "web\n")
            #expect(
                try f.text("root/etc/hosts")
                    == "127.0.0.1 localhost\n127.0.1.1\tweb.example.org web\n::1 localhost\n")
            let shadow = try f.text("root/etc/shadow")
            #expect(shadow.contains("\nroot:\(IdentityTests.hash):") && shadow.hasPrefix("daemon:*:1"))
            #expect(try f.sh("LC_ALL=C grep -c \"$(printf '^caf\\351:.*\\r')\" root/etc/shadow") == "1\n")
            #expect(try f.sh("stat -c '%a %g' root/etc/shadow") == "640 42\n")
            #expect(try f.text("root/home/boss/.ssh/authorized_keys") == IdentityTests.key + "\n")
            #expect(try f.sh("stat -c %a root/home/boss/.ssh root/home/boss/.ssh/authorized_keys") == "700\n600\n")
            #expect(
                try f.text("root/etc/resolv.conf")
                    == "search example.org\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n")
            #expect(try f.sh("readlink root/etc/localtime") == "/usr/share/zoneinfo/Europe/Vienna\n")
            #expect(try f.text("root/etc/timezone") == "Europe/Vienna\n")
            let names = try f.sh("ls root/etc/ssh").split(separator: "\n")
            #expect(names.contains("moduli"))
            if ToolProcess.find("ssh-keygen") != nil {
                #expect(names.count == 7, "\(names)")
                #expect(try f.text("root/etc/ssh/ssh_host_rsa_key").contains("PRIVATE KEY"))
                #expect(
                    try f.sh("stat -c %a root/etc/ssh/ssh_host_rsa_key root/etc/ssh/ssh_host_rsa_key.pub")
                        == "600\n644\n")
            } else {
                #expect(names == ["moduli"])
            }
        }
    }

    @Test func othersHaveOtherFiles() throws {
        try Fixture.with { f in
            try f.write("root/etc/os-release", "NAME=x\nID=\"rocky\"\nID_LIKE='rhel fedora'\n")
            try f.write("root/usr/sbin/sshd", "")
            try f.write("root/etc/ssh/ssh_host_rsa_key", "old")
            try f.write("root/etc/passwd", "root::0:0:root:/root:/bin/sh\n")
            #expect(try write(f, VPSIdentity.Part.allCases) == [])
            #expect(try f.sh("ls root/etc/ssh") == "")
            #expect(
                try f.sh("ls root/etc") == "hostname\nhosts\nlocaltime\nos-release\npasswd\nresolv.conf\nshadow\nssh\n")
            #expect(try f.text("root/etc/passwd") == "root:x:0:0:root:/root:/bin/sh\n")
            #expect(try f.sh("stat -c %a root/etc/shadow") == "600\n")
        }
    }

    @Test func cloudInitGetsASeed() throws {
        try Fixture.with { f in
            try f.write("root/etc/cloud/cloud.cfg", "")
            try f.write("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
            try f.write("root/var/lib/cloud/instance", "old")
            _ = try write(f, VPSIdentity.Part.allCases)
            let first = try f.text("root/var/lib/cloud/seed/nocloud/meta-data")
            #expect(first.hasPrefix("instance-id: ctr-") && first.hasSuffix("\nlocal-hostname: web\n"))
            let user = try f.text("root/var/lib/cloud/seed/nocloud/user-data")
            #expect(
                user.hasPrefix("#cloud-config\n") && user.contains(IdentityTests.key)
                    && user.contains(IdentityTests.hash))
            #expect(try f.sh("ls root/var/lib/cloud") == "seed\n")
            // A change is no new instance.
            _ = try write(f, [.password])
            #expect(try f.text("root/var/lib/cloud/seed/nocloud/meta-data") == first)
        }
    }

    /// Every file is a way out, if it were taken.
    @Test func nothingLeadsOutside() throws {
        try Fixture.with { f in
            let out = "\(f.path)/outside"
            try f.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
            _ = try f.sh(
                """
                cd root/etc && for i in hostname hosts shadow resolv.conf localtime timezone machine-id; do
                ln -s '\(out)/canary' $i; done; mkdir ../var; mkdir ../var/lib; ln -s '\(out)' ../var/lib/dbus
                ln -s '\(out)' ssh; mkdir ../root; ln -s '\(out)' ../root/.ssh; mkdir -p cloud ../usr; touch cloud/cloud.cfg
                ln -s ../../../../../../../.. ../usr/sbin
                """)
            do { _ = try write(f, VPSIdentity.Part.allCases) } catch { #expect("\(error)".contains("inside it")) }
            #expect(try f.sh("stat -c %F root/etc/hostname") == "regular file\n")
        }
    }

    /// What is no regular file, or too large, is not read.
    @Test func whatIsThereIsNotTrusted() throws {
        try Fixture.with { f in
            _ = try f.sh(
                """
                mkdir -p root/etc root/root/.ssh && mkfifo root/etc/hosts root/root/.ssh/authorized_keys
                truncate -s 100M root/etc/shadow
                """)
            #expect(throws: CtrError.self) { try write(f, [.password]) }
            _ = try write(f, [.names, .keys])
            #expect(try f.text("root/etc/hosts").contains("127.0.1.1\tweb"))
            #expect(try f.text("root/root/.ssh/authorized_keys") == IdentityTests.key + "\n")
        }
    }
}
