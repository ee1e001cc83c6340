import Glibc
import Kernel
import Testing

/// `ctr template create` and `unseal`.
@Suite struct SealTests {
    private static var kinds: [String] { Disks.lack == nil ? ["none", "256M"] : ["none"] }

    /// What a server has that no other may have, and what it keeps.
    private static let live = """
        mkdir -p /etc/ssh /var/log/app /var/lib/dhcp /home/u/.ssh /root/.ssh
        echo 0123456789abcdef0123456789abcdef > /etc/machine-id; echo secret > /etc/ssh/ssh_host_ed25519_key
        ln /etc/ssh/ssh_host_ed25519_key /root/other-name; echo lines > /var/log/app/log; echo ls > /root/.ash_history
        echo l > /var/lib/dhcp/lease; echo k > /home/u/.ssh/authorized_keys; echo x > /tmp/x; rm -rf /etc/profile
        echo conf > /etc/app.conf; chown 33:34 /etc/app.conf; chmod 4750 /etc/app.conf; ln -s app.conf /etc/link
        """

    @Test(arguments: kinds) func isATemplateWithoutWhatIsPersonal(disk: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--disk", disk, "--env", "A=b", "--memory", "100M")
            let (t, b) = (f.name("t"), f.name("b"))
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                "\(SealTests.live); rm -f /bin/wget; dd if=/dev/zero of=/root/big bs=1024k count=9"
            ).succeeds()
            #expect(try f.ctr("template", "create", t, "--from", n).err.contains("running"))
            try f.ctr("stop", n).succeeds()
            #expect(try f.ctr("template", "create", "minimal", "--from", n).status == 73)
            try f.ctr("template", "create", t, "--from", n).succeeds()
            let size = try f.sh("du -sb root/templates/\(t)/rootfs | cut -f 1").succeeds().line
            let said = try JSON(text: f.ctr("--json", "template", "show", t).succeeds().out)["size"]?.int ?? 0
            #expect(said > 9 << 20 && said < 1 << 20 + (Int(size) ?? 0), "\(said) \(size)")
            #expect(try f.state(n) == "sealed")
            #expect(try f.loops() == [])

