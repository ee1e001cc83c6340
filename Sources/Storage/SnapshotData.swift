public import Kernel
public import Model

/// The data of a VPS's disk and of its snapshots, side by side below one directory:
///
///     in an image       root/  a subvolume      snapshots/ID/  read-only subvolumes
///     in a directory    disk/                   snapshots/ID/  copies, of shared blocks where the file system can
///
/// each with `upper` and `work`. Every step here may be done again after a crash.
public struct SnapshotData: Sendable {
    /// The top of the image's file system, or the VPS's own directory.
    public let top: SharedFD
    public let isImage: Bool
    let what: String
    private let room: RoomCheck?

    /// Asked before so many bytes are copied; throws where they must not be.
    public typealias RoomCheck = @Sendable (Int64) throws(CtrError) -> Void

    public init(top: SharedFD, isImage: Bool, of vps: String, room: RoomCheck? = nil) {
        self.init(top: top, isImage: isImage, what: "disk of VPS \(vps)", room: room)
    }

    init(top: SharedFD, isImage: Bool, what: String, room: RoomCheck? = nil) {
        self.top = top
        self.isImage = isImage
        self.what = what
        self.room = room
    }

    private var live: String { isImage ? DiskImage.root : "disk" }
    private var fresh: String { "\(live).new" }

    /// Takes a snapshot. In an image this is one step of the kernel's whatever the size, and what has been written is in
    /// it; a directory is copied, and must stand still meanwhile.
    public func take(_ id: String) throws(CtrError) {
        if !isImage { return try copy(live, in: top, to: id, in: snapshots()) }
        let snapshots = try snapshots()
        try step { () throws(SysError) in
            let source = SharedFD(try top.fd.open(live, [.directory, .noFollow]))
            try snapshots.fd.snapshot(of: source, id, readOnly: true)
        }
    }

    /// Removes a snapshot's data; nothing there is no error.
    public func remove(_ id: String) throws(CtrError) {
        let snapshots = try snapshots()
        for name in [id, ".\(id).new"] { try remove(name, in: snapshots) }
    }

    /// Puts a snapshot's data in the place of the VPS's own, which are lost; the snapshot stays. The VPS must not run.
    public func revert(to id: String) throws(CtrError) {
        let snapshots = try snapshots()
        try remove(fresh, in: top)
        if isImage {
            try step { () throws(SysError) in
                let source = SharedFD(try snapshots.fd.open(id, [.directory, .noFollow]))
                try top.fd.snapshot(of: source, fresh, readOnly: false)
            }
        } else {
            try copy(id, in: snapshots, to: fresh, in: top)
        }
        try step { () throws(SysError) in
            try top.fd.rename(fresh, to: top.fd, live, exchange: true)
            try top.fd.sync()
        }
        try remove(fresh, in: top)
    }

    /// The directory with `upper` of a snapshot, or of the disk as it is.
    /// - Throws: `io` where the data have gone.
    public func open(_ id: String?) throws(CtrError) -> SharedFD {
        guard let id else { return try step { () throws(SysError) in SharedFD(try top.fd.open(live, .directory)) } }
        let snapshots = try snapshots()
        return try step { () throws(SysError) in SharedFD(try snapshots.fd.open(id, [.directory, .noFollow])) }
    }

    /// Bytes that each of these snapshots holds and nothing else does: what its deletion would give back.
    public func exclusive(_ ids: [String]) throws(CtrError) -> [Int64?] {
        if ids.isEmpty { return [] }
        let snapshots = try snapshots()
        if !isImage {
            return try ids.map { (id) throws(CtrError) in try TreeSize.allocated(open(id), what) }
        }
        var output: SharedFD?
        let paths = ids.map { "\(snapshots.fd.pathForOthers)/\($0)" }
        let tool = try Tool.reading(
            "btrfs", package: "btrfs-progs", ["filesystem", "du", "--raw", "-s"] + paths, scratch: scratch(),
            output: &output)
        let text = try step { () throws(SysError) in try output!.fd.readAll(limit: 1 << 20) }
        try tool.finish(.io)
        // Total  Exclusive  Set shared  Filename
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").dropFirst()
        let sizes = lines.map { line in line.split(separator: " ").dropFirst().first.flatMap { Int64($0) } }
        return ids.indices.map { $0 < sizes.count ? sizes[$0] : nil }
    }

    /// Bytes that the disk has in all, and that are free for the VPS; of an image only.
    public func space() throws(CtrError) -> FileSystemStatus? {
        isImage ? try step { () throws(SysError) in try top.fd.fileSystemStatus() } : nil
    }

    /// The data of snapshots that are there.
    func snapshotIDs() throws(CtrError) -> [String] {
        let snapshots = try snapshots()
        return try step { () throws(SysError) in try snapshots.fd.entries().map(\.name.description) }
    }

    /// Fills an image that is empty with what another has in its `upper`.
    /// - Parameter source: holds `upper`; nobody writes there meanwhile.
    func fill(from source: SharedFD) throws(CtrError) {
        let place = try open(nil)
        try step { () throws(SysError) in try place.fd.unlink("upper", directory: true) }
        try copyUpper(of: source, to: place, full: true)
    }

