import Foundation
import Kernel
import Model
import NamespaceProbeRequest
import Testing

/// The file systems that a program sees, and what of its writes lies on the disk. As root.
@Suite(.requiresRoot) struct RootTests {
    /// By descriptor, and as before Linux 6.13 by path.
    @Test(arguments: [false, true]) func idsOnDiskAreThoseInside(byPath: Bool) throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("echo lower > template/etc/lower; chown 7:8 template/etc/lower; chmod 4755 template/etc/lower")
            var request = fixture.request(
                """
                stat -c '%u:%g %a' /bin/busybox /etc/lower
                echo new > /new; chmod 4711 /new; chown 1000:100 /etc/lower; mkdir /made; echo x >> /etc/lower
                stat -c '%u:%g %a' /new /etc/lower /made /
                """)
            request.layersByPath = byPath
            #expect(
                try fixture.output(request)
                    == "0:0 755\n7:8 4755\n0:0 4711\n1000:100 755\n0:0 755\n0:0 755\n")
            #expect(
                try fixture.sh("cd disk/upper; stat -c '%n %u:%g %a' new etc/lower made; cat etc/lower")
                    == "new 0:0 4711\netc/lower 1000:100 755\nmade 0:0 755\nlower\nx\n")
            #expect(try fixture.sh("stat -c %u:%g:%a template/etc/lower; cat template/etc/lower") == "7:8:4755\nlower\n")
        }
    }

    /// Root's program is root's for another user, from the template and after it was copied up.
    @Test(arguments: [false, true]) func setuidSurvives(byPath: Bool) throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("cp template/bin/busybox template/bin/busybox-suid")
            // An applet that refuses to run without the right.
            func su() throws -> String {
                var request = fixture.request("true")
                request.args = ["/bin/busybox-suid", "su", "-c", "true", "nobody-here"]
                request.uid = 1000
                request.layersByPath = byPath
                return try fixture.launch(request).ending?.output ?? ""
            }
            #expect(try su().contains("must be suid"))
            try fixture.sh("chmod 4755 template/bin/busybox-suid")
            #expect(try su() == "su: unknown user nobody-here\n")
            var request = fixture.request("touch /bin/busybox-suid; stat -c %u:%a /bin/busybox-suid")
            request.layersByPath = byPath
            #expect(try fixture.output(request) == "0:4755\n")
            #expect(try fixture.sh("stat -c %u:%a disk/upper/bin/busybox-suid") == "0:4755\n")
            #expect(try su() == "su: unknown user nobody-here\n")
        }
    }

    @Test(arguments: [false, true]) func twoLayers(byPath: Bool) throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh(
                """
                mkdir -p upper-layer/etc; echo low > template/etc/both; echo high > upper-layer/etc/both
                echo low > template/etc/low; echo high > upper-layer/etc/high; mknod upper-layer/etc/gone c 0 0
                echo low > template/etc/gone
                """)
            var request = fixture.request("cat /etc/both /etc/low /etc/high; test -e /etc/gone || echo gone; rm /etc/low")
            request.layers.append("\(fixture.path)/upper-layer")
            request.layersByPath = byPath
            #expect(try fixture.output(request) == "high\nlow\nhigh\ngone\n")
            #expect(try fixture.sh("cat template/etc/low; stat -c %F disk/upper/etc/low") == "low\ncharacter special file\n")
        }
    }

    @Test(arguments: [false, true]) func volatileDisks(volatile: Bool) throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("grep ' / / ' /proc/self/mountinfo; echo x > /x")
            request.volatile = volatile
            let line = try fixture.output(request)
            #expect(line.contains("overlay") && line.contains(",volatile") == volatile, "\(line)")
            #expect(try fixture.sh("cat disk/upper/x; test -e disk/work/work/incompat/volatile; echo $?") == "x\n\(volatile ? 0 : 1)\n")
        }
    }

    @Test func aSingleWritableLayer() throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request("echo x > /etc/x; stat -c %u /etc/x; rm /bin/date; grep ' / / ' /proc/self/mountinfo")
            request.disk = nil
            let output = try fixture.output(request)
            #expect(output.hasPrefix("0\n") && !output.contains("overlay"), "\(output)")
            #expect(try fixture.sh("stat -c %u template/etc/x; ls template/bin/date 2>&1 || true; ls disk/upper").hasPrefix("0\nls: "))
        }
    }

    @Test func theHostsIds() throws {
        try Fixture.with { (fixture) throws in
            let output = try fixture.output("echo x > /x; stat -c %u /x; cat /proc/self/uid_map", Fixture.standard)
            #expect(output.split(whereSeparator: \.isWhitespace) == ["0", "0", "0", "4294967295"])
            #expect(try fixture.sh("stat -c %u disk/upper/x") == "0\n")
        }
    }

    // MARK: the way out

    @Test(arguments: [Fixture.all, Fixture.standard], [false, true])
    func nothingOfTheHost(namespaces: NamespaceFlags, byPath: Bool) throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request(
                """
                cut -d' ' -f5 /proc/self/mountinfo; echo --; cat /proc/self/mountinfo; echo --
                stat -c %d:%i / /.. /../../.. /proc/1/root; cd /; cd ../../..; pwd
                ls -d /proc/1/root/../../../../../tmp/ctr-namespace-test-* 2>&1
                """, namespaces)
            request.layersByPath = byPath
            let parts = try fixture.output(request).components(separatedBy: "--\n")
            let masked = LinuxSpec.standardMaskedPaths + LinuxSpec.standardReadonlyPaths
            let points = parts[0].split(separator: "\n").map(String.init).filter { !masked.contains($0) }
            #expect(
                Set(points) == [
                    "/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/proc", "/run", "/sys", "/sys/fs/cgroup", "/tmp",
                ])
            #expect(points.count == Set(points).count, "\(points)")
            #expect(parts[1].contains("/point") == false && parts[1].contains(fixture.path) == false, "\(parts[1])")
            #expect(parts[1].contains("master:") == false && parts[1].contains("shared:") == false, "\(parts[1])")
            let lines = parts[2].split(separator: "\n").map(String.init)
            #expect(Set(lines[..<4]).count == 1 && lines[4] == "/" && lines[5].contains("No such file"), "\(lines)")
            let host = try fixture.sh("stat -c %d:%i /").dropLast()
            #expect(lines[0] != host)
        }
    }

    /// Mounts of the host and of the VPS made after the start stay where they are.
    @Test(arguments: [Fixture.all, [.mount, .pid]]) func mountsDoNotSpread(namespaces: NamespaceFlags) throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("mkdir source template/mnt")
            var request = fixture.request(
                "\(namespaces == Fixture.all ? "mount -t tmpfs inner /mnt || exit" : "true"); echo ready; read line; ls /bound; cat /proc/self/mountinfo",
                namespaces)
            request.awaiting = "ready\n"
            request.mounts = [MountSpec(source: "\(fixture.path)/source", destination: "/bound", readOnly: false)]
            request.hostWhileRunning = [
                "mkdir \(fixture.path)/source/sub; mount -t tmpfs outer \(fixture.path)/source; touch \(fixture.path)/source/outer",
                "grep -c 'inner' /proc/self/mountinfo",
            ]
            let output = try fixture.output(request, prelude: "mount --make-rshared /")
            #expect(output.hasPrefix("ready\nsub\n"), "\(output)")
            #expect(output.contains("outer") == false)
            #expect(try fixture.launch(request, prelude: "mount --make-rshared /; rmdir source/sub").host[1].output == "0\n")
        }
    }

    // MARK: /dev, /proc, /sys

    @Test(arguments: [Fixture.all, Fixture.standard]) func devices(namespaces: NamespaceFlags) throws {
        try Fixture.with { (fixture) throws in
            var request = fixture.request(
                """
                cd /dev; stat -c '%n %F %t:%T %a %u' null zero full random urandom tty extra/ram | sed 's/special file//'
                ls /dev; readlink fd stdin ptmx; echo x > null; head -c 3 zero | wc -c; (echo x > full) 2>&1
                mknod /dev/mine c 1 3 2>&1; mknod /mine b 8 0 2>&1; echo x > /dev/shm/x
                """, namespaces)
            request.args[2] = request.args[2].replacing(" | sed 's/special file//'", with: "")
            request.devices = [DeviceSpec(path: "/dev/extra/ram", block: true, major: 1, minor: 9, mode: 0o640)]
            let reply = try fixture.launch(request)
            let lines = try #require(reply.ending).output.split(separator: "\n").map(String.init)
            #expect(
                lines.prefix(7) == [
                    "null character special file 1:3 666 0", "zero character special file 1:5 666 0",
                    "full character special file 1:7 666 0", "random character special file 1:8 666 0",
                    "urandom character special file 1:9 666 0", "tty character special file 5:0 666 0",
                    "extra/ram block special file 1:9 640 0",
                ])
            let names = [
                "extra", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
                "urandom", "zero",
            ]
            #expect(Array(lines[7..<22]) == names)
            #expect(Array(lines[22...25]) == ["/proc/self/fd", "/proc/self/fd/0", "pts/ptmx", "3"])
            #expect(lines[26].contains("No space left"))
            #expect(lines[27].contains("mknod: /dev/mine: Operation not permitted"), "\(lines)")
            #expect(lines[28].contains("mknod: /mine: Operation not permitted"), "\(lines)")
            fixture.expectUnchanged(reply)
        }
    }

    @Test(arguments: [Fixture.all, Fixture.standard]) func kernelFilesAreCovered(namespaces: NamespaceFlags) throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("mkdir template/secret template/fixed; touch template/secret/x; echo s > template/file")
            var request = fixture.request(
                """
                stat -c %t:%T /proc/kcore /proc/keys /file; wc -c < /proc/kcore; ls -A /secret /sys/firmware
                (echo x > /secret/y) 2>&1; (echo x > /fixed/y) 2>&1; (echo h > /proc/sysrq-trigger) 2>&1
                (echo x > /sys/kernel/mm/ksm/run) 2>&1; ls -A /fixed
                """, namespaces)
            request.maskedPaths += ["/secret", "/file", "/not/there"]
            request.readonlyPaths += ["/fixed", "/not/there"]
            let lines = try fixture.launch(request).ending!.output.split(separator: "\n").map(String.init)
            #expect(Array(lines[..<4]) == ["1:3", "1:3", "1:3", "0"])
            #expect(Array(lines[4..<6]) == ["/secret:", "/sys/firmware:"])
            for line in lines[6..<10] { #expect(line.contains("Read-only file system"), "\(lines)") }
            #expect(lines.count == 10)
        }
    }

    // MARK: mounts that were asked for

    @Test(arguments: [Fixture.all, Fixture.standard]) func sharedDirectories(namespaces: NamespaceFlags) throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("mkdir fixed open; echo f > fixed/f; echo alone > file; cp template/bin/busybox open/suid; chmod 4755 open/suid")
            var request = fixture.request(
                """
                cat /srv/fixed/f /srv/a/b/file; stat -c %u:%g /srv/fixed/f
                (echo x > /srv/fixed/g) 2>&1; (echo x > /srv/a/b/file) 2>&1
                echo made > /srv/open/made; stat -c %u /srv/open/made
                grep -E ' /srv/(open|fixed) ' /proc/self/mountinfo | cut -d' ' -f6
                mount -o remount,rw,bind /srv/fixed 2>&1; umount /srv/fixed 2>&1; umount -l /srv/fixed 2>&1
                (echo x > /srv/fixed/g) 2>&1
                """, namespaces)
            request.mounts = [
                MountSpec(source: "\(fixture.path)/fixed", destination: "/srv/fixed", readOnly: true),
                MountSpec(source: "\(fixture.path)/file", destination: "/srv/a/b/file", readOnly: true),
                MountSpec(source: "\(fixture.path)/open", destination: "/srv/open", readOnly: false),
            ]
            let lines = try fixture.launch(request).ending!.output.split(separator: "\n").map(String.init)
            #expect(Array(lines[..<3]) == ["f", "alone", "0:0"])
            #expect(lines[3].contains("Read-only") && lines[4].contains("Read-only"), "\(lines)")
            #expect(lines[5] == "0")
            for (line, mode) in zip(lines[6...7], ["ro", "rw"]) {
                #expect(Set(line.split(separator: ",")).isSuperset(of: [Substring(mode), "nosuid", "nodev"]), "\(line)")
            }
            // Locked: the guest's root can't take off what the host put there.
            for line in lines[8...10] {
                #expect(line.contains("not permitted") || line.contains("denied") || line.contains("Invalid argument"), "\(lines)")
            }
            #expect(lines[11].contains("Read-only") && lines.count == 12, "\(lines)")
            #expect(try fixture.sh("stat -c %u open/made; ls fixed") == "0\nf\n")
        }
    }

    @Test func mountsBelowASharedDirectory() throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("mkdir -p source/sub")
            var request = fixture.request(
                "cat /srv/sub/x; (echo y > /srv/sub/x) 2>&1; (echo y > /srv/y) 2>&1; umount /srv/sub 2>&1; cat /srv/sub/x")
            request.mounts = [MountSpec(source: "\(fixture.path)/source", destination: "/srv", readOnly: true)]
            let lines = try fixture.output(request, prelude: "mount -t tmpfs x source/sub; echo below > source/sub/x")
                .split(separator: "\n")
            #expect(lines.count == 5 && lines[0] == "below" && lines[4] == "below", "\(lines)")
            #expect(lines[1].contains("Read-only") && lines[2].contains("Read-only"), "\(lines)")
            #expect(lines[3].contains("Invalid argument"), "\(lines)")
        }
    }

    /// What a hostile template made a link of leads nowhere but inside.
    @Test func linksOfAHostileTemplate() throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("mkdir source; touch source/s; ln -s ../../../../../..\(fixture.path)/outside template/out; ln -s \(fixture.path)/outside template/absolute")
            var request = fixture.request("ls -A /out /absolute \(fixture.path)/outside")
            request.mounts = [MountSpec(source: "\(fixture.path)/source", destination: "/tmp/../srv/x", readOnly: false)]
            let reply = try fixture.launch(request)
            #expect(reply.failure == nil)
            for link in ["/out/x", "/absolute/x"] {
                request.mounts[0].destination = link
                let reply = try fixture.launch(request)
                #expect(reply.failure?.errno == Errno.noEntry, "\(reply)")
                fixture.expectUnchanged(reply)
            }
        }
    }
}
