public import Kernel
public import Model

/// A VPS's disk in one file with btrfs inside:
///
///     root/        a subvolume: upper/ and work/ of the VPS's overlay
///     snapshots/   subvolumes that are read only, each a `root` of some moment
///
/// Whoever has it open holds its lock, flock(2) on the very open file that the loop device works with: so the kernel
/// keeps the lock for as long as anything is mounted from it, whatever becomes of ctr.
public struct DiskImage: Sendable {
    /// What it is in messages: `disk of VPS web`.
    let what: String
    let directory: SharedFD
    let file: String

    /// The subvolume that the VPS writes to.
    static let root = "root"
    static let snapshots = "snapshots"

    /// - Parameters:
    ///   - directory: the VPS's own.
    ///   - file: the image's name there.
    public init(_ file: String, in directory: SharedFD, of vps: String) {
        self.init(file, in: directory, what: "disk of VPS \(vps)")
    }

    init(_ file: String, in directory: SharedFD, what: String) {
        self.file = file
        self.directory = directory
        self.what = what
    }

    /// What it is called until the VPS that it is for is there: see ``open()``.
    var unfinished: String { ".\(file).new" }

    // MARK: making

    /// Makes an empty disk. It is whole on the host's disk when this returns; where it is to be kept, it is called
    /// ``unfinished`` until ``finish()``.
    /// - Parameter size: bytes, a multiple of 4096.
    /// - Throws: `cannotCreate` where the host's disk is full, `unavailable` without btrfs or mkfs.btrfs.
    public func make(_ disk: DiskConfig) throws(CtrError) {
        do throws(CtrError) { try Tool.require("mkfs.btrfs", package: "btrfs-progs") } catch {
            throw CtrError(.unavailable, "\(what): \(error.message), or use --disk none")
        }
        let (directory, name) = (directory, unfinished)
        do throws(CtrError) {
            let image = try describing("\(what)", code: .cannotCreate) { () throws(SysError) in
                try? directory.fd.unlink(name)
                let image = SharedFD(
                    try directory.fd.open(name, [.readWrite, .create, .exclusive, .noFollow], mode: 0o600))
                try image.fd.truncate(disk.size)
                if disk.thick { try image.fd.allocate(0, disk.size) }
                return image
            }
            // Without discard: it would make a thick image thin.
            let tool = try Tool(
                "mkfs.btrfs", package: "btrfs-progs",
                ["--quiet", "--force", "--nodiscard", "--label", "ctr", image.fd.pathForOthers],
                scratch: directory)
            try tool.finish(.cannotCreate)
            try fill(image, disk)
        } catch {
            try? directory.fd.unlink(name)
            throw error
        }
    }

    /// As ``make(_:)``, with files in it.
    public func make(_ disk: DiskConfig, filling body: (SnapshotData) throws(CtrError) -> Void) throws(CtrError) {
        try make(disk)
        do throws(CtrError) { try withUnfinished(disk, body) } catch {
            let (directory, name) = (directory, unfinished)
            try? directory.fd.unlink(name)
            throw error
        }
    }

    private func fill(_ image: SharedFD, _ disk: DiskConfig) throws(CtrError) {
        let top = try attach(image, disk).openTop()
        try describing(what, code: .cannotCreate) { () throws(SysError) in
            try top.fd.createSubvolume(DiskImage.root)
            let root = try top.fd.open(DiskImage.root, [.directory, .noFollow])
            let mask = CurrentProcess.setFileModeMask(0)
            defer { CurrentProcess.setFileModeMask(mask) }
            for name in ["upper", "work"] { try root.makeDirectory(name, mode: 0o755) }
            try top.fd.makeDirectory(DiskImage.snapshots, mode: 0o700)
            try top.fd.syncFileSystem()
            try image.fd.sync()
        }
    }

    /// Gives a disk that was made its name: the VPS is there by now.
    public func finish() throws(CtrError) {
        let (directory, from, to) = (directory, unfinished, file)
        try describing(what) { () throws(SysError) in
            try directory.fd.rename(from, to: directory.fd, to, replace: false)
            try directory.fd.sync()
        }
    }

    // MARK: opening

    /// Attaches it to a loop device, or takes the one that it is on still. Waits some seconds for a lock of others.
    /// - Parameter config: what was promised.
    /// - Throws: `busy` where it is in use, `config` for a file that is not what was promised.
    public func open(_ config: DiskConfig) throws(CtrError) -> AttachedDisk {
        let image = try openFile()
        try check(image, try status(image), config)
        return try attach(image, config)
    }

    private func attach(_ image: SharedFD, _ config: DiskConfig) throws(CtrError) -> AttachedDisk {
        let loop: LoopDevice
        if let found = try lock(image, try status(image)) {
            loop = found
        } else {
            do throws(SysError) { loop = try LoopDevice.attach(image, label: "ctr: \(what)") } catch {
                throw CtrError(
                    .unavailable,
                    "\(what): no loop device for it (modprobe loop, or use --disk none; see ctr host check)",
                    step: "attach disk", errno: error.errno)
            }
        }
        // What the VPS deletes goes back to the host; a thick disk keeps what it has.
        let options = [config.thick ? ("nodiscard", "") : ("discard", "async")]
        return AttachedDisk(loop, what: what, options: options, directory)
    }

    private func status(_ image: SharedFD) throws(CtrError) -> FileStatus {
        try describing(what) { () throws(SysError) in try image.fd.status() }
    }

