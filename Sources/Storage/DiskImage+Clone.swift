internal import Kernel
public import Model

extension DiskImage {
    /// How the data of a clone came to it.
    public enum CloneCost: String, Codable, Sendable {
        /// Blocks are shared until one of the two writes to them: it took a moment.
        case shared
        /// Every file was copied.
        case copied
    }

    /// Makes this image a clone of another's snapshot; it has no snapshots itself. As ``make(_:)`` it is called
    /// ``unfinished`` until ``finish()``.
    /// - Parameters:
    ///   - full: nothing is shared, also where it could be.
    ///   - room: asked before files are copied.
    ///   - progress: told of a copy's steps.
    public func clone(
        _ source: SnapshotData, _ id: String, from image: DiskImage, _ disk: DiskConfig, full: Bool,
        room: @escaping SnapshotData.RoomCheck, progress: TemplateProgress
    ) throws(CtrError) -> CloneCost {
        do throws(CtrError) {
            if !full, !disk.thick, try share(image, id) { return .shared }
            try make(disk)
            progress(.step("copy"))
            try withUnfinished(disk, room: room) { (data) throws(CtrError) in try data.fill(from: source.open(id)) }
            return .copied
        } catch {
            let (directory, name) = (directory, unfinished)
            try? directory.fd.unlink(name)
            throw error
        }
    }

    /// - Returns: false where the host's file system can't share blocks, or the image stands at a moment from which it
    ///   can't be used at once.
    private func share(_ image: DiskImage, _ id: String) throws(CtrError) -> Bool {
        let (directory, name) = (directory, unfinished)
        let source = try image.openFile()
        let shared = try describing(what, code: .cannotCreate) { () throws(SysError) -> Int64? in
            try? directory.fd.unlink(name)
            let file = try directory.fd.open(name, [.readWrite, .create, .exclusive, .noFollow], mode: 0o600)
            for _ in 0..<20 {
                do throws(SysError) { try file.shareData(of: source.fd) } catch
                    where [Errno.notSupported, Errno.notTerminal, Errno.invalid, Errno.crossDevice].contains(
                        error.errno)
                {
                    try directory.fd.unlink(name)
                    return nil
                }
                // The snapshot is in it. What has been synced since is in a log that only a mount can replay, and
                // the copy must get an identity of its own before it can be mounted beside the first.
                if try DiskImage.hasNoLog(file) {
                    try file.sync()
                    return try file.status().size
                }
            }
            try directory.fd.unlink(name)
            return nil
        }
        guard let shared else { return false }
        try Tool(
            "btrfstune", package: "btrfs-progs", ["-f", "-m", "\(directory.fd.pathForOthers)/\(name)"],
            scratch: directory
        )
        .finish(.cannotCreate)
        try withUnfinished(DiskConfig(size: shared, thick: false)) { (data) throws(CtrError) in
            try data.becomeOnly(id)
        }
        return true
    }

    /// By the superblock: see the btrfs on-disk format, `log_root`.
    private static func hasNoLog(_ file: borrowing FD) throws(SysError) -> Bool {
        try file.seek(.start, 0x10060)
        return try file.read(upTo: 8) == [UInt8](repeating: 0, count: 8)
    }

    func withUnfinished(
        _ disk: DiskConfig, room: SnapshotData.RoomCheck? = nil, _ body: (SnapshotData) throws(CtrError) -> Void
    ) throws(CtrError) {
        let new = DiskImage(unfinished, in: directory, what: what)
        let attached = try new.open(disk)
        do throws(CtrError) {
            let top = try attached.openTop()
            try body(SnapshotData(top: top, isImage: true, what: what, room: room))
            try describing(what) { () throws(SysError) in try top.fd.syncFileSystem() }
        } catch {
            // The image's file system says EIO or EROFS where the host's has no blocks for it.
            guard error.errno != Errno.noSpace, let free = try? directory.fd.fileSystemStatus().available,
                free < 16 << 20
            else { throw error }
            throw CtrError(
                .cannotCreate, "\(what): the host's disk is full (\(Size.format(free)) free: make room there)",
                errno: Errno.noSpace)
        }
    }
}

extension SnapshotData {
    /// The VPS's data are those of the snapshot, and all snapshots go.
    func becomeOnly(_ id: String) throws(CtrError) {
        try revert(to: id)
        for name in try snapshotIDs() { try remove(name) }
    }
}
