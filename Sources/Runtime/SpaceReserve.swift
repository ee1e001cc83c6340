internal import Cgroups
internal import Kernel
internal import Model
internal import Storage

/// The room on the file system of $CTR_ROOT, and what of it stays free, setting `spaceReserve`: below that VPSs that write
/// are made to stand still, see ``SpaceGuard``.
struct SpaceReserve {
    /// Bytes, as df(1) shows them.
    let size: Int64
    let free: Int64
    /// Bytes in the host's memory that wait to be written: an image takes blocks for them, whether or not its VPS stands
    /// still by then, so they count as taken. Those of other file systems too, unless ``refined(by:)``.
    private(set) var unwritten: Int64
    /// Bytes.
    let reserve: Int64

    /// Bytes that will be free when all is written.
    var room: Int64 { max(0, free - unwritten) }
    var isLow: Bool { room < reserve }
    /// The other half is for what is on its way to the disk: data, and what file systems need to keep them.
    var isUrgent: Bool { room < reserve / 2 }

    /// Without a setting: a twentieth, at most 2 GiB.
    private static let most: Int64 = 2 << 30

    /// Bytes in a millisecond: nobody fills disk and memory faster.
    static let fastest = Int64(2 << 20) * Int64(CurrentProcess.processorCount)

    /// - Parameter settings: where they can't be read: those of before.
    /// - Throws: `config` for settings that can't be read.
    static func read(_ root: SharedFD, of host: Host, settings: Settings? = nil) throws(CtrError) -> SpaceReserve {
        let (space, unwritten) = try describing("space of \(host.root)") { () throws(SysError) in
            (try root.fd.fileSystemStatus(), try ProcFiles.unwritten())
        }
        let given = if let settings { settings } else { try Settings.load() }
        let reserve = given.spaceReserve?.bytes ?? min(space.size / 20, most)
        return SpaceReserve(size: space.size, free: space.available, unwritten: unwritten, reserve: reserve)
    }

    static func read(_ host: Host) throws(CtrError) -> SpaceReserve {
        try read(SharedFD(host.vpsDirectory()), of: host)
    }

    /// With what the VPSs alone wait to write, where their cgroups tell: that takes longer to find out.
    func refined(by vps: [Unwritten]) -> SpaceReserve {
        var sum: Int64 = 0
        for one in vps {
            guard let bytes = one.bytes else { return self }
            sum += bytes
        }
        var space = self
        space.unwritten = min(unwritten, sum)
        return space
    }

    /// What a VPS waits to write; nil without the memory controller.
    struct Unwritten {
        var name: String
        var bytes: Int64?

        init(_ name: String, _ host: Host) {
            self.name = name
            if let record = try? VPSFiles(name, host: host).state()?.cgroup {
                bytes = try? Cgroup.open(record).unwritten()
            } else {
                bytes = 0
            }
        }
    }

    /// Milliseconds for which the disk can't be filled down to the half of the reserve that is for what is on its way to
    /// the disk; 0 where it is.
    var pause: Int32 {
        isUrgent ? 0 : Int32(clamping: max(2, (room - reserve / 2) / SpaceReserve.fastest))
    }

    /// ``check(_:takes:_:)`` for what copies a VPS's files.
    static func room(_ files: VPSFiles) -> SnapshotData.RoomCheck {
        { (bytes) throws(CtrError) in try check("disk of VPS \(files.name)", takes: bytes, files.host) }
    }

    /// To be called before space is taken at once: a thick disk, a copy. Of what the copy itself has yet to write the host's
    /// file system knows, so only what is free counts.
    /// - Throws: `cannotCreate` where it would leave less than the reserve, and so stop every VPS that writes.
    static func check(_ what: String, takes bytes: Int64, _ host: Host) throws(CtrError) {
        let space = try read(host)
        if space.free - space.reserve >= bytes { return }
        throw CtrError(
            .cannotCreate,
            "\(what): takes \(Size.format(bytes)) of the host's disk, which has \(Size.format(space.free)) free, "
                + "\(Size.format(space.reserve)) of that kept in reserve (make room, or take less; see ctr storage)")
    }

    /// To be called before somebody writes to a VPS's image, and now and then while that is not the VPS, for which the
    /// guard is there: its file system would fail where the host's has nothing left.
    /// - Parameters:
    ///   - half: only the half is kept that the guard leaves too.
    ///   - target: a directory of the file system that the caller has written to.
    /// - Throws: `cannotCreate` where the reserve is touched.
    static func keep(_ what: String, half: Bool, _ host: Host, writtenTo target: SharedFD? = nil) throws(CtrError) {
        var space = try read(host)
        if space.isLow {
            // What is in memory may be for other disks: what the caller has there is written, and that of the VPSs counted.
            if let target {
                try describing(what) { () throws(SysError) in try target.fd.openHere().syncFileSystem() }
                space = try read(host)
            }
            space = space.refined(by: try SpaceGuard.writers(on: host))
        }
        if half ? !space.isUrgent : !space.isLow { return }
        throw CtrError(
            .cannotCreate,
            "\(what): the host's disk is full: \(Size.format(space.room)) left of a reserve of "
                + "\(Size.format(space.reserve)) (make room there, or lower the setting spaceReserve; see ctr storage)")
    }
}

/// A size as settings have it: `"512M"`, `"0"`.
struct SizeSetting: Codable, Equatable {
    var bytes: Int64

    init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        bytes = text == "0" ? 0 : try Size.parse(text, option: "spaceReserve")
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode("\(bytes)")
    }
}
