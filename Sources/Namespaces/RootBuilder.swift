package import Kernel
internal import Model

/// Builds a VPS's root in the caller's private mount namespace, as the host's root: so its mounts are locked for the
/// guest, who gets a copy of the namespace in a user namespace of its own (mount_namespaces(7)) and can neither unmount
/// nor remount them.
struct RootBuilder: ~Copyable {
    let spec: Spec
    /// The user namespace by which mounts are mapped; nil for the host's ids.
    let userns: SharedFD?
    /// See ``Launch/layersByPath``.
    let layersByPath: Bool
    /// See ``Launch/disk``.
    let disk: SharedFD?

    /// The host's id of the guest's root.
    var owner: UInt32 { spec.linux.idMappings.first { $0.container == 0 }?.host ?? 0 }

    /// Builds everything and attaches it at `spec.root.mountPoint`. Returns the root and, if asked for, the master of
    /// a pseudoterminal inside.
    borrowing func build() throws(CtrError) -> Built {
        let mask = CurrentProcess.setFileModeMask(0)
        defer { CurrentProcess.setFileModeMask(mask) }
        // With uid 0, which the mapped disk does not know, overlayfs can't make its work directory, nor we a file.
        let identity = try describing("ids of the VPS", code: .failed, step: "map ids") { () throws(SysError) in
            try BorrowedIdentity.borrow(user: owner, group: owner)
        }
        let built = try buildAsOwner()
        _ = consume identity
        return built
    }

    private borrowing func buildAsOwner() throws(CtrError) -> Built {
        let root = try mountRoot()
        let devices = DeviceTree(owner: owner, devices: spec.linux.devices, root: root)
        try describing("/dev of the VPS", code: .failed, step: "build /dev") { () throws(SysError) in
            try devices.build()
        }
        try makeSystemDirectories(root)
        let (ready, asks) = (spec.ready, spec.asksToHibernate)
        let host = try describing("/run/host of the VPS", code: .failed, step: "prepare root") {
            () throws(SysError) in try HostDirectory.make(ready, asks: asks, in: root)
        }
        if let text = spec.resolver {
            let file = ResolverFile(text: text, replacing: spec.resolverReplaces)
            try describing("/etc/resolv.conf of the VPS", code: .failed, step: "prepare root") { () throws(SysError) in
                try file.write(in: root)
            }
        }
        if let lines = spec.hosts {
            try describing("/etc/hosts of the VPS", code: .failed, step: "prepare root") { () throws(SysError) in
                try HostsFile(lines: lines).write(in: root)
            }
        }
        for mount in spec.mounts { try bind(mount, root) }
        return Built(
            root: root, terminal: spec.process.terminal ? try devices.openTerminal() : nil, host: host)
    }

    struct Built {
        let root: SharedFD
        let terminal: SharedFD?
        /// What the host has open in /run/host.
        let host: HostDirectory
    }

    /// The file system of the root alone, attached nowhere.
    borrowing func buildDetached() throws(CtrError) -> SharedFD {
        let identity = try describing("ids of the VPS", code: .failed, step: "map ids") { () throws(SysError) in
            try BorrowedIdentity.borrow(user: owner, group: owner)
        }
        let point = try describing("mount point of the root", step: "mount root") { () throws(SysError) in
            try open(spec.root.mountPoint, [.path, .directory])
        }
        let root = SharedFD(try makeRoot(attachingLayersTo: point))
        _ = consume identity
        return root
    }

    private borrowing func mountRoot() throws(CtrError) -> SharedFD {
        let point = try describing("mount point of the root", step: "mount root") { () throws(SysError) in
            try open(spec.root.mountPoint, [.path, .directory])
        }
        let root = SharedFD(try makeRoot(attachingLayersTo: point))
        try describing("root of the VPS", step: "mount root") { () throws(SysError) in
            // Opened anew: layers may have been attached there.
            try root.fd.attach(to: try open(spec.root.mountPoint, [.path, .directory]))
        }
        return root
    }

