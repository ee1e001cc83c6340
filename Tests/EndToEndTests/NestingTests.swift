import Kernel
import Testing

/// `--nesting`: namespaces, /proc and /sys of containers inside a VPS.
@Suite struct NestingTests {
    private let container = """
        unshare -Umpfr --mount-proc sh -c 'id -u; ls /proc | grep -c "^[0-9]"; mount -t tmpfs none /mnt && echo mounted'
        """

    /// For root, and for anybody.
    @Test(arguments: ["root", "nobody"]) func aContainerOfItsOwn(_ user: String) throws {
        try Fixture.with { (f) throws in
            try f.template("with-nobody", "sed -i '/^nobody/s,/[^:]*$,/bin/sh,' etc/passwd").succeeds()
            let run = try f.ctr("run", "--nesting", "--user", user, "with-nobody", "sh", "-c", container)
            // sh, ls and grep see themselves and nobody else.
            #expect(run.lines == ["0", "3", "mounted"], "\(run.both)")
        }
    }

    @Test func withoutItThereIsNone() throws {
        try Fixture.with { (f) throws in
            let run = try f.ctr("run", "minimal", "sh", "-c", "\(container); ls -d /dev/.ctr")
            #expect(run.status == 1 && run.out == "" && run.err.contains("not permitted"), "\(run.both)")
        }
    }

    /// Network, and the /sys that shows it.
    @Test func sysOfAContainer() throws {
        try Fixture.with { (f) throws in
            let script = """
                unshare -Urmn sh -c 'mount -t sysfs -o ro none /sys && ls /sys/class/net'
                unshare -Urmn sh -c 'mount -t sysfs none /mnt' 2>/dev/null || echo only read
                """
            let run = try f.ctr("run", "--nesting", "minimal", "sh", "-c", script)
            #expect(run.lines == ["lo", "only read"], "\(run.both)")
        }
    }

    /// What makes it possible is root's to look at, gives no way to write to what the VPS may not write to, and hides
    /// no mask from others.
    @Test func theSecondProcIsNoHole() throws {
        try Fixture.with { (f) throws in
            let script = """
                stat -c '%a %u' /dev/.ctr; grep -c . /proc/interrupts
                echo h > /dev/.ctr/proc/sysrq-trigger; echo 1 > /dev/.ctr/proc/sys/kernel/panic
                cat /dev/.ctr/proc/kcore | head -c 1; touch /dev/.ctr/sysfs/x
                """
            let run = try f.ctr("run", "--nesting", "minimal", "sh", "-c", script)
            #expect(run.lines == ["700 0", "0"], "\(run.both)")
            #expect(run.err.split(separator: "\n").count == 4, "\(run.err)")
            let nobody = try f.ctr("run", "--nesting", "--user", "65534", "minimal", "ls", "/dev/.ctr")
            #expect(nobody.status == 1 && nobody.err.contains("Permission denied"), "\(nobody.both)")
        }
    }
}
