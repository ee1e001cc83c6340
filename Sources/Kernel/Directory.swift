internal import CLinux
internal import Glibc

/// How to open a file: see `open(2)`.
public struct OpenFlags: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    init(_ value: Int64) { rawValue = UInt64(value) }
    public static let readOnly = OpenFlags([])
    public static let writeOnly = OpenFlags(Int64(O_WRONLY))
    public static let readWrite = OpenFlags(Int64(O_RDWR))
    public static let create = OpenFlags(Int64(O_CREAT))
    public static let exclusive = OpenFlags(Int64(O_EXCL))
    public static let truncate = OpenFlags(Int64(O_TRUNC))
    public static let append = OpenFlags(Int64(O_APPEND))
    public static let nonBlocking = OpenFlags(Int64(O_NONBLOCK))
    public static let noControllingTerminal = OpenFlags(Int64(O_NOCTTY))
    public static let path = OpenFlags(CTR_O_PATH)
    public static let noFollow = OpenFlags(CTR_O_NOFOLLOW)
    public static let directory = OpenFlags(CTR_O_DIRECTORY)
    public static let temporary = OpenFlags(CTR_O_TMPFILE)
    public static let direct = OpenFlags(CTR_O_DIRECT)
    public static let noAccessTime = OpenFlags(CTR_O_NOATIME)
}

/// How `openat2(2)` walks a path.
public struct Resolve: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// The directory is the root: `..` and absolute links stay below it, as after chroot(2).
    public static let inRoot = Resolve(rawValue: UInt64(CTR_RESOLVE_IN_ROOT))
    /// Leaving the directory is an error (EXDEV).
    public static let beneath = Resolve(rawValue: UInt64(CTR_RESOLVE_BENEATH))
    public static let noSymlinks = Resolve(rawValue: UInt64(CTR_RESOLVE_NO_SYMLINKS))
    public static let noMagicLinks = Resolve(rawValue: UInt64(CTR_RESOLVE_NO_MAGICLINKS))
    public static let noCrossDevice = Resolve(rawValue: UInt64(CTR_RESOLVE_NO_XDEV))
    /// Only what the kernel has in memory: EAGAIN where a file system would have to be asked.
    public static let cached = Resolve(rawValue: UInt64(CTR_RESOLVE_CACHED))
}

/// Opens a path of the process's own view. For host paths that ctr itself chose, never for paths inside a root.
/// The corresponding call is `openat(2)`.
public func open(
    _ path: some PathConvertible, _ flags: OpenFlags, mode: UInt32 = 0o600
) throws(SysError) -> FD {
    try openAt(AT_FDCWD, path, flags, mode)
}

private func openAt(
    _ dir: Int32, _ path: some PathConvertible, _ flags: OpenFlags, _ mode: UInt32
) throws(SysError) -> FD {
    let number = try path.withCPath { (p) throws(SysError) in
        try checkRetrying("open", path.description) {
            ctr_openat(dir, p, Int32(truncatingIfNeeded: flags.rawValue) | O_CLOEXEC, mode)
        }
    }
    return FD(owning: Int32(number))
}

extension FD {
    /// Opens a name below this directory. The corresponding call is `openat(2)`.
    public borrowing func open(
        _ path: some PathConvertible, _ flags: OpenFlags, mode: UInt32 = 0o600
    ) throws(SysError) -> FD {
        try openAt(rawValue, path, flags, mode)
    }

    /// Opens a path with this directory as its root or bound. The corresponding call is `openat2(2)`; EAGAIN, which
    /// the kernel returns when a rename raced with the walk, is tried again.
    public borrowing func open(
        _ path: some PathConvertible, _ flags: OpenFlags, resolve: Resolve, mode: UInt32 = 0
    ) throws(SysError) -> FD {
        let dir = rawValue
        let creates = flags.contains(.create) || flags.contains(.temporary)
        let number = try path.withCPath { (p) throws(SysError) in
            for _ in 0..<128 {
                let r = ctr_openat2(
                    dir, p, flags.rawValue | UInt64(O_CLOEXEC), creates ? UInt64(mode) : 0, resolve.rawValue)
                if r == -Int(EAGAIN) && !resolve.contains(.cached) || r == -Int(EINTR) { continue }
                return try check(r, "openat2", path.description)
            }
            throw SysError("openat2", EAGAIN, path.description)
        }
        return FD(owning: Int32(number))
    }

