internal import CLinux

/// Attributes of one mount: see `mount_setattr(2)`.
public struct MountAttributes: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static let readOnly = MountAttributes(rawValue: UInt64(CTR_MOUNT_ATTR_RDONLY))
    public static let noSuid = MountAttributes(rawValue: UInt64(CTR_MOUNT_ATTR_NOSUID))
    public static let noDev = MountAttributes(rawValue: UInt64(CTR_MOUNT_ATTR_NODEV))
    public static let noExec = MountAttributes(rawValue: UInt64(CTR_MOUNT_ATTR_NOEXEC))
}

/// The whole mount tree below `/` stops sending and receiving mount events, in this process's mount namespace.
/// The corresponding call is `mount_setattr(2)` with MS_PRIVATE and AT_RECURSIVE.
public func makeMountsPrivate() throws(SysError) {
    try check(
        ctr_mount_setattr(Int32(CTR_AT_FDCWD), "/", UInt32(CTR_AT_RECURSIVE), 0, 0, UInt64(MS_PRIVATE), 0),
        "mount_setattr", "/")
}

/// The working directory's mount becomes the root, the old root lies on top of it; then the old root goes.
/// The corresponding calls are `pivot_root(2)` with both paths `.` and `umount2(2)` with MNT_DETACH.
public func pivotRootHere() throws(SysError) {
    try check(ctr_pivot_root(".", "."), "pivot_root", ".")
}

/// Detaches the mount on top of the working directory: the old root after ``pivotRootHere()``.
public func detachHere() throws(SysError) {
    try check(ctr_umount2(".", Int32(CTR_MNT_DETACH)), "umount2", ".")
}

/// Takes away the mount at a path, where nothing uses it (EBUSY); a final link is not followed.
/// The corresponding call is `umount2(2)` with UMOUNT_NOFOLLOW.
/// - Parameter detach: also where something uses it, which keeps it until it is done.
public func unmount(_ path: some PathConvertible, detach: Bool = false) throws(SysError) {
    let flags = Int32(CTR_UMOUNT_NOFOLLOW) | (detach ? Int32(CTR_MNT_DETACH) : 0)
    try path.withCPath { (p) throws(SysError) in
        _ = try check(ctr_umount2(p, flags), "umount2", path.description)
    }
}

/// A detached copy of the mount at a host path. The corresponding call is `open_tree(2)` with OPEN_TREE_CLONE.
/// - Parameter recursive: with all mounts below it.
public func cloneMount(_ path: some PathConvertible, recursive: Bool = false) throws(SysError) -> FD {
    let number = try path.withCPath { (p) throws(SysError) in
        try check(
            ctr_open_tree(Int32(CTR_AT_FDCWD), p, cloneFlags(recursive)), "open_tree", path.description)
    }
    return FD(owning: Int32(number))
}

private func cloneFlags(_ recursive: Bool) -> UInt32 {
    UInt32(CTR_OPEN_TREE_CLONE) | UInt32(CTR_OPEN_TREE_CLOEXEC) | (recursive ? UInt32(CTR_AT_RECURSIVE) : 0)
}

extension FD {
    /// A detached copy of the mount that this descriptor names, with this file as its root.
    public borrowing func cloneMount(recursive: Bool = false) throws(SysError) -> FD {
        let flags = cloneFlags(recursive) | UInt32(CTR_AT_EMPTY_PATH)
        return FD(owning: Int32(try check(ctr_open_tree(rawValue, "", flags), "open_tree")))
    }

    /// Changes attributes of this mount, optionally of all below it, optionally mapping its ids by a user namespace.
    /// EINVAL: the file system can't map ids. The corresponding call is `mount_setattr(2)`.
    public borrowing func setMountAttributes(
        _ set: MountAttributes, clear: MountAttributes = [], recursive: Bool = false
    ) throws(SysError) {
        let flags = UInt32(CTR_AT_EMPTY_PATH) | (recursive ? UInt32(CTR_AT_RECURSIVE) : 0)
        try check(
            ctr_mount_setattr(rawValue, "", flags, set.rawValue, clear.rawValue, 0, 0), "mount_setattr")
    }

