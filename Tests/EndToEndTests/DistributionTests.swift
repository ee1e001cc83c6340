import Kernel
import Testing

/// Whole systems in a default VPS: a user namespace, the default capabilities and system calls, no network but loopback.
/// Debian's systemd, and busybox's init.
@Suite(.serialized, .enabled(if: Distribution.lack == nil, Comment(rawValue: Distribution.lack ?? "")))
struct DistributionTests {
    /// SIGINT as a shell reports it: reboot_pid_ns of reboot(2).
    private let halted = 130

    private func boot(_ body: (BootedVPS) throws -> Void) throws {
        try Fixture.with { (f) throws in
            try Distribution.add(to: f)
            try body(BootedVPS(f))
        }
    }

    @Test func bootsToRunningAndStops() throws {
        try boot { (vps) throws in
            #expect(try vps.sh("systemctl is-system-running").succeeds().line == "running")
            #expect(try vps.sh("systemctl list-units --failed --plain --no-legend").succeeds().out == "")
            #expect(try vps.sh("systemd-detect-virt --container").succeeds().line == "container-other")

            // journald: of this boot, on the disk, and from a program.
            #expect(try vps.sh("journalctl -b -u ssh --no-pager").out.contains("Server listening"))
            #expect(try vps.sh("journalctl -b -p err --no-pager -q").succeeds().out == "")
            try vps.sh("logger -t test-word hello; journalctl --sync").succeeds()
            #expect(
                try vps.sh("journalctl -t test-word -o cat --no-pager; ls -A /var/log/journal").lines.first == "hello")
            #expect(try vps.sh("ls -A /var/log/journal").succeeds().lines.count == 1)

            // systemctl: services stop, start and are watched.
            let services = try vps.sh(
                """
                systemctl stop ssh; systemctl is-active ssh
                systemctl start ssh; systemctl is-active ssh
                first=$(systemctl show -P MainPID ssh); kill -9 $first
                for i in $(seq 600); do
                    [ "$(systemctl show -P NRestarts ssh) $(systemctl is-active ssh)" = '1 active' ] && break; sleep 0.1
                done
                systemctl is-active ssh; systemctl show -P NRestarts ssh
                """)
            #expect(services.lines == ["inactive", "active", "active", "1"], "\(services.both)")
            try vps.f.ctr("stop", "--timeout", "120", vps.name, timeout: 150).succeeds()
            try vps.ended(with: halted)
        }
    }

    /// Not in the lab, where each boot takes half a minute and nothing here is another on its kernel.
    @Test(.enabled(if: !Distribution.isLab, "needs no other kernel than the host's"))
    func servicesOfManyKindsAndPoweroff() throws {
        try boot { (vps) throws in
            #expect(try vps.sh("systemd-run --quiet --wait --pipe id -u").succeeds().line == "0")
            let walls = [
                "PrivateTmp", "PrivateDevices", "DynamicUser", "PrivateNetwork", "ProtectHome",
                "ProtectKernelTunables", "ProtectControlGroups", "NoNewPrivileges", "RestrictNamespaces",
            ]
            .map { "-p \($0)=yes" }.joined(separator: " ")
            let walled = try vps.sh(
                """
                touch /tmp/outside
                systemd-run --quiet --wait --pipe \(walls) -p ProtectSystem=strict -p ProtectProc=invisible sh -c '
                    [ $(id -u) -gt 60000 ] && [ ! -e /tmp/outside ] && touch /tmp/inside && ! touch /etc/inside 2>&1'
                [ ! -e /tmp/inside ]
                """)
            #expect(walled.status == 0 && walled.out.contains("Read-only file system"), "\(walled.both)")
            try vps.sh(
                """
                systemd-run --quiet --on-active=0.1 --timer-property AccuracySec=1ms touch /run/timer
                for i in $(seq 100); do [ -e /run/timer ] && exit 0; sleep 0.1; done; exit 1
                """
            ).succeeds()

            // What a server says of itself, and can be told.
            let facts = try vps.sh(
                """
                set -e
                hostnamectl set-hostname other; hostname; hostnamectl --static
                getent hosts other >/dev/null; getent hosts localhost >/dev/null
                timedatectl set-timezone Europe/Berlin; date -d '2026-01-01 00:00Z' +%Z; timedatectl show -p Timezone --value
                localectl status | grep -o 'LANG=.*'; locale charmap
                loginctl list-seats --no-legend
                """
            ).succeeds()
            #expect(
                facts.lines == ["other", "other", "CET", "Europe/Berlin", "LANG=C.UTF-8", "UTF-8", "seat0"],
                "\(facts.both)")
            #expect(try vps.sh("hostnamectl --json=short").out.contains(#""Chassis":"container""#))
            #expect(try vps.sh("systemctl list-units --failed --plain --no-legend").out == "")
            // The answer may be lost with the bus.
            try vps.sh("systemctl poweroff")
            try vps.ended(with: halted)
        }
    }

    @Test func loginsAndReboot() throws {
        try boot { (vps) throws in
            try vps.sh(
                """
                set -e
                useradd -m -s /bin/bash someone
                mkdir -p -m 700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
                cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
                install -d -m 700 -o someone -g someone /home/someone/.ssh
                install -m 600 -o someone -g someone /root/.ssh/id_ed25519.pub /home/someone/.ssh/authorized_keys
                printf 'Host 127.0.0.1\\n StrictHostKeyChecking accept-new\\n BatchMode yes\\n' > /root/.ssh/config
                """
            ).succeeds()
            #expect(
                try vps.sh("su - someone -c 'id -un; pwd; echo $LANG'").lines == [
                    "someone", "/home/someone", "C.UTF-8",
                ])
            #expect(try vps.sh("ssh root@127.0.0.1 id -un").succeeds().line == "root")
            let login = try vps.sh(
                """
                ssh -tt someone@127.0.0.1 '
                    id -un; tty; stat -c %U $(tty); loginctl --no-legend | grep -c someone
                    systemd-run --user --quiet --wait --pipe echo mine; systemctl --user is-system-running'
                """)
            #expect(
                login.lines == ["someone", "/dev/pts/1", "someone", "1", "mine", "running"], "\(login.both)")
            for user in ["root", "someone"] {
                let ping = try vps.sh("su \(user) -c 'ping -c 1 -W 10 127.0.0.1 && ping -c 1 -W 10 ::1'")
                #expect(ping.status == 0, "\(user): \(ping.both)")
            }
            try vps.sh("reboot")
            try vps.rebooted()
        }
    }

    @Test(.enabled(if: Distribution.canReachMirror, "Debian's mirror can't be reached"))
    func packagesAndTheirServices() throws {
        try Fixture.with { (f) throws in
            try Distribution.add(to: f)
            let packages = "nginx-light postgresql sudo cron"
            let vps = try BootedVPS(f, options: fetch(packages, f))
            try install(packages, vps)
            #expect(
                try vps.sh("systemctl is-active nginx postgresql cron").succeeds().lines == [
                    "active", "active", "active",
                ])
            let page = try vps.sh(
                #"bash -c 'exec 3<>/dev/tcp/127.0.0.1/80; printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3'"#)
            #expect(page.out.hasPrefix("HTTP/1.1 200 OK") && page.out.contains("Welcome to nginx"), "\(page.both)")
            #expect(
                try vps.sh(
                    """
                    useradd -m someone; echo 'someone ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/someone
                    su - someone -c 'sudo id -u; sudo -u postgres psql -Atc "select 6 * 7"' 2>&1
                    """
                ).lines == ["0", "42"])
            try vps.sh("systemctl restart nginx postgresql").succeeds()
            // cron looks at its other jobs once a minute.
            try vps.sh(
                """
                echo '@reboot root touch /run/cron' > /etc/cron.d/test; rm /run/crond.reboot; systemctl restart cron
                for i in $(seq 600); do [ -e /run/cron ] && exit 0; sleep 0.1; done; exit 1
                """
            ).succeeds()
            #expect(
                try vps.sh("systemctl is-system-running; systemctl list-units --failed --plain --no-legend").line
                    == "running")
            try f.ctr("destroy", "--force", vps.name).succeeds()
        }
    }

    /// With `--nesting`: a service with users of its own, bubblewrap, podman. Files in layers (vfs), since the kernel
    /// refuses an overlay over an overlay; no limit of processes, for which this host may have no cgroup v2 controller.
    @Test(.enabled(if: Distribution.canReachMirror, "Debian's mirror can't be reached"))
    func containersInside() throws {
        try Fixture.with { (f) throws in
            try Distribution.add(to: f)
            let mounts = try fetch("bubblewrap podman crun busybox-static", f)
            let vps = try BootedVPS(f, options: ["--nesting"] + mounts)
            // Walls around services that criu can't put up again are off in the template: see docs/suspend.md.
            try vps.sh("rm /etc/systemd/system/service.d/10-ctr-suspend.conf; systemctl daemon-reload").succeeds()
            let service = try vps.sh(
                "systemd-run --quiet --wait --pipe -p PrivateUsers=yes -p PrivateTmp=yes -p PrivateNetwork=yes cat /proc/self/uid_map"
            )
            #expect(service.line.split(separator: " ") == ["0", "0", "1"], "\(service.both)")

            try install("bubblewrap podman crun busybox-static", vps)
            try vps.sh("useradd -m someone").succeeds()
            for user in ["root", "someone"] {
                let wrapped = try vps.sh(
                    "su \(user) -c \"bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all sh -c 'id -un; echo /proc/[0-9]*'\""
                )
                #expect(wrapped.lines == [user, "/proc/1 /proc/2"], "\(wrapped.both)")
            }
            try vps.sh(
                """
                set -e
                mkdir -p /srv/image/bin; cp /bin/busybox /srv/image/bin/; ln -s busybox /srv/image/bin/sh
                printf '[storage]\\ndriver = "vfs"\\nrunroot = "/run/containers"\\ngraphroot = "/var/lib/containers/storage"\\n' > /etc/containers/storage.conf; rm -rf /var/lib/containers
                tar -C /srv/image -c . | podman import - image
                """
            ).succeeds()
            let podman = try vps.sh(
                """
                podman run --rm --pids-limit 0 --network none image /bin/sh -c 'echo $$'
                podman run -d --name one --pids-limit 0 --network none image /bin/busybox sleep 1000 >/dev/null
                podman exec one /bin/sh -c 'echo inside'; podman rm -f -t 0 one >/dev/null; podman ps -aq
                """)
            #expect(podman.lines == ["1", "inside"], "\(podman.both)")
            try f.ctr("destroy", "--force", vps.name).succeeds()
        }
    }

    /// Packages in directories of the test, fetched by a VPS with the host's network; returns the options that give
    /// them to another, which has a network of its own and so can have services.
    func fetch(_ packages: String, _ f: Fixture) throws -> [String] {
        try f.sh("mkdir -p -m 755 lists archives")
        let mounts = [
            "--mount", "\(f.path)/lists:/var/lib/apt/lists", "--mount", "\(f.path)/archives:/var/cache/apt/archives",
        ]
        let proxies = ToolProcess.proxyEnvironment.flatMap { ["--env", $0] }
        try f.start(
            f.program,
            ["run", "--net", "host", "--mount", "/etc/resolv.conf:/etc/resolv.conf:ro"] + mounts + proxies + [
                "debian-12", "sh", "-c",
                "apt-get -q update && apt-get -q -y --no-install-recommends --download-only install \(packages)",
            ]
        ).wait(300).succeeds()
        return mounts
    }

    func install(_ packages: String, _ vps: BootedVPS) throws {
        try vps.sh(
            "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends --no-download install \(packages)"
        ).succeeds()
    }
}