    /// What another process, the VPS itself, has attached; nil where none has.
    public func inUse(loop number: Int) throws(CtrError) -> AttachedDisk? {
        let image = try openFile()
        let (what, directory) = (what, directory)
        return try describing(what) { () throws(SysError) -> AttachedDisk? in
            try LoopDevice.find(number, of: image.fd.status()).map {
                AttachedDisk($0, what: what, options: [], directory)
            }
        }
    }

    /// For who holds the VPS's lock.
    func openFile() throws(CtrError) -> SharedFD {
        let directory = directory
        do throws(SysError) {
            do throws(SysError) {
                return SharedFD(try directory.fd.open(file, [.readWrite, .noFollow, .nonBlocking]))
            } catch  where error.errno == Errno.noEntry {
                // A `create` was killed after the VPS was there: the disk was whole by then.
                try directory.fd.rename(unfinished, to: directory.fd, file, replace: false)
                try directory.fd.sync()
                return SharedFD(try directory.fd.open(file, [.readWrite, .noFollow, .nonBlocking]))
            }
        } catch {
            if error.errno == Errno.noEntry {
                throw CtrError(.config, "\(what): \(file) is missing (put it back from a copy, or destroy the VPS)")
            }
            throw CtrError(.io, what, cause: error)
        }
    }

    /// Nothing is mounted, and nothing written, before it looks like what ctr made.
    private func check(_ image: SharedFD, _ status: FileStatus, _ config: DiskConfig) throws(CtrError) {
        guard status.type == .regular else {
            throw CtrError(.config, "\(what): \(file) is not a regular file (put it back from a copy)")
        }
        guard status.links == 1 else {
            throw CtrError(
                .config,
                "\(what): \(file) has \(status.links) names (hard links): another may write to it too (remove the others)"
            )
        }
        guard status.size == config.size || status.size == config.resizingTo else {
            throw CtrError(
                .config,
                "\(what): \(file) has \(status.size) bytes, not the \(config.size) it was made with: it was cut off or "
                    + "replaced (put it back from a copy)")
        }
        guard try DiskImage.isBtrfs(image, what) else {
            throw CtrError(
                .config,
                "\(what): \(file) holds no btrfs file system: it is damaged or not a disk of ctr's (put it back from a copy)"
            )
        }
    }

    /// By the magic number of its superblock: see the btrfs on-disk format.
    private static func isBtrfs(_ image: SharedFD, _ what: String) throws(CtrError) -> Bool {
        try describing(what) { () throws(SysError) in
            try image.fd.seek(.start, 0x10040)
            return try image.fd.read(upTo: 8) == Array("_BHRfS_M".utf8)
        }
    }

    /// - Returns: the loop device that holds the lock: a snapshot is mounted from it, or the last mount is just going.
    private func lock(_ image: SharedFD, _ status: FileStatus) throws(CtrError) -> LoopDevice? {
        let deadline = Deadline(milliseconds: 10_000)
        while true {
            do throws(SysError) {
                do throws(SysError) {
                    try image.fd.lock(.exclusive, wait: false)
                    return nil
                } catch  where error.errno == Errno.again {}
                if let found = try LoopDevice.find(of: status) { return found }
            } catch { throw CtrError(.io, "lock of the \(what)", cause: error) }
            if deadline.hasPassed {
                let holder = (try? ProcFiles.lockHolder(of: status)).map { " by process \($0)" } ?? ""
                throw CtrError(
                    .busy, "\(what): in use\(holder), or still mounted somewhere (see losetup -l), try again")
            }
            CurrentProcess.sleep(milliseconds: 2)
        }
    }
}

/// A disk image on a loop device: it goes with the last user of that, this value or a mount.
public struct AttachedDisk: Sendable {
    let loop: LoopDevice
    let what: String
    /// Of the first mount.
    private let options: [(String, String)]
    private let directory: SharedFD

    /// - Parameter directory: where the image lies.
    init(_ loop: LoopDevice, what: String, options: [(String, String)], _ directory: SharedFD) {
        self.directory = directory
        self.loop = loop
        self.what = what
        self.options = options
    }

    /// The number of its loop device.
    public var number: Int { loop.number }

    /// A new mount, attached nowhere, of what the VPS writes to: it holds `upper` and `work`.
    public func mountRoot() throws(CtrError) -> SharedFD { try mount(DiskImage.root) }

    /// The same of a snapshot.
    public func mountSnapshot(_ id: String) throws(CtrError) -> SharedFD { try mount("\(DiskImage.snapshots)/\(id)") }

    /// A new mount, attached nowhere, of all: the root's subvolume and the snapshots.
    /// Opened for work on it: the mount itself goes with the last file that is open on it.
    public func openTop() throws(CtrError) -> SharedFD {
        let top = try mount(nil)
        return try describing(what) { () throws(SysError) in SharedFD(try top.fd.openHere()) }
    }

    private func mount(_ subvolume: String?) throws(CtrError) -> SharedFD {
        let (path, options) = (loop.path, options)
        do throws(SysError) { return SharedFD(try Btrfs.mount(path, subvolume: subvolume, options: options)) } catch {
            if error.errno == Errno.noDevice {
                throw CtrError(.unavailable, "\(what): this kernel has no btrfs (use --disk none)", errno: error.errno)
            }
            // What its journal has to be written to the host's disk for fails as a broken disk does.
            let free = (try? directory.fd.fileSystemStatus().available) ?? .max
            let why =
                free < 16 << 20
                ? "the host's disk is full (\(Size.format(free)) free: make room there, and try again)"
                : "its file system is damaged, or the host's disk fails (see the host's kernel log)"
            throw CtrError(.io, "\(what): can't be mounted: \(why)", step: "mount disk", cause: error)
        }
    }
}