    /// Maps the ids of this detached mount by a user namespace: what the disk has as 0 shows as the namespace's root.
    public borrowing func mapIDs(
        by userns: borrowing FD, adding set: MountAttributes = [], recursive: Bool = false
    ) throws(SysError) {
        let flags = UInt32(CTR_AT_EMPTY_PATH) | (recursive ? UInt32(CTR_AT_RECURSIVE) : 0)
        try check(
            ctr_mount_setattr(
                rawValue, "", flags, set.rawValue | UInt64(CTR_MOUNT_ATTR_IDMAP), 0, 0, UInt64(userns.rawValue)),
            "mount_setattr")
    }

    /// Attaches this detached mount on top of the file or directory `target`. The corresponding call is
    /// `move_mount(2)`.
    public borrowing func attach(to target: borrowing FD) throws(SysError) {
        let flags = UInt32(CTR_MOVE_MOUNT_F_EMPTY_PATH) | UInt32(CTR_MOVE_MOUNT_T_EMPTY_PATH)
        try check(ctr_move_mount(rawValue, "", target.rawValue, "", flags), "move_mount")
    }
}

/// A file system about to be mounted. The corresponding calls are `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`.
public struct FileSystemContext: ~Copyable {
    private let fd: FD
    private let type: String

    public init(_ type: String) throws(SysError) {
        self.type = type
        let number = try type.withCPath { (t) throws(SysError) in
            try check(ctr_fsopen(t, UInt32(CTR_FSOPEN_CLOEXEC)), "fsopen", type)
        }
        fd = FD(owning: Int32(number))
    }

    /// Sets `key=value`.
    public borrowing func set(_ key: String, _ value: some PathConvertible) throws(SysError) {
        let fd = fd.rawValue
        let type = type
        try value.withCPath { (v) throws(SysError) in
            try key.withCPath { (k) throws(SysError) in
                _ = try check(
                    ctr_fsconfig(fd, UInt32(CTR_FSCONFIG_SET_STRING), k, v, 0), "fsconfig",
                    "\(type) \(key)=\(value.description)")
            }
        }
    }

    /// Sets the option `key` that has no value.
    public borrowing func set(_ key: String) throws(SysError) {
        let fd = fd.rawValue
        let type = type
        try key.withCPath { (k) throws(SysError) in
            _ = try check(
                ctr_fsconfig(fd, UInt32(CTR_FSCONFIG_SET_FLAG), k, nil, 0), "fsconfig", "\(type) \(key)")
        }
    }

    /// Sets `key` to a descriptor. EINVAL where the kernel's file system takes a path only.
    public borrowing func set(_ key: String, _ value: borrowing FD) throws(SysError) {
        let fd = fd.rawValue
        let number = value.rawValue
        let type = type
        try key.withCPath { (k) throws(SysError) in
            _ = try check(
                ctr_fsconfig(fd, UInt32(CTR_FSCONFIG_SET_FD), k, nil, number), "fsconfig", "\(type) \(key)=fd")
        }
    }

    /// Makes the file system; returns it mounted nowhere yet.
    /// - Parameter source: a block device; nil for a file system without one.
    public borrowing func mount(
        from source: String? = nil, _ attributes: MountAttributes = []
    ) throws(SysError) -> FD {
        // What mountinfo shows as the source; without one it says "none".
        try set("source", source ?? type)
        let created = ctr_fsconfig(fd.rawValue, UInt32(CTR_FSCONFIG_CMD_CREATE), nil, nil, 0)
        if created < 0 { throw SysError("fsconfig", Int32(-created), "\(type)\(complaint())") }
        return FD(
            owning: Int32(
                try check(
                    ctr_fsmount(fd.rawValue, UInt32(CTR_FSMOUNT_CLOEXEC), UInt32(attributes.rawValue)),
                    "fsmount", type)))
    }

    /// The kernel's own words on what it did not like, read from the context: see fsopen(2).
    private borrowing func complaint() -> String {
        guard let bytes = try? fd.read(upTo: 1024), !bytes.isEmpty else { return "" }
        let text = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first ?? ""
        return " (\(text))"
    }
}
