public import Kernel
public import Model

extension DiskImage {
    /// Bytes of the file, and what it takes on the host's disk.
    public func sizes() throws(CtrError) -> (size: Int64, allocated: Int64) {
        let (directory, file, unfinished) = (directory, file, unfinished)
        return try describing(what) { () throws(SysError) in
            let status: FileStatus
            // Whoever only looks holds no lock: an image that is being made keeps its name.
            do throws(SysError) { status = try directory.fd.status(of: file) } catch
                where error.errno == Errno.noEntry
            { status = try directory.fd.status(of: unfinished) }
            return (status.size, status.allocated)
        }
    }

    /// Gives the file another size; the file system in it has shrunk before, or grows afterwards.
    /// - Parameter allocate: what is added is taken from the host's disk at once. ENOSPC leaves the old size.
    public func setSize(_ size: Int64, from old: Int64, allocate: Bool) throws(CtrError) {
        let file = try openFile()
        try describing(what, code: .cannotCreate) { () throws(SysError) in
            if allocate, size > old {
                do throws(SysError) { try file.fd.allocate(old, size - old) } catch {
                    try file.fd.truncate(old)
                    throw error
                }
            } else {
                try file.fd.truncate(size)
            }
            try file.fd.sync()
        }
    }
}

extension AttachedDisk {
    /// The device takes the size that the file has by now.
    public func updateSize() throws(CtrError) {
        let loop = loop
        try describing(what) { () throws(SysError) in try loop.updateSize() }
    }
}

extension SnapshotData {
    /// The file system in an image takes all of its device, which has `size` bytes.
    public func fillDevice(_ size: Int64) throws(CtrError) {
        try describing(what) { () throws(SysError) in
            // Below 256 MiB the kernel refuses even what it has.
            if try top.fd.btrfsDevice().total != size { try top.fd.resizeBtrfs(nil) }
        }
    }

    /// The least size in bytes that the file system in an image can have now. Its chunks must fit, with room to move
    /// them: btrfs that runs out of room while it moves them stops all writes, which a VPS that runs does not survive.
    public func leastSize() throws(CtrError) -> Int64 {
        let allocated = try describing(what) { () throws(SysError) in try top.fd.btrfsDevice().allocated }
        // The kernel shrinks none below 256 MiB.
        let least = max(256 << 20, allocated + max(64 << 20, allocated / 8))
        let mebibyte: Int64 = 1 << 20
        return (least + mebibyte - 1) / mebibyte * mebibyte
    }

    /// Makes the file system in an image smaller than its device.
    /// - Parameter size: bytes, at least ``leastSize()``.
    public func shrink(to size: Int64) throws(CtrError) {
        do throws(SysError) { try top.fd.resizeBtrfs(size) } catch {
            if error.errno != Errno.noSpace { throw CtrError(.io, what, cause: error) }
            throw CtrError(.failed, "\(what): its data do not fit into \(Size.format(size))", errno: error.errno)
        }
    }

    /// Gives free blocks of an image back to the host.
    public func trim() throws(CtrError) {
        // Chunks that have become empty go by and by; these arguments make it now, and move nothing. Without it less is
        // given back.
        try? Tool(
            "btrfs", package: "btrfs-progs",
            ["balance", "start", "-dusage=0", "-musage=0", top.fd.pathForOthers], scratch: scratch()
        ).finish(.io)
        try describing(what) { () throws(SysError) in
            // What has been deleted is free only then.
            try top.fd.syncBtrfs()
            try top.fd.syncFileSystem()
            _ = try top.fd.trim()
            try top.fd.syncFileSystem()
        }
    }

    /// Reads all of an image and checks it by its checksums.
    public func scrub() throws(CtrError) -> Btrfs.ScrubResult {
        try describing(what) { () throws(SysError) in try top.fd.scrubBtrfs() }
    }

    /// Files that can't be read whole, as the VPS names them; those of snapshots after `NAME:`.
    /// - Parameter snapshots: ids and names.
    public func unreadable(_ snapshots: [(id: String, name: String)]) throws(CtrError) -> [String] {
        var found = try UnreadableFiles.below(open(nil), what)
        for snapshot in snapshots {
            found += try UnreadableFiles.below(open(snapshot.id), what).map { "\(snapshot.name):\($0)" }
        }
        return found
    }
}

/// Reads every file to find out which a damaged disk has taken parts of.
private enum UnreadableFiles {
    static func below(_ disk: SharedFD, _ what: String) throws(CtrError) -> [String] {
        var found: [String] = []
        let upper = try describing(what) { () throws(SysError) in
            SharedFD(try disk.fd.open("upper", [.directory, .noFollow]))
        }
        visit(upper, "", depth: 0, &found)
        return found
    }

    private static func visit(_ directory: SharedFD, _ path: String, depth: Int, _ found: inout [String]) {
        // Each level holds a descriptor; deeper than this nobody looks.
        guard depth < 900 else { return }
        guard let entries = try? directory.fd.entries() else { return found.append(path + "/") }
        for entry in entries {
            let name = "\(path)/\(entry.name.description)"
            do throws(SysError) {
                let status = try directory.fd.status(of: entry.name)
                if status.type == .directory {
                    let child = SharedFD(try directory.fd.open(entry.name, [.directory, .noFollow]))
                    visit(child, name, depth: depth + 1, &found)
                } else if status.type == .regular {
                    // Of a hostile guest's making: a FIFO by now would block.
                    let file = try directory.fd.open(entry.name, [.readOnly, .noFollow, .nonBlocking])
                    while try !file.read(upTo: 1 << 20).isEmpty {}
                }
            } catch {
                if error.errno != Errno.noEntry { found.append(name) }
            }
        }
    }
}