    /// The corresponding call is `mkdirat(2)`.
    public borrowing func makeDirectory(_ path: some PathConvertible, mode: UInt32) throws(SysError) {
        let dir = rawValue
        try path.withCPath { (p) throws(SysError) in
            _ = try check(ctr_ret(Int(mkdirat(dir, p, mode))), "mkdir", path.description)
        }
    }

    /// Makes a directory unless it is there, and opens it; a symbolic link in its place is an error (ENOTDIR).
    public borrowing func ensureDirectory(_ name: some PathConvertible, mode: UInt32) throws(SysError) -> FD {
        do throws(SysError) { try makeDirectory(name, mode: mode) } catch  where error.errno == EEXIST {}
        return try open(name, [.directory, .noFollow])
    }

    /// Removes a name; with `directory` an empty directory. The corresponding call is `unlinkat(2)`.
    public borrowing func unlink(_ path: some PathConvertible, directory: Bool = false) throws(SysError) {
        let dir = rawValue
        try path.withCPath { (p) throws(SysError) in
            let r = ctr_ret(Int(unlinkat(dir, p, directory ? AT_REMOVEDIR : 0)))
            _ = try check(r, directory ? "rmdir" : "unlink", path.description)
        }
    }

    /// The corresponding call is `symlinkat(2)`.
    public borrowing func symlink(_ path: some PathConvertible, to target: some PathConvertible) throws(SysError) {
        let dir = rawValue
        try path.withCPath { (p) throws(SysError) in
            try target.withCPath { (t) throws(SysError) in
                _ = try check(ctr_ret(Int(symlinkat(t, dir, p))), "symlink", path.description)
            }
        }
    }

    /// What a symbolic link says. The corresponding call is `readlinkat(2)`.
    public borrowing func readLink(_ path: some PathConvertible) throws(SysError) -> Path {
        let dir = rawValue
        return try path.withCPath { (p) throws(SysError) in
            var buffer = [CChar](repeating: 0, count: 4096)
            let n = try check(ctr_ret(readlinkat(dir, p, &buffer, buffer.count)), "readlink", path.description)
            return Path(bytes: buffer[..<n].map { UInt8(bitPattern: $0) })
        }
    }

    /// Renames within or between directories. With `replace` false an existing target is EEXIST.
    /// The corresponding call is `renameat2(2)`.
    public borrowing func rename(
        _ from: some PathConvertible, to target: borrowing FD, _ name: some PathConvertible, replace: Bool = true,
        exchange: Bool = false
    ) throws(SysError) {
        let dir = rawValue
        let other = target.rawValue
        let flags = exchange ? CTR_RENAME_EXCHANGE : replace ? 0 : CTR_RENAME_NOREPLACE
        try from.withCPath { (a) throws(SysError) in
            try name.withCPath { (b) throws(SysError) in
                _ = try check(ctr_renameat2(dir, a, other, b, UInt32(flags)), "rename", from.description)
            }
        }
    }

    /// Renames within this directory. The corresponding call is `renameat2(2)`.
    public borrowing func rename(_ from: some PathConvertible, to name: some PathConvertible) throws(SysError) {
        let dir = rawValue
        try from.withCPath { (a) throws(SysError) in
            try name.withCPath { (b) throws(SysError) in
                _ = try check(ctr_renameat2(dir, a, dir, b, 0), "rename", from.description)
            }
        }
    }