/// busybox's init of the template `minimal`.
@Suite struct MinimalInitTests {
    @Test(arguments: [("poweroff", 130), ("halt", 130), ("reboot", nil), ("poweroff -f", 130), ("reboot -f", nil)])
    func haltsAsItIsTold(_ how: String, _ status: Int?) throws {
        try Fixture.with { (f) throws in
            let vps = try BootedVPS(f, template: "minimal")
            try booted(vps)
            try vps.sh(how)
            if let status { try vps.ended(with: status) } else { try vps.rebooted() }
        }
    }

    /// It waits for its signals in sigtimedwait(2), so nothing in /proc/PID/status tells that it takes them.
    @Test func stopLetsItHalt() throws {
        try Fixture.with { (f) throws in
            let vps = try BootedVPS(f, template: "minimal")
            try booted(vps)
            try vps.sh(
                "printf '#!/bin/sh\\n[ $1 = stop ] && echo the last words\\n' > /etc/rc.d/50-x; chmod 755 /etc/rc.d/50-x"
            )
            .succeeds()
            try f.ctr("stop", "--timeout", "60", vps.name, timeout: 90).succeeds()
            #expect(try f.ctr("logs", vps.name).out.contains("the last words"))
            try vps.ended(with: 130)
        }
    }

    /// Until init has run /etc/rc.
    private func booted(_ vps: BootedVPS) throws {
        let word = vps.name
        try #require(try until(60) { try vps.sh("cat /etc/hosts").out.contains(word) })
    }
}
