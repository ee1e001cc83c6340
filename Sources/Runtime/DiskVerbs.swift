internal import Kernel
public import Model
internal import Storage

/// `ctr disk resize|compact|check`.
public struct DiskVerbs: Sendable {
    public var vps: String

    public init(vps: String) { self.vps = vps }

    public struct Resized: Codable, Sendable {
        public var vps: String
        /// Bytes.
        public var before: Int64
        public var size: Int64
    }

    /// Online where the VPS runs. Any failure leaves the size that it had.
    /// - Parameter size: bytes.
    /// - Throws: `failed` below what is used, `cannotCreate` where the host's disk is too full for a thick one.
    public func resize(to size: Int64, on host: Host) throws(CtrError) -> Resized {
        let hold = try DiskHold.take(vps, on: host)
        let (disk, image) = try image(hold, "resize")
        let result = Resized(vps: vps, before: disk.size, size: size)
        if size == disk.size { return result }
        if size < disk.size { try refuse(size, hold) }
        try hold.write { $0.disk?.resizingTo = size }
        do throws(CtrError) {
            if size > disk.size {
                try Overcommit.check(vps, promises: size, host)
                let what = "disk of VPS \(vps)"
                // The file system in it has to write its new size.
                try SpaceReserve.check(what, takes: disk.thick ? size - disk.size : 0, host)
            }
            if size < disk.size { try hold.data.shrink(to: size) }
            try image.setSize(size, from: disk.size, allocate: disk.thick)
        } catch {
            try? hold.finishResize()
            throw error
        }
        try hold.finishResize()
        EventLog(host).append(.resized, vps: vps, detail: ["size": .number(size)])
        return result
    }

    private func refuse(_ size: Int64, _ hold: DiskHold) throws(CtrError) {
        let least = try hold.data.leastSize()
        guard size < least, let space = try hold.data.space() else { return }
        throw CtrError(
            .failed,
            "disk of VPS \(vps): \(Size.format(space.size - space.free)) of it are in use, snapshots included: the "
                + "least size is now \(Size.format(least))")
    }

    public struct Compacted: Codable, Sendable {
        public var vps: String
        /// Bytes that it took on the host's disk, and takes now.
        public var before: Int64
        public var after: Int64
    }

    /// Gives free blocks back to the host.
    public func compact(on host: Host) throws(CtrError) -> Compacted {
        let hold = try DiskHold.take(vps, on: host)
        let (disk, image) = try image(hold, "compact")
        if disk.thick {
            throw CtrError(.failed, "disk of VPS \(vps): thick: it keeps all of its space")
        }
        let before = try image.sizes().allocated
        try hold.data.trim()
        return Compacted(vps: vps, before: before, after: try image.sizes().allocated)
    }

    public struct Checked: Codable, Sendable {
        public var vps: String
        /// Bytes read.
        public var read: UInt64
        /// Errors that a second copy has mended.
        public var corrected: UInt64
        public var uncorrectable: UInt64
        /// Files with damage, as the VPS names them.
        public var damaged: [String]
    }

    public func check(on host: Host) throws(CtrError) -> Checked {
        let hold = try DiskHold.take(vps, on: host)
        _ = try image(hold, "check")
        let result = try hold.data.scrub()
        let snapshots = try hold.tree().snapshots.map { (id: $0.id, name: $0.name) }
        return Checked(
            vps: vps, read: result.bytes, corrected: result.corrected, uncorrectable: result.uncorrectable,
            damaged: result.uncorrectable > 0 ? try hold.data.unreadable(snapshots) : [])
    }

    private func image(_ hold: DiskHold, _ verb: String) throws(CtrError) -> (DiskConfig, DiskImage) {
        guard let disk = hold.config.disk, let image = hold.files.image(hold.config, in: hold.lock.directory) else {
            throw CtrError(
                .failed, "disk \(verb) \(vps): its disk is a directory of the host's file system (--disk none)")
        }
        return (disk, image)
    }
}

/// `ctr storage`.
public struct StorageReport: Codable, Sendable {
    public struct Item: Codable, Sendable {
        public var vps: String
        /// The size of its image; nil for a directory, which has no bound.
        public var promised: Int64?
        public var thick: Bool
        /// Bytes that it takes on the host's disk, snapshots included.
        public var used: Int64
    }

    /// Of the file system that holds $CTR_ROOT, bytes.
    public var size: Int64
    public var free: Int64
    /// Bytes in the host's memory that wait to be written.
    public var unwritten: Int64
    /// With less than this free when all is written, VPSs that write stand still.
    public var reserve: Int64
    /// Those that do, until there is space again.
    public var waiting: [String]
    public var vps: [Item]
    /// Of all images.
    public var promised: Int64
    /// Of all VPSs.
    public var used: Int64
    public var templates: Int64
    /// What is promised by the size of the file system.
    public var overcommitment: Double

    public static func read(on host: Host) throws(CtrError) -> StorageReport {
        let items = try VPSList.each(on: host) { (name) throws(CtrError) in try item(name, host) }
        let space = try SpaceReserve.read(host)
        let promised = items.reduce(0) { $0 + ($1.promised ?? 0) }
        SpaceGuard.ensure(on: host)
        return StorageReport(
            size: space.size, free: space.free, unwritten: space.unwritten, reserve: space.reserve,
            waiting: try VPSList.each(on: host) { (name) throws(CtrError) in
                try VPSFiles(name, host: host).state()?.pausedFor == .space ? name : nil
            }, vps: items, promised: promised,
            used: items.reduce(0) { $0 + $1.used },
            templates: try TemplateVerbs(host: host).list().reduce(0) { $0 + $1.size },
            overcommitment: space.size > 0 ? Double(promised) / Double(space.size) : 0)
    }

    private static func item(_ name: String, _ host: Host) throws(CtrError) -> Item? {
        let files = try VPSFiles(name, host: host)
        guard let directory = try files.directory(), let config = try files.config() else { return nil }
        if let disk = config.disk, let image = files.image(config, in: directory) {
            return Item(vps: name, promised: disk.size, thick: disk.thick, used: try image.sizes().allocated)
        }
        return Item(
            vps: name, promised: nil, thick: false, used: try SnapshotData.allocated(below: directory, of: name))
    }
}