    /// The names in this directory, without `.` and `..`, in the file system's order.
    /// The corresponding call is `getdents64(2)`.
    public borrowing func entries() throws(SysError) -> [DirectoryEntry] {
        _ = try check(ctr_ret(lseek(rawValue, 0, SEEK_SET)), "lseek")
        var all: [DirectoryEntry] = []
        let size = 32768
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 8)
        defer { buffer.deallocate() }
        while true {
            let n = try check(ctr_getdents64(rawValue, buffer, size), "getdents64")
            if n == 0 { return all }
            var offset = 0
            while offset < n {
                let record = buffer + offset
                let length = Int(record.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
                let type = record.load(fromByteOffset: 18, as: UInt8.self)
                let name = UnsafeRawBufferPointer(start: record + 19, count: length - 19).prefix { $0 != 0 }
                offset += length
                if name.elementsEqual([46]) || name.elementsEqual([46, 46]) { continue }
                all.append(DirectoryEntry(name: Path(bytes: name), type: FileType(directoryEntry: type)))
            }
        }
    }

    /// Removes everything below this directory, without following links or crossing into other mounts. Whoever made the
    /// tree may have made it deeper than a process can have files open, or a stack.
    public borrowing func removeContents() throws(SysError) {
        var lifted = 0
        while true {
            let before = lifted
            try removeContents(top: self, depth: 0, &lifted)
            if lifted == before { return }
        }
    }

    /// Directories far below `top` are moved up to it for the next round, which ends for want of any.
    private borrowing func removeContents(
        top: borrowing FD, depth: Int, _ lifted: inout Int
    ) throws(SysError) {
        for entry in try entries() {
            if entry.type == .directory || entry.type == .unknown {
                do throws(SysError) {
                    if depth == 32 {
                        lifted = try lift(entry.name, to: top, after: lifted)
                        continue
                    }
                    let child = try open(
                        entry.name, [.directory, .noFollow], resolve: [.beneath, .noSymlinks, .noCrossDevice])
                    try child.removeContents(top: top, depth: depth + 1, &lifted)
                    try unlink(entry.name, directory: true)
                    continue
                } catch  where entry.type == .unknown && (error.errno == ENOTDIR || error.errno == ELOOP) {}
            }
            try unlink(entry.name)
        }
    }

    private borrowing func lift(_ name: Path, to top: borrowing FD, after: Int) throws(SysError) -> Int {
        var number = after
        while true {
            number += 1
            do throws(SysError) {
                try rename(name, to: top, ".lifted-\(number)", replace: false)
                return number
            } catch  where error.errno == EEXIST {}
        }
    }

    /// Removes a directory and everything below it; nothing there is no error.
    public borrowing func removeTree(_ name: some PathConvertible) throws(SysError) {
        do throws(SysError) {
            let child = try open(name, [.directory, .noFollow], resolve: [.beneath, .noSymlinks, .noCrossDevice])
            try child.removeContents()
        } catch  where error.errno == ENOENT {
            return
        } catch  where error.errno == ENOTDIR || error.errno == ELOOP {
            return try unlink(name)
        }
        try unlink(name, directory: true)
    }
}

/// One name in a directory.
public struct DirectoryEntry: Sendable, Hashable {
    public let name: Path
    /// The type if the file system tells it here, else `unknown`.
    public let type: FileType
}

/// The kind of a file.
public enum FileType: Sendable, Hashable {
    case regular, directory, symlink, character, block, fifo, socket, unknown

    init(directoryEntry type: UInt8) {
        self.init(mode: UInt32(type) << 12)
    }

    /// From the type bits of st_mode, see inode(7).
    public init(mode: UInt32) {
        switch Int64(mode) & CTR_S_IFMT {
        case CTR_S_IFREG: self = .regular
        case CTR_S_IFDIR: self = .directory
        case CTR_S_IFLNK: self = .symlink
        case CTR_S_IFCHR: self = .character
        case CTR_S_IFBLK: self = .block
        case CTR_S_IFIFO: self = .fifo
        case CTR_S_IFSOCK: self = .socket
        default: self = .unknown
        }
    }
}
