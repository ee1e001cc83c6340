import FoundationEssentials
import Kernel
import Model
import Runtime
import Testing

/// What `ctr host check` says is what `ctr run` does: both run under the same restriction, and what the check calls
/// impossible must fail, what it calls possible must work.
@Suite(.serialized) struct HostCheckAgreementTests {
    static let busybox = "/bin/busybox"

    /// A template of one static program; without it (Debian's busybox-static) there is nothing to run.
    static var hasStaticShell: Bool {
        (try? HostCheckFixture.execute("/bin/sh", ["-c", "! ldd \(busybox) >/dev/null 2>&1 && test -x \(busybox)"]).0)?
            .succeeded == true
    }

    struct Restriction: Sendable, CustomTestStringConvertible {
        /// A shell script after which the words are executed, in a mount namespace of its own.
        var script: String
        var testDescription: String { script.isEmpty ? "none" : script }

        static let all =
            [Restriction(script: "")]
            + [
                "sys_admin", "sys_chroot", "mknod", "setpcap", "setgid", "setuid", "chown", "dac_override", "net_admin",
                "fowner", "kill",
            ].map { Restriction(script: "set -- setpriv --bounding-set -\($0) --inh-caps -all \"$@\"") }
            + [
                "mount -t tmpfs none /proc/sys/fs", "mount -t tmpfs none /sys/kernel", "umount -l /sys/fs/cgroup",
            ].map { Restriction(script: $0) }
    }

    @Test(
        .enabled(if: hasStaticShell, "no static /bin/busybox (install the package busybox-static)"),
        arguments: Restriction.all)
    func checkAgreesWithRun(_ restriction: Restriction) throws {
        try HostCheckFixture.with { fixture in
            let ctr = String(try HostCheckFixture.probe.dropLast("check-probe".count)) + "ctr"
            // Its own registry of id ranges, so that the host's stays as it is.
            try Kernel.open(fixture.path, [.directory]).replaceFile(
                "ctr.json", Array("{\"idRegistry\": \"\(fixture.path)/ids\", \"net\": \"none\"}".utf8), durable: false)
            let base = [
                "/usr/bin/env", "CTR_CONFIG=\(fixture.path)/ctr.json", ctr, "--root", fixture.root, "--state",
                fixture.state,
            ]
            // Takes the empty cgroup above the VPSs' own away.
            defer { _ = try? HostCheckFixture.execute(base[0], Array(base.dropFirst()) + ["host", "recover"]) }
            let made = try HostCheckFixture.execute(
                "/bin/sh",
                [
                    "-ec",
                    """
                    mkdir -p '\(fixture.path)/fs/bin'; cp \(HostCheckAgreementTests.busybox) '\(fixture.path)/fs/bin/busybox'
                    exec "$@"
                    """, "sh",
                ] + base + ["template", "import", "\(fixture.path)/fs", "--name", "box"])
            #expect(made.0 == .exited(0))

            func under(_ words: [String]) throws -> (ToolProcess.Status, [UInt8]) {
                let script = ["/bin/sh", "-ec", "\(restriction.script)\nexec \"$@\"", "sh"]
                return try HostCheckFixture.execute("unshare", ["-m"] + script + base + words)
            }
            func runs(_ options: [String]) throws -> Bool {
                try under(["run"] + options + ["box", "/bin/busybox", "true"]).0 == .exited(0)
            }
            let (status, output) = try under(["--json", "host", "check"])
            let report = try JSONDecoder().decode(HostReport.self, from: Data(output))
            #expect(status == .exited(report.canRun ? 0 : 69))

            let leastDemanding = ["--userns", "host", "--net", "host", "--seccomp", "unconfined"]
            #expect(try runs(leastDemanding) == report.canRun, "blockers: \(report.blockers.map(\.name))")
            // What the default options need has a cost that names them.
            let costs = report.features.compactMap(\.cost)
            let isDefaultBroken = !report.canRun || costs.contains { $0.contains(", the default, can't work") }
            #expect(try runs([]) == !isDefaultBroken)
            let isHostUserBroken = !report.canRun || costs.contains { $0.hasPrefix("--net none is refused with") }
            #expect(try runs(["--userns", "host"]) == !isHostUserBroken)
        }
    }
}
