internal import FoundationEssentials
internal import Kernel
internal import Model
internal import Storage

/// What a suspended VPS's disk looks like, so that one that was changed behind its memory is noticed before a resume.
///
/// Written when the VPS has let go of its disk, taken away before a resume attaches it (which alone changes an image), and
/// written again where that fails, by ``Recovery`` where its supervisor was killed. Where there is none, a crash came between:
/// then nothing is known, and nothing refused.
struct DiskMark: Codable, Equatable {
    /// Of an image: its size in bytes and the time of its last change, in nanoseconds. Of a directory: of all files together,
    /// with a hash of names, sizes and times.
    private var size: Int64
    private var time: Int64
    private var files: Int64 = 0
    private var hash: UInt64 = 0

    private static let name = "checkpoint.disk"

    /// Looks at the disk of a VPS that does not run.
    private init(
        _ files: VPSFiles, _ config: VPSConfig, in directory: SharedFD, isHurried: Bool = false
    ) throws(CtrError) {
        (size, time) = (0, 0)
        if config.disk != nil {
            let status = try describing("disk of VPS \(files.name)") { () throws(SysError) in
                try DiskMark.waitUntilFree(
                    directory.fd.open("disk.img", [.readOnly, .noFollow]), turns: isHurried ? 20 : 2_000)
            }
            size = status.size
            time = DiskMark.nanoseconds(status.modified)
        } else {
            var mark = self
            try describing("disk of VPS \(files.name)") { () throws(SysError) in
                try mark.walk(directory.fd.open("disk/upper", [.readOnly, .directory, .noFollow]))
            }
            self = mark
        }
    }

    /// Its loop device, which has the lock, goes a moment after its last mount.
    /// - Parameter turns: of 5 ms.
    private static func waitUntilFree(_ image: consuming FD, turns: Int) throws(SysError) -> FileStatus {
        for _ in 0..<turns {
            do throws(SysError) {
                try image.lock(.shared, wait: false)
                return try image.status()
            } catch  where error.errno == Errno.again { CurrentProcess.sleep(milliseconds: 5) }
        }
        throw SysError("flock", Errno.busy)
    }

    /// Of a tree whose paths may be of any length, with one descriptor however deep it is: nobody changes it meanwhile.
    private mutating func walk(_ top: borrowing FD) throws(SysError) {
        var here = SharedFD(try top.openHere())
        var above: [(inode: UInt64, left: [Path])] = [try add(here)]
        while !above.isEmpty {
            if let name = above[above.count - 1].left.popLast() {
                here = SharedFD(
                    try here.fd.open(name, [.readOnly, .directory, .noFollow], resolve: [.beneath, .noSymlinks]))
                above.append(try add(here))
            } else {
                above.removeLast()
                guard let parent = above.last else { return }
                here = SharedFD(try here.fd.open("..", [.readOnly, .directory]))
                if try here.fd.status().inode != parent.inode { throw SysError("openat", Errno.busy, "..") }
            }
        }
    }

    /// - Returns: what tells this directory from others, and those below.
    private mutating func add(_ directory: SharedFD) throws(SysError) -> (inode: UInt64, left: [Path]) {
        var below: [Path] = []
        for entry in try directory.fd.openHere().entries() {
            let status = try directory.fd.status(of: entry.name)
            let isDirectory = status.type == .directory
            if isDirectory { below.append(entry.name) }
            files += 1
            // A directory is what lies in it.
            let (bytes, time) = isDirectory ? (0, 0) : (status.size, DiskMark.nanoseconds(status.modified))
            size += bytes
            // In no order: each file's own, summed up.
            var own: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in entry.name.bytes { own = (own ^ UInt64(byte)) &* 0x100_0000_01b3 }
            own = (own ^ UInt64(bitPattern: bytes)) &* 0x100_0000_01b3
            own = (own ^ UInt64(bitPattern: time)) &* 0x100_0000_01b3
            hash &+= (own ^ UInt64(status.permissions)) &* 0x9e37_79b9_7f4a_7c15
        }
        return (try directory.fd.status().inode, below)
    }

    private static func nanoseconds(_ time: FileTime) -> Int64 {
        time.seconds &* 1_000_000_000 &+ Int64(time.nanoseconds)
    }

    // MARK: the file

    /// Writes down what the disk is like now.
    /// - Parameter isHurried: it has been tried before.
    static func write(
        _ files: VPSFiles, _ config: VPSConfig, in directory: SharedFD, isHurried: Bool = false
    ) throws(CtrError) {
        let mark = try DiskMark(files, config, in: directory, isHurried: isHurried)
        try VPSFiles.write(mark, name, in: directory, of: files.name, durable: true)
    }

    static func isThere(in directory: SharedFD) -> Bool { (try? directory.fd.status(of: name)) != nil }

    /// From now on nothing is known.
    static func remove(in directory: SharedFD) { try? directory.fd.unlink(name) }

    /// - Throws: `failed` where the disk is another than it was.
    static func check(_ files: VPSFiles, _ config: VPSConfig, in directory: SharedFD) throws(CtrError) {
        guard let mark: DiskMark = try VPSFiles.read(name, in: directory, of: files.name) else { return }
        guard try mark != DiskMark(files, config, in: directory) else { return }
        throw CtrError(
            .failed,
            "resume \(files.name): its disk was changed since it was suspended, and its memory would destroy the file system "
                + "or its data (put the disk back as it was, or give the memory up: ctr resume --discard \(files.name))"
        )
    }
}
