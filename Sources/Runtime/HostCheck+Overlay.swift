internal import Kernel
internal import Namespaces

extension HostCheck {
    /// A VPS's root: overlayfs on the file system of `$CTR_ROOT`, really mounted and written to.
    static func overlay(_ bench: Workbench) -> CheckSection {
        var section = CheckSection("root of a VPS")
        let place = "the file system of \(bench.host.root)"
        section.add(
            "overlayfs", required: true,
            bench.root.probe(.mount) { (path) throws(SysError) in
                try OverlayTry(path: path, name: "plain").run()
            },
            cost:
                "ctr run can't work: a VPS's root is an overlay over its template (overlayfs in the "
                + "kernel, and ext4, xfs, btrfs or tmpfs under --root)"
        )
        section.add(
            "idmapped mounts",
            bench.root.probe(.mount) { (path) throws(SysError) in
                try mapIDs(path, bench)
            },
            cost:
                "--userns auto, the default, can't work on \(place): put --root on ext4, xfs, btrfs or "
                + "tmpfs, or use --userns host"
        )
        section.add(
            "overlayfs on idmapped layers",
            bench.root.probe(.mount) { (path) throws(SysError) in
                try OverlayTry(path: path, name: "mapped", bench: bench).run()
            }, cost: "--userns auto, the default, can't work: a kernel of 5.19 or later has it; use --userns host")
        section.add(
            "overlayfs volatile",
            bench.root.probe(.mount) { (path) throws(SysError) in
                try OverlayTry(path: path, name: "volatile", volatile: true).run()
            }, cost: "an ephemeral VPS can't skip flushing what it wrote: use --keep (a kernel of 5.10 or later has it)"
        )
        section.add(
            "overlayfs layers by descriptor",
            bench.root.probe(.mount) { (path) throws(SysError) in
                try OverlayTry(path: path, name: "descriptors", bench: bench, form: .descriptors).run()
            },
            cost:
                "each start attaches the layers and names them by path, a few calls more; a kernel of 6.13 "
                + "or later does without"
        )
        return section
    }

    /// A file made through the mapped mount by the guest's root must lie on the disk as root's.
    private static func mapIDs(_ path: String, _ bench: Workbench) throws(SysError) -> Finding {
        let directory = try open(path, [.directory])
        try directory.makeDirectory("ids", mode: 0o755)
        let mount = try directory.open("ids", [.path, .directory]).cloneMount()
        try mount.mapIDs(by: try makeUserNamespace(bench.maps))
        try Identity.acting(asUser: bench.owner, group: bench.owner) { () throws(SysError) in
            _ = try mount.open("file", [.create, .exclusive, .writeOnly])
        }
        let owner = try directory.status(of: "ids/file").uid
        return owner == 0 ? .yes() : .no("a file of the guest's root belongs to user \(owner) on the disk")
    }
}

/// One overlay in a directory of its own below `path`, mounted as a start mounts it, and what a guest does with it.
private struct OverlayTry {
    enum Form { case any, descriptors }

    var path: String
    var name: String
    /// With id maps; nil: the host's ids.
    var bench: Workbench?
    var volatile = false
    var form = Form.any

    func run() throws(SysError) -> Finding {
        CurrentProcess.setFileModeMask(0o022)
        let base = try open(path, [.directory])
        try base.makeDirectory(name, mode: 0o755)
        let directory = try base.open(name, [.directory])
        for name in ["lower", "lower/gone", "disk", "disk/upper", "disk/work", "point"] {
            try directory.makeDirectory(name, mode: 0o755)
        }
        try directory.open("lower/file", [.create, .writeOnly], mode: 0o644).writeAll(Array("lower".utf8))

        let userns = try bench.map { (bench) throws(SysError) in SharedFD(try makeUserNamespace(bench.maps)) }
        let overlay = OverlayMount(
            lowers: [SharedFD(try layer(directory, "lower", readOnly: true, userns))],
            disk: SharedFD(try layer(directory, "disk", readOnly: false, userns)), volatile: volatile)
        let owner = bench?.owner ?? 0
        return try Identity.acting(asUser: owner, group: owner) { () throws(SysError) in
            let root = try mount(overlay, directory)
            try use(root)
            return try look(directory)
        }
    }

    private func layer(
        _ directory: borrowing FD, _ name: String, readOnly: Bool, _ userns: SharedFD?
    ) throws(SysError) -> FD {
        let mount = try directory.open(name, [.path, .directory]).cloneMount()
        let attributes: MountAttributes = readOnly ? [.readOnly, .noDev] : [.noDev]
        if let userns {
            try mount.mapIDs(by: userns.fd, adding: attributes)
        } else {
            try mount.setMountAttributes(attributes)
        }
        return mount
    }

    private func mount(_ overlay: OverlayMount, _ directory: borrowing FD) throws(SysError) -> FD {
        do throws(SysError) { return try overlay.mountByDescriptors() } catch
            where error.errno == Errno.invalid && error.call == "fsconfig" && form == .any
        {}
        return try overlay.mountByPaths(attachingLayersTo: try directory.open("point", [.path, .directory]))
    }

    /// Changes a file of the layer below, makes one, removes a directory.
    private func use(_ root: borrowing FD) throws(SysError) {
        try root.open("file", [.writeOnly, .append]).writeAll(Array("upper".utf8))
        _ = try root.open("new", [.create, .exclusive, .writeOnly])
        try root.unlink("gone", directory: true)
    }

    /// Whether the disk holds what it should: copies and new files of root's, a whiteout.
    private func look(_ directory: borrowing FD) throws(SysError) -> Finding {
        for name in ["file", "new"] {
            let owner = try directory.status(of: "disk/upper/\(name)").uid
            if owner != 0 { return .no("a file of the guest's root belongs to user \(owner) on the disk") }
        }
        if try directory.status(of: "disk/upper/gone").type != .character { return .no("removed files come back") }
        return .yes()
    }
}
