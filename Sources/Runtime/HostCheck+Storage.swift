internal import Kernel
internal import Model

extension HostCheck {
    /// The file systems under `$CTR_ROOT` and `$CTR_STATE`.
    static func storage(_ bench: Workbench) -> CheckSection {
        var section = CheckSection("storage")
        let (root, state) = (bench.host.root, bench.host.state)
        section.add(
            "--root", required: true,
            bench.root.probe(isAboutIt: true) { (path) throws(SysError) in
                try writable(path, wanted: root, bench.root)
            },
            cost:
                "ctr run can't work: it can't keep templates and VPSs in \(root) (choose a writable --root or CTR_ROOT)"
        )
        section.add(
            "--state", required: true,
            bench.state.probe(isAboutIt: true) { (path) throws(SysError) in
                try writable(path, wanted: state, bench.state)
            }, cost: "ctr run can't work: it can't note what runs in \(state) (choose a writable --state or CTR_STATE)")
        section.add(
            "--state empty after a reboot", bench.state.probe { (path) throws(SysError) in try temporary(path) },
            cost:
                "what a reboot ends leaves its notes behind; ctr knows them by the boot id and clears them "
                + "up at its next verb (better: a tmpfs, such as below /run)"
        )
        section.add(
            "space for --root", bench.root.probe { (path) throws(SysError) in try space(path, wanted: 1 << 30) },
            cost: "templates and VPSs soon fill it, and writes in every VPS fail: free space or choose another --root")
        section.add(
            "inodes for --root", bench.root.probe { (path) throws(SysError) in try inodes(path, wanted: 100_000) },
            cost: "a template of Debian has some 20,000 files: free some, or make the file system with more inodes")
        section.add(
            "space for --state", bench.state.probe { (path) throws(SysError) in try space(path, wanted: 16 << 20) },
            cost: "no VPS can start when it is full: free space or choose another --state")
        section.add(
            "extended attributes", bench.root.probe { (path) throws(SysError) in try attributes(path) },
            cost:
                "templates whose files have attributes or capabilities can't be imported whole, and "
                + "overlayfs may refuse to rename directories (choose a --root on ext4, xfs or btrfs)"
        )
        section.add(
            "files without a name", bench.root.probe { (path) throws(SysError) in try unnamedFile(path) },
            cost:
                "template build, import and export can't work: they take O_TMPFILE (choose a --root on "
                + "ext4, xfs, btrfs or tmpfs)"
        )
        section.add(
            "shared copies of files", bench.root.probe { (path) throws(SysError) in try reflink(path) },
            cost: "full copies of disks take the time and the space of their data; xfs and btrfs share it")
        section.add(
            "loop devices",
            bench.root.probe { (_) throws(SysError) in
                _ = try open("/dev/loop-control", [.readWrite])
                return .yes()
            },
            cost: "VPSs can't have disk images, only directories (--disk none)")
        section.add(
            "btrfs",
            bench.root.probe { (_) throws(SysError) in
                _ = try FileSystemContext("btrfs")
                return .yes()
            },
            cost: "VPSs can't have disk images, only directories (--disk none)")
        section.add(
            "mkfs.btrfs",
            ToolProcess.find("mkfs.btrfs").map { .yes($0) }
                ?? .no("not in \(ToolProcess.searchPath.joined(separator: ":"))"),
            cost: "VPSs can't have disk images, only directories (--disk none): install the package btrfs-progs")
        return section
    }

    /// Files are made, locked and renamed as verbs do it.
    private static func writable(_ path: String, wanted: String, _ scratch: Scratch) throws(SysError) -> Finding {
        let directory = try open(path, [.directory])
        let file = try directory.open("lock", [.create, .exclusive, .readWrite], mode: 0o600)
        try file.lock(.exclusive, wait: false)
        try directory.replaceFile("state.json", Array("{}\n".utf8))
        try directory.rename("lock", to: directory, "other", replace: false)
        let kind = FileSystemKind.name(try directory.fileSystemStatus().magic)
        let place = try scratch.place.get()
        return place == wanted ? .yes("\(wanted), \(kind)") : .yes("\(wanted), to be made in \(place), \(kind)")
    }

