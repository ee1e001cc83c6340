internal import CLinux
internal import Glibc

// Files that are read and replaced whole: configuration and state.
extension FD {
    /// The whole of a regular file below this directory; a symbolic link is ELOOP, more than `limit` bytes EFBIG,
    /// anything but a regular file EINVAL (a fifo must not make us wait).
    public borrowing func readFile(_ name: some PathConvertible, limit: Int = 1 << 20) throws(SysError) -> [UInt8] {
        let file = try open(name, [.readOnly, .noFollow, .nonBlocking, .noControllingTerminal])
        let status = try file.status()
        guard status.type == .regular else { throw SysError("read", EINVAL, name.description) }
        if status.size > limit { throw SysError("read", EFBIG, name.description) }
        // One more than its size, so that one call sees both the data and the end in the common case.
        var all = try file.read(upTo: Int(status.size) + 1)
        if all.count == Int(status.size) { return all }
        while true {
            let part = try file.read(upTo: 65536)
            if part.isEmpty { return all }
            all += part
            if all.count > limit { throw SysError("read", EFBIG, name.description) }
        }
    }

    /// Puts a file of this content in the place of `name` below this directory: readers see the old or the new one,
    /// whole. It writes `.NAME.new`, syncs it, renames it and syncs the directory. A crash leaves the old file and
    /// perhaps `.NAME.new`, which the next replacement overwrites: callers hold the lock of what they change.
    /// - Parameter durable: false skips the syncs, for state that need not survive a reboot.
    public borrowing func replaceFile(
        _ name: String, _ content: [UInt8], mode: UInt32 = 0o600, durable: Bool = true
    ) throws(SysError) {
        let temporary = ".\(name).new"
        let file = try createAnew(temporary, mode)
        do throws(SysError) {
            if mode & 0o077 != 0 { try file.changeMode(mode) }  // whatever the umask
            try file.writeAll(content)
            if durable { try file.sync() }
            try rename(temporary, to: name)
        } catch {
            try? unlink(temporary)
            throw error
        }
        if durable { try sync() }
    }

    private borrowing func createAnew(_ name: String, _ mode: UInt32) throws(SysError) -> FD {
        let flags: OpenFlags = [.writeOnly, .create, .exclusive, .noFollow]
        do throws(SysError) { return try open(name, flags, mode: mode) } catch  where error.errno == EEXIST {
            try unlink(name)
            return try open(name, flags, mode: mode)
        }
    }
}