            try f.ctr("create", b, "--template", t).succeeds()
            try f.ctr("start", b).succeeds()
            let seen = try f.ctr(
                "exec", b, "--", "sh", "-c",
                """
                stat -c '%n %u %g %a %s' /etc/app.conf /etc/machine-id /var/log/app/log /home/u/.ssh/authorized_keys
                readlink /etc/link; ls /etc/ssh /var/lib/dhcp /tmp; for i in /root/.ash_history /root/other-name \
                /etc/profile /bin/wget; do test -e $i && echo has $i; done; true
                """
            ).succeeds().out
            #expect(seen.contains("/etc/app.conf 33 34 4750 5") && seen.contains("app.conf\n"), "\(seen)")
            #expect(try f.text("root/templates/\(t)/rootfs/etc/machine-id") == "")
            // Its own.
            #expect(seen.contains("/etc/machine-id 0 0 644 33"), "\(seen)")
            #expect(seen.contains("/var/log/app/log 0 0 644 0") && seen.contains("authorized_keys"), "\(seen)")
            #expect(!seen.contains("ssh_host") && !seen.contains("lease") && !seen.contains("has "), "\(seen)")
        }
    }

    @Test func isSealedUntilItIsUnsealed() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--onboot")
            let (t, b) = (f.name("t"), f.name("b"))
            try f.ctr("exec", n, "--", "sh", "-c", "echo one > /etc/mark").succeeds()
            try f.ctr("stop", n).succeeds()
            try f.ctr("template", "create", t, "--from", n).succeeds()
            for refused in [
                try f.ctr("start", n), try f.ctr("exec", "--offline", n, "true"), try f.ctr("restart", n),
                try f.ctr("cp", "config.json", "\(n):/x"), try f.ctr("template", "create", "\(t)2", "--from", n),
            ] {
                #expect(refused.status != 0 && refused.err.contains("sealed as template \(t)"), "\(refused.both)")
            }
            try f.ctr("start", "--onboot").succeeds()
            try f.ctr("start", "--all").succeeds()
            #expect(try f.state(n) == "sealed")
            #expect(try f.ctr("show", n).succeeds().out.contains("sealed"))
            try f.ctr("create", b, "--template", t).succeeds()

            #expect(try f.ctr("template", "unseal", t, "--to", b).status == 73)
            #expect(try f.ctr("template", "unseal", "nothing", "--to", n).status == 66)
            #expect(try f.ctr("template", "unseal", "minimal", "--to", f.name("c")).status == 1)
            try f.ctr("template", "unseal", t, "--to", n).succeeds()
            try f.ctr("start", n).succeeds()
            try f.ctr("exec", n, "--", "sh", "-c", "echo two > /etc/mark").succeeds()
            // Who was made from it keeps what it had.
            try f.ctr("start", b).succeeds()
            #expect(try f.ctr("exec", b, "cat", "/etc/mark").succeeds().out == "one\n")
            try f.ctr("stop", n).succeeds()
            try f.ctr("template", "create", "\(t)2", "--from", n).succeeds()
            try f.ctr("destroy", n).succeeds()

            // The VPS has gone: one of its configuration is made.
            try f.ctr("template", "unseal", "\(t)2", "--to", f.name("d")).succeeds()
            try f.ctr("start", f.name("d")).succeeds()
            #expect(try f.ctr("exec", f.name("d"), "cat", "/etc/mark").succeeds().out == "two\n")
            #expect(try f.ctr("exec", f.name("d"), "hostname").succeeds().out == "\(f.name("d"))\n")
            #expect(try f.ctr("template", "remove", t).status == 75)
        }
    }

    /// What a kill leaves in config.json: finished where the template is there, undone where it is not.
    @Test(arguments: [true, false]) func aSealThatWasKilled(isThere: Bool) throws {
        try Fixture.withServers { (f) throws in
            let (n, t) = (f.name("a"), f.name("t"))
            try f.ctr("create", n, "--template", "minimal").succeeds()
            if isThere { try f.ctr("template", "create", t, "--from", n).succeeds() }
            try f.sh(
                """
                sed -i 's/"sealedAs" *: *"[^"]*",*//; s/^{/{"diskWork": {"verb": "seal", "id": "\(t)", "withConfig": false},/' \
                  root/vps/\(n)/config.json
                """
            ).succeeds()
            try f.ctr("host", "recover").succeeds()
            #expect(try f.state(n) == (isThere ? "sealed" : "stopped"))
            #expect(try !f.text("root/vps/\(n)/config.json").contains("diskWork"))
        }
    }

    /// On an image, killed after each rename: where the template is there, the VPS is not startable beside it.
    @Test(.enabled(if: Disks.lack == nil, Comment(rawValue: Disks.lack ?? ""))) func killedAtAnyRename()
        throws
    {
        try Fixture.withServers { (f) throws in
            for count in 1...6 {
                let (n, t) = (f.name("a\(count)"), f.name("t\(count)"))
                try f.ctr("create", n, "--template", "minimal", "--disk", "256M").succeeds()
                _ = try f.sh(
                    "strace -f -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL:when=\(count) "
                        + "$CTR template create \(t) --from \(n)")
                try f.ctr("host", "recover").succeeds()
                let isThere = f.exists("root/templates/\(t)/template.json")
                #expect(try f.state(n) == (isThere ? "sealed" : "stopped"), "\(count)")
                if !isThere { try f.ctr("template", "create", t, "--from", n).succeeds() }
            }
        }
    }

    /// Names of one file: a cache's is left out, the others keep the data. A secret has no other name.
    @Test func hardLinksOfWhatIsLeftOutStay() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server("--password-hash", "$6$abcdefgh$\(String(repeating: "x", count: 86))")
            try f.ctr(
                "exec", n, "--", "sh", "-c",
                """
                mkdir -p /root/.cache /srv /var/log /var/www; echo lib > /root/.cache/lib; ln /root/.cache/lib /srv/lib
                ln /srv/lib /srv/lib2; echo page > /var/log/a; ln /var/log/a /var/www/a; echo old > /srv/log
                ln /srv/log /var/log/log
                """
            ).succeeds()
            try f.ctr("stop", n).succeeds()
            let t = f.name("t")
            try f.ctr("template", "create", t, "--from", n).succeeds()
            let seen = try f.sh(
                "cd root/templates/\(t)/rootfs; cat srv/lib srv/lib2 var/www/a srv/log; stat -c '%h %s' srv/lib var/log/a var/log/log"
            )
            #expect(seen.lines == ["lib", "lib", "page", "old", "2 4", "1 0", "1 0"], "\(seen.both)")
            #expect(try !f.text("root/templates/\(t)/template.json").contains("$6$"))
            // Without its template it is a VPS again too.
            try f.ctr("template", "remove", t).succeeds()
            try f.ctr("template", "unseal", t, "--to", n).succeeds()
            try f.ctr("template", "unseal", t, "--to", n).fails(66)
            try f.ctr("start", n).succeeds()
        }
    }

    @Test func theOperatorsOwnListAddsToIt() throws {
        try Fixture.withServers { (f) throws in
            try f.write(
                "config.json",
                "{\"idRegistry\": \"\(f.path)/ids\", \"disk\": \"none\", \"net\": \"none\", \"personal\": [\"srv/*/key.*\"]}"
            )
            let n = try f.server()
            try f.ctr(
                "exec", n, "--", "sh", "-c", "mkdir -p /srv/a/b; echo x > /srv/a/key.pem; echo x > /srv/a/b/key.pem"
            ).succeeds()
            try f.ctr("stop", n).succeeds()
            try f.ctr("template", "create", f.name("t"), "--from", n).succeeds()
            let rootfs = "root/templates/\(f.name("t"))/rootfs"
            #expect(!f.exists("\(rootfs)/srv/a/key.pem") && f.exists("\(rootfs)/srv/a/b/key.pem"))
            try f.write("config.json", "{\"personal\": [\"../x\"]}")
            #expect(try f.ctr("template", "create", f.name("u"), "--from", n).status != 0)
        }
    }
}
