import Cgroups
import Foundation
import Model
import Testing

/// Another host's files below a temporary directory.
private func withHost<R>(_ mountinfo: String, _ files: [String: String] = [:], _ body: (String) throws -> R) throws -> R
{
    let root = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: root) }
    for (path, text) in files.merging(["/proc/self/mountinfo": mountinfo], uniquingKeysWith: { a, _ in a }) {
        let file = root.appendingPathComponent(path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
    return try body(root.path)
}

private let unified = """
    22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
    26 22 0:24 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
    31 26 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot

    """

private let hybrid = """
    23 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
    31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
    38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
    40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw

    """

@Suite struct HostTests {
    @Test func findsAUnifiedHost() throws {
        let files = ["/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n"]
        let host = try withHost(unified, files) { try CgroupHost.detect(root: $0) }
        #expect(host.layout == .unified)
        #expect(host.v2 == "/sys/fs/cgroup")
        #expect(host.v2Controllers == [.cpuset, .cpu, .io, .memory, .hugetlb, .pids])
        for controller in CgroupController.allCases { #expect(host.place(of: controller) == .v2, "\(controller)") }
    }

    @Test func findsAHybridHost() throws {
        let host = try withHost(hybrid, ["/sys/fs/cgroup/unified/cgroup.controllers": "pids hugetlb\n"]) {
            try CgroupHost.detect(root: $0)
        }
        #expect(host.layout == .hybrid)
        #expect(host.place(of: .cpu) == .v1(mount: "/sys/fs/cgroup/cpu,cpuacct"))
        #expect(host.place(of: .memory) == .v1(mount: "/sys/fs/cgroup/memory"))
        #expect(host.place(of: .io) == .v1(mount: "/sys/fs/cgroup/blkio"))
        #expect(host.place(of: .pids) == .v2)
        #expect(host.place(of: .cpuset) == .absent)
        // Both could account for time; v2 does it without a directory more.
        #expect(host.place(of: .cpuacct) == .v2)
        #expect(host.place(of: .freezer) == .v2)
        #expect(host.place(of: .devices) == .v2)
    }

    @Test func findsALegacyHost() throws {
        let table = hybrid.split(separator: "\n").filter { !$0.contains("cgroup2") }.joined(separator: "\n") + "\n"
        let host = try withHost(table) { try CgroupHost.detect(root: $0) }
        #expect(host.layout == .legacy)
        #expect(host.place(of: .cpuacct) == .v1(mount: "/sys/fs/cgroup/cpu,cpuacct"))
        #expect(host.place(of: .freezer) == .absent)
        #expect(host.place(of: .devices) == .absent)
    }

    @Test func findsNoCgroupsAtAll() throws {
        let host = try withHost("23 1 8:1 / / rw - ext4 /dev/root rw\n") { try CgroupHost.detect(root: $0) }
        #expect(host.layout == .none)
        #expect(host.place(of: .memory) == .absent)
    }

    /// As in a container that has the host's hierarchies mounted from a subtree, twice, with a blank in a name.
    @Test func copesWithOddTables() throws {
        let table = """
            1 0 0:1 / / rw - overlay overlay rw
            2 1 0:32 /docker/abc /mnt/my\\040cgroups/memory ro - cgroup cgroup rw,memory
            3 1 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:12 - cgroup cgroup rw,memory
            4 1 0:33 /docker/abc /mnt/my\\040cgroups/pids ro - cgroup cgroup rw,pids
            broken line
            5 1 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
            6 1 0:99 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw
            7 1 0:35 / /mnt/no\\04newline rw - cgroup cgroup rw,cpu
            """ + "\n"
        let host = try withHost(table) { try CgroupHost.detect(root: $0) }
        #expect(host.place(of: .memory) == .v1(mount: "/sys/fs/cgroup/memory"))
        #expect(host.place(of: .pids) == .v1(mount: "/mnt/my cgroups/pids"))
        // Something else is mounted over it.
        #expect(host.v2 == nil)
    }

    @Test func readsLongTablesInParts() throws {
        let filler = (0..<4000).map { "\($0 + 100) 23 0:\($0) / /mnt/disk\($0) rw,relatime - tmpfs tmpfs rw\n" }
            .joined()
        let files = ["/sys/fs/cgroup/cgroup.controllers": "memory\n"]
        let host = try withHost(filler + unified, files) { try CgroupHost.detect(root: $0) }
        #expect(host.layout == .unified)
        #expect(host.v2Controllers == [.memory])
    }

    @Test func saysWhatItCouldNotRead() throws {
        let error = thrown { try CgroupHost.detect(root: "/nonexistent") }
        #expect(error?.code == .io)
        #expect(error?.message.contains("/nonexistent/proc/self/mountinfo") == true)
    }
}
