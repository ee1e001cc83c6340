internal import Kernel
internal import Model

/// What an import may use. An archive that wants more is refused before it has done harm.
public struct ImportLimits: Sendable {
    /// Bytes of file data.
    public var bytes: Int64 = 1 << 40
    /// Files, directories and links.
    public var entries = 4_000_000
    /// Unpacked bytes for each packed one, looked at once 64 MiB are unpacked. Root file systems lie below 10, tar's own
    /// padding of many small files included below 50.
    public var ratio: Int64 = 250
    /// Nested directories.
    public var depth = 256
    /// Bytes that stay free on the host's file system; nil: 512 MiB, or 1/50 of a small file system.
    public var reserve: Int64?

    public init() {}
}

/// What long work tells its caller.
public enum TemplateEvent: Sendable, Equatable {
    /// A step begins: `unpack`, `layer 2 of 5`.
    case step(String)
    /// Bytes of the input read so far, of how many.
    case progress(done: Int64, total: Int64)
    /// Something that the operator should know and that is no failure.
    case note(String)
}

public typealias TemplateProgress = (TemplateEvent) -> Void

/// Counts what one import has used, against its limits and the file system's free space.
final class Budget {
    let limits: ImportLimits
    private(set) var bytes: Int64 = 0
    private(set) var entries = 0
    private var checkedAt: Int64 = 0
    private let target: SharedFD
    private let reserve: Int64
    private let isInImage: Bool
    private let image: SharedFD

    /// - Parameters:
    ///   - target: a directory of the file system that is written to.
    ///   - host: one of the host's, where that is the file system of an image that takes its blocks from there.
    init(_ limits: ImportLimits, target: SharedFD, host: SharedFD? = nil) throws(CtrError) {
        self.limits = limits
        isInImage = host != nil
        image = target
        let target = host ?? target
        self.target = target
        let status = try describing("free space") { () throws(SysError) in try target.fd.fileSystemStatus() }
        reserve = limits.reserve ?? min(512 << 20, status.size / 50)
        try checkSpace(0)
    }

    /// Counts one file, directory or link.
    func addEntry() throws(CtrError) {
        entries += 1
        if entries > limits.entries {
            throw CtrError(.badInput, "more than \(limits.entries) entries (a limit of the import)")
        }
        if entries % 4096 == 0 { try checkSpace(0) }
    }

    /// Counts bytes before they are written.
    func addBytes(_ count: Int64) throws(CtrError) {
        let (sum, overflow) = bytes.addingReportingOverflow(count)
        if overflow || sum > limits.bytes {
            throw CtrError(.badInput, "more than \(Size.format(limits.bytes)) of data (a limit of the import)")
        }
        bytes = sum
        if bytes - checkedAt >= 32 << 20 { try checkSpace(0) }
    }

    /// Throws `io` with ENOSPC unless `wanted` bytes fit and leave the reserve.
    func checkSpace(_ wanted: Int64) throws(CtrError) {
        checkedAt = bytes
        let (target, image, isInImage) = (target, image, isInImage)
        let status = try describing("free space") { () throws(SysError) in
            // What has been written so far takes its blocks only then.
            if isInImage { try image.fd.syncFileSystem() }
            return try target.fd.fileSystemStatus()
        }
        if status.free - reserve < wanted || (status.inodes > 0 && status.freeInodes < 64) {
            throw CtrError(
                .io,
                "no space: \(Size.format(status.free)) free on the host's file system, of which "
                    + "\(Size.format(reserve)) stay free (make room there)", errno: Errno.noSpace)
        }
    }

    /// Throws `badInput` where so few packed bytes cannot honestly hold so many.
    func checkRatio(unpacked: Int64, packed: Int64) throws(CtrError) {
        if unpacked > 64 << 20, unpacked / max(packed, 1) > limits.ratio {
            throw CtrError(
                .badInput,
                "a decompression bomb: \(Size.format(unpacked)) from \(Size.format(packed)) (limit \(limits.ratio) to 1)"
            )
        }
    }
}

/// Things left out on purpose, counted by kind so that they are told once at the end.
final class Notes {
    private var counts: [String: (count: Int, example: String)] = [:]
    func add(_ what: String, _ path: EntryPath) {
        if let old = counts[what] {
            counts[what] = (old.count + 1, old.example)
        } else if counts.count < 64 {
            counts[what] = (1, path.text)
        }
    }
    func report(_ progress: TemplateProgress) {
        for (what, seen) in counts.sorted(by: { $0.key < $1.key }) {
            progress(.note("\(what): \(seen.count), the first \(seen.example)"))
        }
        counts = [:]
    }
}