    /// The root's own file system, attached nowhere.
    borrowing func makeRoot(attachingLayersTo point: borrowing FD) throws(CtrError) -> FD {
        guard let disk = spec.root.disk else {
            guard spec.root.layers.count == 1 else {
                throw CtrError(
                    .config,
                    "root of the VPS: \(spec.root.layers.count) layers without a disk (exactly 1 can be written to)",
                    step: "mount root")
            }
            return try layer(spec.root.layers[0], readOnly: false)
        }
        var lowers: [SharedFD] = []
        for path in spec.root.layers.reversed() { lowers.append(SharedFD(try layer(path, readOnly: true))) }
        let upper: SharedFD
        if let image = self.disk {
            try describing("disk of the VPS", step: "mount root") { () throws(SysError) in try own(image.fd, [.noDev]) }
            upper = image
        } else {
            upper = SharedFD(try layer(disk, readOnly: false))
        }
        let overlay = OverlayMount(lowers: lowers, disk: upper, volatile: spec.root.volatile)
        let byPath = layersByPath
        return try describing("overlay over \(spec.root.layers.joined(separator: ":"))", step: "mount root") {
            () throws(SysError) in
            try byPath ? overlay.mountByPaths(attachingLayersTo: point) : overlay.mount(attachingLayersTo: point)
        }
    }

    /// A detached mount of a host directory with the VPS's ids.
    private borrowing func layer(_ path: String, readOnly: Bool) throws(CtrError) -> FD {
        try describing("layer \(path)", step: "mount root") { () throws(SysError) in
            let mount = try cloneMount(path)
            try own(mount, readOnly ? [.readOnly, .noDev] : [.noDev])
            return mount
        }
    }

    /// A detached mount gets the VPS's ids.
    private borrowing func own(_ mount: borrowing FD, _ attributes: MountAttributes) throws(SysError) {
        if let userns {
            try mount.mapIDs(by: userns.fd, adding: attributes)
        } else {
            try mount.setMountAttributes(attributes)
        }
    }

    private borrowing func makeSystemDirectories(_ root: SharedFD) throws(CtrError) {
        try describing("system directories of the VPS", code: .failed, step: "prepare root") { () throws(SysError) in
            for name in ["proc", "sys"] { _ = try RootPath.ensureFixed(name, in: root.fd, mode: 0o755) }
            for (name, mode) in [("run", "755"), ("tmp", "1777")] {
                let target = try RootPath.ensureFixed(name, in: root.fd, mode: name == "tmp" ? 0o1777 : 0o755)
                // It belongs to whom we act as.
                let context = try FileSystemContext("tmpfs")
                try context.set("mode", mode)
                try context.mount([.noSuid, .noDev]).attach(to: target)
            }
        }
    }

    /// Shows a host file or directory inside. Set-user-id programs and devices in it have no effect there.
    private borrowing func bind(_ mount: MountSpec, _ root: SharedFD) throws(CtrError) {
        let tree = try makeTree(mount)
        try describing(RootBuilder.what(mount), code: .failed, step: "mount") { () throws(SysError) in
            let directory = try tree.status().type == .directory
            let target = try RootPath.ensure(mount.destination, in: root.fd, directory: directory)
            try refuseCovered(target, mount)
            try tree.attach(to: target)
        }
    }

    private static func what(_ mount: MountSpec) -> String {
        "mount \(mount.source.escaped) at \(mount.destination.escaped)"
    }