    private static func temporary(_ path: String) throws(SysError) -> Finding {
        let kind = FileSystemKind.name(try open(path, [.directory]).fileSystemStatus().magic)
        return ["tmpfs", "ramfs"].contains(kind) ? .yes(kind) : .partly("it lies on \(kind)")
    }

    private static func space(_ path: String, wanted: Int64) throws(SysError) -> Finding {
        let status = try open(path, [.directory]).fileSystemStatus()
        // What a file system keeps back for its own root is not for guests.
        let text = "\(Size.format(status.available)) free of \(Size.format(status.size))"
        if status.available < 1 << 20 { return .no(text) }
        return status.available < wanted ? .partly(text) : .yes(text)
    }

    private static func inodes(_ path: String, wanted: Int64) throws(SysError) -> Finding {
        let status = try open(path, [.directory]).fileSystemStatus()
        // btrfs and others make them as needed and say 0.
        if status.inodes == 0 { return .yes("as many as there is space for") }
        let text = "\(status.freeInodes) free of \(status.inodes)"
        if status.freeInodes < 100 { return .no(text) }
        return status.freeInodes < wanted ? .partly(text) : .yes(text)
    }

    private static func attributes(_ path: String) throws(SysError) -> Finding {
        let file = try open(path, [.directory]).open("attributes", [.create, .exclusive, .readWrite], mode: 0o700)
        // A struct vfs_cap_data of revision 2 that gives CAP_NET_RAW: see capabilities(7).
        let capability: [UInt8] = [1, 0, 0, 2, 0, 0x20, 0, 0] + [UInt8](repeating: 0, count: 12)
        // An access list of acl(5): owner, user 1000, group, mask, others.
        let none: [UInt8] = [0xff, 0xff, 0xff, 0xff]
        var list: [UInt8] = [2, 0, 0, 0]
        for (tag, id) in [(1, none), (2, [0xe8, 3, 0, 0]), (4, none), (0x10, none), (0x20, none)] {
            list += [UInt8(tag), 0, 7, 0] + id
        }
        let kinds: [(name: String, value: [UInt8])] = [
            ("user.ctr", [1]), ("trusted.ctr", [1]), ("security.capability", capability),
            ("system.posix_acl_access", list),
        ]
        var missing: [String] = []
        for kind in kinds {
            do throws(SysError) { try file.setAttribute(kind.name, kind.value) } catch {
                missing.append("\(kind.name): \(SysError.text(error.errno))")
            }
        }
        if missing.isEmpty { return .yes() }
        return missing.count == kinds.count
            ? .no(missing.joined(separator: ", ")) : .partly(missing.joined(separator: ", "))
    }

    private static func unnamedFile(_ path: String) throws(SysError) -> Finding {
        _ = try open(path, [.directory]).open(".", [.readWrite, .temporary], mode: 0o600)
        return .yes()
    }

    private static func reflink(_ path: String) throws(SysError) -> Finding {
        let directory = try open(path, [.directory])
        let source = try directory.open("source", [.create, .exclusive, .readWrite], mode: 0o600)
        try source.writeAll([UInt8](repeating: 1, count: 4096))
        try directory.open("copy", [.create, .exclusive, .readWrite], mode: 0o600).shareData(of: source)
        return .yes()
    }
}

/// Names of file systems by the numbers of statfs(2).
enum FileSystemKind {
    private static let names: [UInt64: String] = [
        0xef53: "ext4", 0x5846_5342: "xfs", 0x9123_683e: "btrfs", 0x0102_1994: "tmpfs", 0x8584_58f6: "ramfs",
        0x794c_7630: "overlayfs", 0x6969: "nfs", 0x2fc1_2fc1: "zfs", 0xf2f5_2010: "f2fs", 0xca45_1a4e: "bcachefs",
        0x6573_5546: "fuse", 0xff53_4d42: "cifs", 0xfe53_4d42: "smb2", 0x0102_1997: "9p", 0x00c3_6400: "ceph",
        0x6367_7270: "cgroup2",
    ]

    /// For example `ext4`; one that is not known here by its number.
    static func name(_ magic: UInt64) -> String {
        names[magic & 0xffff_ffff] ?? "file system 0x\(String(magic, radix: 16))"
    }
}
