import Kernel
import Model
import Runtime
import Testing

/// `ctr host check` where something is missing: the tries run under programs that take it away, in namespaces of their
/// own, so nothing of the host changes.
@Suite(.serialized) struct HostCheckLackTests {
    @Test func ordinaryUser() throws {
        try HostCheckFixture.with { fixture in
            // The build directory may be closed to others; a copy is not.
            let probe = try HostCheckFixture.probe
            let copy = "\(fixture.path)/probe"
            _ = try HostCheckFixture.execute("cp", [probe, copy])
            let outcome = try fixture.check(
                after: "set -- '\(copy)' '\(fixture.root)' '\(fixture.state)'; "
                    + "set -- setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"")
            #expect(outcome.status == .exited(69))
            #expect(!outcome.report.canRun)
            let root = try outcome.feature("system", "root")
            #expect(root.status == .no && root.required)
            #expect(root.why == "this is user 65534")
            #expect(try outcome.feature("root of a VPS", "overlayfs").why == "not tried: it takes root")
        }
    }

    @Test func withoutAdministration() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(under: "setpriv", ["--bounding-set", "-sys_admin", "--inh-caps", "-all"])
            #expect(outcome.status == .exited(69))
            for name in ["mount", "pid", "uts", "ipc", "cgroup"] {
                #expect(try outcome.status("namespaces", name) == .no, "\(name)")
            }
            #expect(try outcome.status("mount calls", "fsopen, fsconfig, fsmount") == .no)
            #expect(try outcome.status("root of a VPS", "overlayfs") == .no)
            let blockers = outcome.report.blockers.map(\.name)
            #expect(blockers.contains("CAP_SYS_ADMIN"))
            #expect(outcome.report.blockers.allSatisfy { $0.cost?.hasPrefix("ctr run can't work") == true })
        }
    }

    @Test(arguments: [
        ("mknod", "CAP_MKNOD", "file systems", "tmpfs"),
        ("sys_chroot", "CAP_SYS_CHROOT", "system calls", "return to a mount namespace"),
    ])
    func withoutRequired(_ option: String, _ name: String, _ area: String, _ feature: String) throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(under: "setpriv", ["--bounding-set", "-\(option)", "--inh-caps", "-all"])
            #expect(try outcome.status("privileges", name) == .no)
            #expect(try outcome.status(area, feature) == .no)
            #expect(outcome.status == .exited(69))
        }
    }

    /// A capability that only some options need does not make the host useless.
    @Test func withoutNetworkAdministration() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(under: "setpriv", ["--bounding-set", "-net_admin", "--inh-caps", "-all"])
            #expect(try outcome.status("privileges", "CAP_NET_ADMIN") == .no)
            for name in ["pairs of interfaces", "bridges", "packet filter", "rules of VPSs", "token bucket"] {
                #expect(try outcome.status("network", name) == .no, "\(name)")
            }
            #expect(try outcome.status("namespaces", "loopback interface") == .yes, "its own root has it there")
            #expect(outcome.report.canRun)
            #expect(outcome.status == .exited(0))
        }
    }

    /// The kernel then mounts no proc for a user namespace: mount_too_revealing().
    @Test func coveredProc() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(after: "mount -t tmpfs none /proc/sys/fs")
            let feature = try outcome.feature("file systems", "proc in a user namespace")
            #expect(feature.status == .no)
            #expect(feature.cost?.contains("/proc/sys/fs") == true)
            #expect(try outcome.status("file systems", "proc") == .yes)
            #expect(outcome.report.canRun, "--userns host still works")
        }
    }

    @Test func coveredSys() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(after: "mount -t tmpfs none /sys/kernel")
            #expect(try outcome.status("file systems", "sysfs in a user namespace") == .no)
            #expect(try outcome.status("file systems", "sysfs") == .yes)
        }
    }

    @Test func withoutCgroups() throws {
        try HostCheckFixture.with { fixture in
            // In the namespace of this test alone.
            let outcome = try fixture.check(after: "umount -l /sys/fs/cgroup")
            for name in ["hierarchies", "memory limit", "freeze", "clone3 with CLONE_INTO_CGROUP"] {
                #expect(try outcome.status("cgroups", name) == .no, "\(name)")
            }
            #expect(!outcome.report.canRun)
            #expect(outcome.report.blockers.map(\.name) == ["device rules"])
        }
    }

    @Test func readOnlyDirectories() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(
                after: "mount --bind '\(fixture.path)' '\(fixture.path)'; mount -o remount,bind,ro '\(fixture.path)'")
            #expect(outcome.status == .exited(69))
            for name in ["--root", "--state"] {
                let feature = try outcome.feature("storage", name)
                #expect(feature.status == .no)
                #expect(feature.why?.hasSuffix("Read-only file system") == true)
            }
            #expect(try outcome.feature("root of a VPS", "overlayfs").why?.hasPrefix("not tried: ") == true)
        }
    }

    /// An overlay takes no other overlay as its upper layer.
    @Test func rootOnOverlay() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(
                after: """
                    cd '\(fixture.path)'
                    mkdir tmp; mount -t tmpfs none tmp; mkdir tmp/lower tmp/upper tmp/work root
                    mount -t overlay none -o lowerdir=tmp/lower,upperdir=tmp/upper,workdir=tmp/work root
                    """)
            #expect(try outcome.feature("storage", "--root").why == "\(fixture.root), overlayfs")
            #expect(try outcome.status("root of a VPS", "overlayfs") == .no)
            #expect(outcome.report.blockers.map(\.name) == ["overlayfs"])
        }
    }

    @Test func smallTmpfs() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(
                after: """
                    mkdir '\(fixture.root)' '\(fixture.state)'
                    mount -t tmpfs -o size=10m,nr_inodes=5000 none '\(fixture.root)'
                    mount -t tmpfs -o size=900k none '\(fixture.state)'
                    """)
            #expect(try outcome.status("storage", "--state empty after a reboot") == .yes)
            #expect(try outcome.status("storage", "space for --root") == .partly)
            #expect(try outcome.status("storage", "inodes for --root") == .partly)
            #expect(try outcome.status("storage", "space for --state") == .no)
            #expect(try outcome.status("root of a VPS", "overlayfs on idmapped layers") == .yes)
        }
    }

    /// ramfs maps no ids.
    @Test func noIDMaps() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(after: "mkdir '\(fixture.root)'; mount -t ramfs none '\(fixture.root)'")
            let status = try outcome.status("root of a VPS", "idmapped mounts")
            #expect(try outcome.status("root of a VPS", "overlayfs on idmapped layers") == status)
            #expect(status == .no)
        }
    }

    /// A container's root: ids of the host are missing, and devices can't be made.
    @Test func insideAUserNamespace() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(after: "true", unsharing: ["-Urm"])
            #expect(try outcome.status("system", "user namespace of the host") == .partly)
            #expect(try outcome.status("user ids", "map of 65,536 ids") == .no)
            #expect(try outcome.status("file systems", "tmpfs") == .no)
            #expect(!outcome.report.canRun)
        }
    }

    @Test func limitedNamespaces() throws {
        try HostCheckFixture.with { fixture in
            // Of a user namespace between: the host's own settings stay.
            let outcome = try fixture.check(
                after: "echo 0 >/proc/sys/user/max_uts_namespaces", unsharing: ["-Urm"])
            let feature = try outcome.feature("namespaces", "how many")
            #expect(feature.status == .no)
            #expect(feature.why == "user.max_uts_namespaces is 0")
            #expect(try outcome.feature("namespaces", "uts").why == "clone3: No space left on device")
        }
    }

    @Test func missingTools() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(
                after: "for tool in $(command -v zstd mmdebstrap); do mount --bind /dev/null \"$tool\"; done")
            let feature = try outcome.feature("tools for templates", "zstd")
            #expect(feature.status == .no)
            #expect(feature.cost?.hasSuffix("install the package zstd") == true)
            #expect(outcome.report.canRun)
        }
    }

    /// Not there, something else in its place, and switched off.
    @Test(arguments: [
        (#"{"lxcfsDirectory": "/nowhere"}"#, "not mounted at /nowhere"),
        (#"{"lxcfsDirectory": "/proc"}"#, "not mounted"),
        (#"{"lxcfs": "off"}"#, "off"), (#"{"lxcfs": "no"}"#, "lxcfs 'no': not one of auto, start, off"),
    ])
    func withoutLxcfs(_ settings: String, _ why: String) throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(
                after: "echo '\(settings)' >'\(fixture.path)/ctr.json'; export CTR_CONFIG='\(fixture.path)/ctr.json'")
            let feature = try outcome.feature("view from inside", "lxcfs")
            #expect(feature.status == .no)
            #expect(feature.why?.contains(why) == true, "\(feature)")
            #expect(outcome.report.canRun)
        }
    }

    /// Settings that are no settings: told, not hidden.
    @Test func brokenSettings() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check(
                after: "echo '{\"idPol\": 1}' >'\(fixture.path)/ctr.json'; export CTR_CONFIG='\(fixture.path)/ctr.json'"
            )
            let feature = try outcome.feature("user ids", "id pool")
            #expect(feature.status == .no)
            #expect(feature.why?.contains("idPol") == true)
        }
    }
}
