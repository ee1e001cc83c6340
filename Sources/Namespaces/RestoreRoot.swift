public import Kernel
public import Model

/// Where the root of a VPS lies while its processes are made anew from a checkpoint: in a private mount namespace that
/// goes with the last process in it.
///
/// Every file system is attached at a place of its own and has none below it: what restores the processes puts them
/// together as they were. In the copy of this namespace that a new user namespace gets, they are locked
/// (mount_namespaces(7)), and a part of a locked tree can't be taken.
public struct RestoreYard {
    /// The overlay, or whatever the root is.
    public let root: String
    /// An empty file system for /dev.
    public let dev: String
    /// Another /dev/pts, in which nothing is open but ``terminal``.
    public let pts: String
    /// /dev/console; nil for a VPS without a terminal.
    public let console: String?
    /// Those of ``Spec/mounts``, in their order.
    public let mounts: [String]
    /// A directory with those of ``RestoreRoot/hierarchies``, if any.
    public let cgroups: String?
    /// The console's master and the terminal itself.
    public let terminal: (master: SharedFD, peer: SharedFD)?
}

/// Prepares a ``RestoreYard``.
///
/// It is at a directory of the host's that everybody may pass, since the guest's root finds its file systems there by path,
/// and is covered in this namespace alone.
public struct RestoreRoot {
    public var spec: Spec
    /// See ``Launch/disk``.
    public var disk: SharedFD?
    /// Paths of the host that are needed meanwhile, which the yard must not cover.
    public var needed: [String]
    /// cgroup hierarchies by the names that they are to have, and where they are mounted.
    public var hierarchies: [String: String] = [:]

    /// - Parameter spec: its mount point counts for nothing.
    public init(spec: Spec, disk: SharedFD?, needed: [String]) {
        self.spec = spec
        self.disk = disk
        self.needed = needed + spec.root.layers + spec.mounts.map(\.source) + [spec.root.disk].compactMap { $0 }
    }

    /// Nothing that a restore needs is in the first of them, and hardly anything in the others (hier(7)).
    private static let places = ["/media", "/mnt", "/srv", "/boot", "/opt", "/home"]

    /// - Throws: `unavailable` where a needed path lies in each.
    private func place() throws(CtrError) -> String {
        let found = RestoreRoot.places.first { place in
            !needed.contains { ($0 + "/").hasPrefix(place + "/") }
                && (try? open(place, [.path, .directory, .noFollow])) != nil
        }
        if let found { return found }
        throw CtrError(
            .unavailable, "resume: none of \(RestoreRoot.places.joined(separator: ", ")) is free to be mounted on")
    }

    /// Calls `body` in that namespace; programs that it starts are in it too. The caller must be root and have one thread;
    /// its mount namespace, working directory and ids are the same afterwards.
    public func with<R>(_ body: (RestoreYard) throws(CtrError) -> R) throws(CtrError) -> R {
        try requireOneThread()
        let userns = try spec.makeMappingNamespace()
        let top = try self.place()
        let place = try HostPlace.leave()
        let result: R
        do throws(CtrError) { result = try body(build(userns, top)) } catch {
            place.comeBackAfterFailure()
            throw error
        }
        try place.comeBack()
        return result
    }

    private func build(_ userns: SharedFD?, _ top: String) throws(CtrError) -> RestoreYard {
        let mask = CurrentProcess.setFileModeMask(0)
        defer { CurrentProcess.setFileModeMask(mask) }
        let yard = try describing("root of the VPS", step: "mount root") { () throws(SysError) in
            let context = try FileSystemContext("tmpfs")
            try context.set("mode", "755")
            try context.mount([.noSuid, .noDev]).attach(to: try open(top, [.path, .directory]))
            return SharedFD(try open(top, [.directory]))
        }
        let builder = RootBuilder(spec: spec, userns: userns, layersByPath: false, disk: disk)
        let owner = builder.owner
        let identity = try describing("ids of the VPS", code: .failed, step: "map ids") { () throws(SysError) in
            try BorrowedIdentity.borrow(user: owner, group: owner)
        }
        try makePlaces(yard)
        try attachHierarchies(yard)
        let root = try builder.makeRoot(
            attachingLayersTo: try describing("root of the VPS") { () throws(SysError) in
                try yard.fd.open("root", [.path, .directory])
            })
        let terminal = try describing("root of the VPS", step: "mount root") { () throws(SysError) in
            // Opened anew: layers may have been attached there.
            try root.attach(to: try yard.fd.open("root", [.path, .directory]))
            try DeviceTree.makeFileSystem().attach(to: try yard.fd.open("dev", [.path, .directory]))
            try DeviceTree.makeTerminals(owner: owner).attach(to: try yard.fd.open("pts", [.path, .directory]))
            return spec.process.terminal ? try openTerminal(yard) : nil
        }
        var mounts: [String] = []
        for (index, mount) in spec.mounts.enumerated() {
            try attach(builder.makeTree(mount), "mount\(index)", yard)
            mounts.append("\(top)/mount\(index)")
        }
        _ = consume identity
        return RestoreYard(
            root: "\(top)/root", dev: "\(top)/dev", pts: "\(top)/pts",
            console: terminal == nil ? nil : "\(top)/console", mounts: mounts,
            cgroups: hierarchies.isEmpty ? nil : "\(top)/cgroups", terminal: terminal)
    }

    /// The yard is made by the host's root, whose capabilities stay while it acts as the guest's.
    private func makePlaces(_ yard: SharedFD) throws(CtrError) {
        try describing("root of the VPS", step: "mount root") { () throws(SysError) in
            for name in ["root", "dev", "pts"] { try yard.fd.makeDirectory(name, mode: 0o755) }
        }
    }

    private func attachHierarchies(_ yard: SharedFD) throws(CtrError) {
        if hierarchies.isEmpty { return }
        try describing("cgroups for the restore") { () throws(SysError) in
            try yard.fd.makeDirectory("cgroups", mode: 0o700)
            let cgroups = try yard.fd.open("cgroups", [.path, .directory])
            for (name, place) in hierarchies {
                try cgroups.makeDirectory(name, mode: 0o700)
                try cloneMount(place).attach(to: try cgroups.open(name, [.path, .directory]))
            }
        }
    }

    private func openTerminal(_ yard: SharedFD) throws(SysError) -> (SharedFD, SharedFD) {
        let master = try yard.fd.open("pts/ptmx", [.readWrite, .noControllingTerminal])
        let peer = try master.openTerminalPeer()
        _ = try yard.fd.open("console", [.create, .exclusive, .writeOnly], mode: 0o600)
        try peer.cloneMount().attach(to: try yard.fd.open("console", [.path, .noFollow]))
        return (SharedFD(master), SharedFD(peer))
    }

    private func attach(_ tree: consuming FD, _ name: String, _ yard: SharedFD) throws(CtrError) {
        let tree = SharedFD(tree)
        try describing("mounts of the VPS", code: .failed, step: "mount") { () throws(SysError) in
            if try tree.fd.status().type == .directory {
                try yard.fd.makeDirectory(name, mode: 0o755)
            } else {
                _ = try yard.fd.open(name, [.create, .exclusive, .writeOnly], mode: 0o600)
            }
            try tree.fd.attach(to: try yard.fd.open(name, [.path, .noFollow]))
        }
    }
}
