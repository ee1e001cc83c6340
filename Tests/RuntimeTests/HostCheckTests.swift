import FoundationEssentials
import Kernel
import Model
import Runtime
import Testing

/// `ctr host check` on this host as it is, held against facts that come from elsewhere. Tests run as root.
@Suite(.serialized) struct HostCheckTests {
    /// Every feature of the issue has a line, on every host.
    @Test func everyFeatureIsThere() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check()
            let names = Set(outcome.report.features.map { "\($0.area): \($0.name)" })
            #expect(names.count == outcome.report.features.count, "a name is there twice")
            for name in HostCheckTests.expected { #expect(names.contains(name), "\(name) is missing") }
        }
    }

    private static let expected =
        ["root", "user namespace of the host", "processor"].map { "system: \($0)" }
        + [
            "clone3 with CLONE_PIDFD", "pidfd_open", "pidfd_send_signal", "waitid with P_PIDFD", "setns with a pidfd",
            "return to a mount namespace", "openat2 with RESOLVE_IN_ROOT", "close_range with CLOSE_RANGE_CLOEXEC",
            "sealed programs in memory", "keyrings",
        ].map { "system calls: \($0)" }
        + [
            "mount", "pid", "uts", "ipc", "cgroup", "network", "loopback interface", "user", "time",
            "all of a VPS in one clone3", "user namespace in a user namespace",
            "user namespaces of a guest's ordinary users", "how many",
        ].map { "namespaces: \($0)" }
        + ["id pool", "/etc/subuid and /etc/subgid", "map of 65,536 ids"].map { "user ids: \($0)" }
        + [
            "fsopen, fsconfig, fsmount", "open_tree", "move_mount", "mount_setattr", "mount_setattr on a whole tree",
            "pivot_root",
        ].map { "mount calls: \($0)" }
        + [
            "tmpfs", "devpts", "proc", "proc in a user namespace", "sysfs", "sysfs in a user namespace", "mqueue",
            "cgroup2",
        ].map { "file systems: \($0)" }
        + [
            "overlayfs", "idmapped mounts", "overlayfs on idmapped layers", "overlayfs volatile",
            "overlayfs layers by descriptor",
        ].map { "root of a VPS: \($0)" }
        + ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "other capabilities", "resource limits above ctr's own"]
        .map { "privileges: \($0)" }
        + ["filters", "libseccomp and the default profile"].map { "seccomp: \($0)" }
        + [
            "hierarchies", "clone3 with CLONE_INTO_CGROUP", "memory limit", "memory throttling", "swap limit",
            "process limit", "processor quota", "processor weight", "processor set", "disk rates", "device rules",
            "freeze", "kill at once",
        ].map { "cgroups: \($0)" }
        + [
            "--root", "--state", "--state empty after a reboot", "space for --root", "inodes for --root",
            "space for --state", "extended attributes", "files without a name", "shared copies of files",
            "loop devices", "btrfs", "mkfs.btrfs",
        ].map { "storage: \($0)" }
        + ["process numbers", "terminals", "inotify instances", "boot id"].map { "kernel settings: \($0)" }
        + [
            "nft", "forwarding of IPv4", "forwarding of IPv6", "pairs of interfaces", "bridges", "packet filter",
            "translation of addresses", "packet filter of bridges", "rules of VPSs", "token bucket",
            "list of connections", "name servers",
            "table of neighbours",
        ].map { "network: \($0)" }
        + ["view from inside: lxcfs"]
        + ["mmdebstrap", "apt-get", "dpkg-deb", "tar", "gzip", "xz", "zstd"].map { "tools for templates: \($0)" }
        + ["suspend: criu"]

    /// What is not there says why and what it costs, in one line; what is there costs nothing.
    @Test func costsAndReasons() throws {
        try HostCheckFixture.with { fixture in
            for feature in try fixture.check().report.features {
                let name = "\(feature.area): \(feature.name)"
                if feature.status == .yes {
                    #expect(feature.cost == nil, "\(name)")
                } else {
                    #expect(feature.why?.isEmpty == false, "\(name) does not say why")
                    #expect(feature.cost?.isEmpty == false, "\(name) does not say what it costs")
                }
                #expect(!"\(feature.why ?? "")\(feature.cost ?? "")".contains("\n"), "\(name)")
            }
        }
    }

    /// The keys that scripts rely on.
    @Test func json() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check()
            struct AnyKey: CodingKey {
                var stringValue: String
                var intValue: Int? { nil }
                init(stringValue: String) { self.stringValue = stringValue }
                init?(intValue: Int) { nil }
            }
            struct Keys: Decodable {
                var names: Set<String>
                init(from decoder: any Decoder) throws {
                    names = Set(try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue))
                }
            }
            struct Features: Decodable { var features: [Keys] }
            let bytes = Data(Array(outcome.text.utf8))
            #expect(try JSONDecoder().decode(Keys.self, from: bytes).names == ["kernel", "canRun", "features"])
            for feature in try JSONDecoder().decode(Features.self, from: bytes).features {
                #expect(feature.names.isSuperset(of: ["area", "name", "status", "required"]))
                #expect(feature.names.isSubset(of: ["area", "name", "status", "required", "why", "cost"]))
            }
            let release = try HostCheckFixture.text("/proc/sys/kernel/osrelease").dropLast()
            #expect(outcome.report.kernel.hasPrefix("Linux \(release) "))
        }
    }

    /// This project runs on this host, so the check must say so; and says so by its status too.
    @Test func thisHostCanRun() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check()
            #expect(outcome.report.canRun)
            #expect(outcome.report.blockers == [])
            #expect(outcome.status == .exited(0))
        }
    }

    /// Namespaces that util-linux can make are `yes`, as well as those that /proc/self/ns shows.
    @Test(arguments: [
        ("mount", "mnt"), ("pid", "pid"), ("uts", "uts"), ("ipc", "ipc"), ("network", "net"),
        ("user", "user"), ("cgroup", "cgroup"), ("time", "time"),
    ])
    func namespacesAgree(_ name: String, _ file: String) throws {
        try HostCheckFixture.with { fixture in
            let there = (try? Kernel.open("/proc/self/ns/\(file)", [.path])) != nil
            let option = name == "network" ? "--net" : "--\(name)"
            let made = try HostCheckFixture.execute("unshare", ["--fork", option, "true"]).0.succeeded
            #expect(try fixture.check().status("namespaces", name) == (there && made ? .yes : .no))
        }
    }

    /// /proc/filesystems lists what the kernel has; what it has not can't be `yes`.
    @Test(arguments: ["tmpfs", "devpts", "proc", "sysfs", "mqueue", "cgroup2"])
    func fileSystemsAgree(_ type: String) throws {
        try HostCheckFixture.with { fixture in
            let types = try HostCheckFixture.text("/proc/filesystems").split(whereSeparator: \.isWhitespace)
            let status = try fixture.check().status("file systems", type)
            #expect(status == (types.contains { $0 == type } ? .yes : .no))
        }
    }

    /// A controller that /proc/cgroups has as off, or not at all, has no limits; one that a v1 hierarchy is mounted
    /// with, or that cgroup.controllers lists, has.
    @Test(arguments: [
        ("memory limit", "memory", "memory"), ("process limit", "pids", "pids"),
        ("processor weight", "cpu", "cpu"), ("processor set", "cpuset", "cpuset"),
    ])
    func controllersAgree(_ feature: String, _ v1: String, _ v2: String) throws {
        try HostCheckFixture.with { fixture in
            let mounts = try HostCheckFixture.text("/proc/self/mounts").split(separator: "\n")
                .map { $0.split(separator: " ") }
            let inV1 = mounts.contains { $0[2] == "cgroup" && $0[3].split(separator: ",").contains { $0 == v1 } }
            let unified = mounts.first { $0[2] == "cgroup2" }.map { String($0[1]) }
            let listed = try unified.map { try HostCheckFixture.text("\($0)/cgroup.controllers") } ?? ""
            let inV2 = listed.split(whereSeparator: \.isWhitespace).contains { $0 == v2 }
            #expect(try fixture.check().status("cgroups", feature) == (inV1 || inV2 ? .yes : .no))
        }
    }

    /// Capabilities as /proc/self/status has them.
    @Test func capabilitiesAgree() throws {
        try HostCheckFixture.with { fixture in
            let line = try HostCheckFixture.text("/proc/self/status").split(separator: "\n")
                .first { $0.hasPrefix("CapEff:") }
            let mask = try #require(line.flatMap { UInt64($0.split(separator: "\t")[1], radix: 16) })
            let outcome = try fixture.check()
            for (name, number) in [("CAP_SYS_ADMIN", 21), ("CAP_MKNOD", 27), ("CAP_SYS_RESOURCE", 24)] {
                let has = mask & (1 << UInt64(number)) != 0
                #expect(try outcome.status("privileges", name) == (has ? .yes : .no), "\(name)")
            }
        }
    }

    @Test func toolsAgree() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check()
            for tool in ["mmdebstrap", "apt-get", "dpkg-deb", "tar", "gzip", "xz", "zstd"] {
                let there = try HostCheckFixture.execute("/bin/sh", ["-c", "command -v \(tool)"]).0.succeeded
                #expect(try outcome.status("tools for templates", tool) == (there ? .yes : .no), "\(tool)")
            }
        }
    }

    /// `cp --reflink=always` is the same call.
    @Test func sharedCopiesAgree() throws {
        try HostCheckFixture.with { fixture in
            let script = "cd '\(fixture.path)'; head -c 4096 /dev/zero >a; cp --reflink=always a b 2>/dev/null"
            let shared = try HostCheckFixture.execute("/bin/sh", ["-c", script]).0.succeeded
            #expect(try fixture.check().status("storage", "shared copies of files") == (shared ? .yes : .no))
        }
    }

    /// Directories that are not there yet are not made, and the check looks at what they would lie on.
    @Test func makesNoDirectory() throws {
        try HostCheckFixture.with { fixture in
            let outcome = try fixture.check()
            #expect(try outcome.feature("storage", "--root").why?.contains("to be made in \(fixture.path)") == true)
            #expect(try Kernel.open(fixture.path, [.directory]).entries() == [])
        }
    }

    /// A check that is killed, whenever, leaves neither directories nor cgroups.
    @Test func killedAtAnyTime() throws {
        try HostCheckFixture.with { fixture in
            let probe = try HostCheckFixture.probe
            let script = """
                for delay in 0.01 0.03 0.05 0.08 0.12 0.17 0.23 0.3 0.4 0.5; do
                    timeout -s KILL $delay "$0" '\(fixture.root)' '\(fixture.state)' >/dev/null || true
                done
                # What it had at work ends by itself: soon, and at the latest when a cgroup is free to go.
                for second in $(seq 40); do
                    left=$(find '\(fixture.path)' /sys/fs/cgroup -mindepth 1 -maxdepth 3 -name '*ctr-check-*' -newer '\(fixture.path)/start')
                    [ -z "$left" ] && exit 0
                    sleep 1
                done
                echo "$left"
                exit 1
                """
            _ = try Kernel.open(fixture.path, [.directory]).open("start", [.create, .writeOnly])
            let (status, output) = try HostCheckFixture.execute("/bin/sh", ["-c", script, probe])
            #expect(status == .exited(0), "left behind: \(String(decoding: output, as: UTF8.self))")
        }
    }
}
