internal import CLinux
internal import Glibc

/// What `statx(2)` says of a file.
public struct FileStatus: Sendable, Equatable {
    public let type: FileType
    /// The permission bits of st_mode, setuid, setgid and sticky included: 0 to 0o7777.
    public let permissions: UInt32
    public let uid: UInt32
    public let gid: UInt32
    /// Bytes.
    public let size: Int64
    /// Bytes that the file takes on the disk.
    public let allocated: Int64
    public let links: UInt32
    public let inode: UInt64
    /// The file system that holds the file.
    public let device: DeviceNumber
    /// Which device a device node stands for.
    public let node: DeviceNumber
    public let accessed: FileTime
    public let modified: FileTime
    public let changed: FileTime
}

/// The number of a device.
public struct DeviceNumber: Sendable, Hashable {
    public let major: UInt32
    public let minor: UInt32
    public init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }
}

/// A file's time: seconds since 1970 (negative before) and nanoseconds 0 to 999,999,999.
public struct FileTime: Sendable, Hashable {
    public let seconds: Int64
    public let nanoseconds: UInt32
    public init(seconds: Int64, nanoseconds: UInt32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
    /// The present time of the real-time clock. The corresponding call is `clock_gettime(2)`.
    public static var now: FileTime {
        var t = timespec()
        clock_gettime(CLOCK_REALTIME, &t)
        return FileTime(seconds: Int64(t.tv_sec), nanoseconds: UInt32(t.tv_nsec))
    }
}

/// Space of a file system, in bytes and inodes, from `fstatfs(2)`.
public struct FileSystemStatus: Sendable, Equatable {
    /// The magic number that names the file system's kind, see statfs(2).
    public let magic: UInt64
    public let size: Int64
    /// Free, what is reserved for root included.
    public let free: Int64
    /// Free for ordinary users.
    public let available: Int64
    public let inodes: Int64
    public let freeInodes: Int64
}

extension FD {
    /// The status of the open file itself. The corresponding call is `statx(2)`.
    public borrowing func status() throws(SysError) -> FileStatus {
        try readStatus("", CTR_AT_EMPTY_PATH)
    }

    /// The status of a name below this directory; a final symbolic link is not followed.
    /// The corresponding call is `statx(2)`.
    public borrowing func status(of path: some PathConvertible) throws(SysError) -> FileStatus {
        try readStatus(path, CTR_AT_SYMLINK_NOFOLLOW | CTR_AT_NO_AUTOMOUNT)
    }

    private borrowing func readStatus(_ path: some PathConvertible, _ flags: Int64) throws(SysError) -> FileStatus {
        let dir = rawValue
        var s = statx()
        try path.withCPath { (p) throws(SysError) in
            _ = try check(
                ctr_statx(dir, p, Int32(flags), UInt32(CTR_STATX_BASIC_STATS), &s), "statx", path.description)
        }
        return FileStatus(
            type: FileType(mode: UInt32(s.stx_mode)), permissions: UInt32(s.stx_mode) & 0o7777, uid: s.stx_uid,
            gid: s.stx_gid, size: Int64(s.stx_size), allocated: Int64(s.stx_blocks) * 512, links: s.stx_nlink,
            inode: s.stx_ino, device: DeviceNumber(major: s.stx_dev_major, minor: s.stx_dev_minor),
            node: DeviceNumber(major: s.stx_rdev_major, minor: s.stx_rdev_minor), accessed: FileTime(s.stx_atime),
            modified: FileTime(s.stx_mtime), changed: FileTime(s.stx_ctime))
    }

    /// The space of the file system that holds this file. The corresponding call is `fstatfs(2)`.
    public borrowing func fileSystemStatus() throws(SysError) -> FileSystemStatus {
        var s = statfs()
        try check(ctr_fstatfs(rawValue, &s), "fstatfs")
        let block = Int64(s.f_bsize)
        func bytes(_ count: some BinaryInteger) -> Int64 {
            Int64(clamping: count).multipliedReportingOverflow(by: block).partialValue
        }
        return FileSystemStatus(
            magic: UInt64(truncatingIfNeeded: s.f_type), size: bytes(s.f_blocks), free: bytes(s.f_bfree),
            available: bytes(s.f_bavail), inodes: Int64(clamping: s.f_files), freeInodes: Int64(clamping: s.f_ffree))
    }

    /// The corresponding call is `fchown(2)`.
    public borrowing func changeOwner(uid: UInt32, gid: UInt32) throws(SysError) {
        try check(ctr_ret(Int(fchown(rawValue, uid, gid))), "fchown")
    }