    /// Makes the directory of a clone; it is the disk after ``finishClone()``.
    /// - Parameters:
    ///   - source: holds `upper`; nobody writes there meanwhile.
    ///   - full: no blocks are shared.
    public func beginClone(of source: SharedFD, full: Bool) throws(CtrError) {
        try beginCopy(of: source, to: live, in: top, full: full)
    }

    /// May have been done.
    public func finishClone() throws(CtrError) {
        try step { () throws(SysError) in
            do throws(SysError) { try top.fd.rename(".\(live).new", to: top.fd, live, replace: false) } catch
                where error.errno == Errno.noEntry
            {}
            try top.fd.sync()
        }
    }

    /// Bytes that all files below a directory take.
    public static func allocated(below directory: SharedFD, of vps: String) throws(CtrError) -> Int64 {
        try TreeSize.allocated(directory, "disk of VPS \(vps)")
    }

    // MARK: steps

    func snapshots() throws(CtrError) -> SharedFD {
        try step { () throws(SysError) in SharedFD(try top.fd.ensureDirectory(DiskImage.snapshots, mode: 0o700)) }
    }

    func scratch() throws(CtrError) -> SharedFD {
        try step { () throws(SysError) in SharedFD(try Kernel.open("/tmp", .directory)) }
    }

    private func remove(_ name: String, in parent: SharedFD) throws(CtrError) {
        if !isImage { return try step { () throws(SysError) in try parent.fd.removeTree(name) } }
        try step { () throws(SysError) in
            do throws(SysError) { try parent.fd.deleteSubvolume(name) } catch  where error.errno == Errno.noEntry {}
        }
    }

    /// cp(1) keeps what an overlay's layer is made of: whiteouts, attributes, links, holes, owners; nothing is followed.
    private func copyUpper(of source: SharedFD, to place: SharedFD, full: Bool = false) throws(CtrError) {
        let kind = try step { () throws(SysError) in try place.fd.fileSystemStatus().magic }
        if let room, full || !SnapshotData.sharing.contains(kind) {
            try room(TreeSize.allocated(source, what))
        }
        let tool = try Tool(
            "cp", package: "coreutils",
            [
                "-a", full ? "--reflink=never" : "--reflink=auto", "--", "\(source.fd.pathForOthers)/upper",
                place.fd.pathForOthers,
            ], scratch: scratch())
        try tool.finish(.cannotCreate)
    }

    /// Under a name of its own until it is whole.
    private func copy(_ name: String, in parent: SharedFD, to new: String, in target: SharedFD) throws(CtrError) {
        let source = try step { () throws(SysError) in SharedFD(try parent.fd.open(name, [.directory, .noFollow])) }
        try beginCopy(of: source, to: new, in: target)
        try step { () throws(SysError) in
            try target.fd.rename(".\(new).new", to: target.fd, new, replace: false)
            try target.fd.sync()
        }
    }

    private func beginCopy(
        of source: SharedFD, to new: String, in target: SharedFD, full: Bool = false
    ) throws(CtrError) {
        let unfinished = ".\(new).new"
        try remove(unfinished, in: target)
        let place = try step { () throws(SysError) in
            try target.fd.makeDirectory(unfinished, mode: 0o700)
            let place = SharedFD(try target.fd.open(unfinished, [.directory, .noFollow]))
            let mask = CurrentProcess.setFileModeMask(0)
            defer { CurrentProcess.setFileModeMask(mask) }
            try place.fd.makeDirectory("work", mode: 0o755)
            return place
        }
        try copyUpper(of: source, to: place, full: full)
        try step { () throws(SysError) in try place.fd.syncFileSystem() }
    }

    /// File systems that share blocks between files: btrfs and xfs, see linux/magic.h.
    private static let sharing: Set<UInt64> = [0x9123_683e, 0x5846_5342]

    private func step<T>(_ body: () throws(SysError) -> T) throws(CtrError) -> T { try describing(what, body) }
}

/// What a tree takes on its file system.
enum TreeSize {
    /// Each level holds two descriptors, of which there may be 1024.
    private static let deepest = 400

    /// Bytes of allocated blocks of all files, a file of several names once. Files that go away meanwhile, or lie deeper
    /// than anyone could want, don't count.
    static func allocated(_ root: SharedFD, _ what: String) throws(CtrError) -> Int64 {
        try describing(what) { () throws(SysError) in
            var seen: Set<UInt64> = []
            return try allocated(root, &seen, depth: 0)
        }
    }

    private static func allocated(
        _ directory: SharedFD, _ seen: inout Set<UInt64>, depth: Int
    ) throws(SysError) -> Int64 {
        guard depth < deepest else { return 0 }
        var sum: Int64 = 0
        for entry in try directory.fd.entries() {
            do throws(SysError) {
                let file = SharedFD(try directory.fd.open(entry.name, [.path, .noFollow]))
                let status = try file.fd.status()
                if status.links > 1, status.type != .directory, !seen.insert(status.inode).inserted { continue }
                sum += status.allocated
                if status.type == .directory {
                    let child = SharedFD(try directory.fd.open(entry.name, [.directory, .noFollow]))
                    sum += try allocated(child, &seen, depth: depth + 1)
                }
            } catch  where error.errno == Errno.noEntry || error.errno == Errno.notDirectory {}
        }
        return sum
    }
}