    /// What is to be shown inside, attached nowhere.
    borrowing func makeTree(_ mount: MountSpec) throws(CtrError) -> FD {
        let attributes: MountAttributes = mount.readOnly ? [.noSuid, .noDev, .readOnly] : [.noSuid, .noDev]
        let what = RootBuilder.what(mount)
        let tree = try describing(what, code: .usage, step: "mount") { () throws(SysError) in
            try cloneMount(mount.source, recursive: true)
        }
        do throws(SysError) {
            if let userns {
                try tree.mapIDs(by: userns.fd, adding: attributes, recursive: true)
            } else {
                try tree.setMountAttributes(attributes, recursive: true)
            }
        } catch {
            throw CtrError(
                .unavailable,
                "\(what): its file system, or one mounted below it, can't map ids (bind a directory of ext4, xfs, btrfs or tmpfs, or use --userns host)",
                step: "mount", errno: error.errno)
        }
        return tree
    }
}

extension RootBuilder {
    /// A link of the template may lead below /proc or /sys, where the kernel's own file systems would hide the mount.
    fileprivate borrowing func refuseCovered(_ target: borrowing FD, _ mount: MountSpec) throws(SysError) {
        let path = try open("/", [.path, .directory]).readLink(target.procPath).description
        for name in ["proc", "sys"] where (path + "/").hasPrefix("\(spec.root.mountPoint)/\(name)/") {
            throw SysError("mount over /\(name)", Errno.invalid, mount.destination)
        }
    }
}

/// An overlay file system of layers given as detached mounts.
package struct OverlayMount {
    /// Highest first.
    let lowers: [SharedFD]
    /// Holds `upper` and `work`; nil: nothing can be written.
    let disk: SharedFD?
    let volatile: Bool
    /// What mountinfo shows as the source; nil: the kind of file system.
    var source: String?

    package init(lowers: [SharedFD], disk: SharedFD?, volatile: Bool) {
        self.lowers = lowers
        self.disk = disk
        self.volatile = volatile
    }

    func mount(attachingLayersTo point: borrowing FD) throws(SysError) -> FD {
        do throws(SysError) { return try mountByDescriptors() } catch
            where [Errno.invalid, Errno.notSupported, Errno.badFile].contains(error.errno) && error.call == "fsconfig"
        {}
        return try mountByPaths(attachingLayersTo: point)
    }

    /// EINVAL or EBADF (6.12) before Linux 6.13, EOPNOTSUPP before 6.5, where overlayfs takes no descriptors at all.
    package func mountByDescriptors() throws(SysError) -> FD {
        let context = try FileSystemContext("overlay")
        for lower in lowers { try context.set("lowerdir+", lower.fd) }
        if let disk {
            try context.set("upperdir", try directory("upper", of: disk))
            try context.set("workdir", try directory("work", of: disk))
        }
        return try finish(context)
    }

    /// Before Linux 6.13 layers are named by paths and must be attached; their descriptors' paths in /proc still name
    /// each one where they lie on top of each other.
    package func mountByPaths(attachingLayersTo point: borrowing FD) throws(SysError) -> FD {
        for layer in lowers { try layer.fd.attach(to: point) }
        let context = try FileSystemContext("overlay")
        try context.set("lowerdir", lowers.map { $0.fd.procPath }.joined(separator: ":"))
        guard let disk else { return try finish(context) }
        try disk.fd.attach(to: point)
        let upper = try directory("upper", of: disk)
        let work = try directory("work", of: disk)
        try context.set("upperdir", upper.procPath)
        try context.set("workdir", work.procPath)
        return try finish(context)
    }

    private func directory(_ name: String, of disk: SharedFD) throws(SysError) -> FD {
        try disk.fd.open(name, [.path, .directory, .noFollow])
    }

    private func finish(_ context: borrowing FileSystemContext) throws(SysError) -> FD {
        // Of a file of a layer on another file system fdinfo and stat(2) tell the same device and number with this alone, and
        // criu finds what is watched (inotify) by them.
        if disk != nil { try context.set("xino", "on") }
        if volatile { try context.set("volatile") }
        return try context.mount(from: source, disk == nil ? [.readOnly, .noSuid, .noDev, .noExec] : [.noDev])
    }
}