    /// Of a name in this directory, the link itself where it is one. The corresponding call is `fchownat(2)`.
    public borrowing func changeOwner(of path: some PathConvertible, uid: UInt32, gid: UInt32) throws(SysError) {
        let dir = rawValue
        try path.withCPath { (p) throws(SysError) in
            let r = ctr_ret(Int(fchownat(dir, p, uid, gid, AT_SYMLINK_NOFOLLOW)))
            _ = try check(r, "fchownat", path.description)
        }
    }

    /// The corresponding call is `fchmod(2)`.
    public borrowing func changeMode(_ permissions: UInt32) throws(SysError) {
        try check(ctr_ret(Int(fchmod(rawValue, permissions))), "fchmod")
    }

    /// Of a name in this directory that the caller knows is no symbolic link (it would be followed).
    /// The corresponding call is `fchmodat(2)`.
    public borrowing func changeMode(of path: some PathConvertible, _ permissions: UInt32) throws(SysError) {
        let dir = rawValue
        try path.withCPath { (p) throws(SysError) in
            _ = try check(ctr_ret(Int(fchmodat(dir, p, permissions, 0))), "fchmodat", path.description)
        }
    }

    /// Sets both times of the open file. The corresponding call is `futimens(2)`.
    public borrowing func setTimes(accessed: FileTime, modified: FileTime) throws(SysError) {
        let times = [timespec(accessed), timespec(modified)]
        try check(ctr_ret(Int(futimens(rawValue, times))), "futimens")
    }

    /// Sets both times of a name in this directory, of the link itself where it is one.
    /// The corresponding call is `utimensat(2)`.
    public borrowing func setTimes(
        of path: some PathConvertible, accessed: FileTime, modified: FileTime
    ) throws(SysError) {
        let dir = rawValue
        let times = [timespec(accessed), timespec(modified)]
        try path.withCPath { (p) throws(SysError) in
            _ = try check(ctr_ret(Int(utimensat(dir, p, times, AT_SYMLINK_NOFOLLOW))), "utimensat", path.description)
        }
    }

    /// Makes a device node, fifo, socket or empty regular file. The corresponding call is `mknodat(2)`.
    public borrowing func makeNode(
        _ path: some PathConvertible, _ type: FileType, permissions: UInt32,
        device: DeviceNumber = DeviceNumber(major: 0, minor: 0)
    ) throws(SysError) {
        let dir = rawValue
        let mode = UInt32(type.modeBits) | permissions
        try path.withCPath { (p) throws(SysError) in
            let r = ctr_ret(Int(mknodat(dir, p, mode, UInt(ctr_makedev(device.major, device.minor)))))
            _ = try check(r, "mknodat", path.description)
        }
    }

    /// Gives `existing` (a name in this directory, not followed) a second name. The corresponding call is `linkat(2)`.
    public borrowing func link(
        _ existing: some PathConvertible, to target: borrowing FD, _ name: some PathConvertible
    ) throws(SysError) {
        let dir = rawValue
        let other = target.rawValue
        try existing.withCPath { (a) throws(SysError) in
            try name.withCPath { (b) throws(SysError) in
                _ = try check(ctr_ret(Int(linkat(dir, a, other, b, 0))), "linkat", name.description)
            }
        }
    }

    /// Gives a file that was opened with `temporary` a name. EEXIST where it is taken. The corresponding call is
    /// `linkat(2)` on /proc/self/fd.
    public borrowing func nameTemporary(in target: borrowing FD, _ name: some PathConvertible) throws(SysError) {
        let other = target.rawValue
        let source = procPath
        try name.withCPath { (b) throws(SysError) in
            let r = ctr_ret(Int(linkat(AT_FDCWD, source, other, b, AT_SYMLINK_FOLLOW)))
            _ = try check(r, "linkat", name.description)
        }
    }
}

extension FileType {
    /// The type bits of st_mode.
    var modeBits: Int64 {
        switch self {
        case .regular, .unknown: CTR_S_IFREG
        case .directory: CTR_S_IFDIR
        case .symlink: CTR_S_IFLNK
        case .character: CTR_S_IFCHR
        case .block: CTR_S_IFBLK
        case .fifo: CTR_S_IFIFO
        case .socket: CTR_S_IFSOCK
        }
    }
}

extension FileTime {
    init(_ t: statx_timestamp) { self.init(seconds: t.tv_sec, nanoseconds: t.tv_nsec) }
}

extension timespec {
    fileprivate init(_ t: FileTime) { self.init(tv_sec: Int(t.seconds), tv_nsec: Int(t.nanoseconds)) }
}
