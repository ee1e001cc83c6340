internal import Kernel
internal import Model

/// A stream of bytes, read through a buffer: an archive's file, or what a decompressor writes.
final class ArchiveStream {
    private let fd: SharedFD
    private let buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    /// Bytes given out so far.
    private(set) var position: Int64 = 0
    /// The hash of all bytes given out; nil: nobody asks.
    var digest: SHA256?
    /// Whether the end was seen.
    private(set) var ended = false
    /// Called each time the buffer is filled, with ``position``: for limits and progress.
    private let onFill: (Int64) throws(CtrError) -> Void

    init(_ fd: SharedFD, onFill: @escaping (Int64) throws(CtrError) -> Void = { (_) throws(CtrError) in }) {
        self.fd = fd
        self.onFill = onFill
        buffer = .allocate(byteCount: 1 << 18, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// The next bytes, at most `limit`; empty at the end. Valid until the next call.
    func next(_ limit: Int64) throws(CtrError) -> UnsafeRawBufferPointer {
        if start == end {
            try onFill(position)
            start = 0
            end = try describing("read") { () throws(SysError) in try fd.fd.read(into: buffer) }
            ended = end == 0
        }
        let n = Int(min(limit, Int64(end - start)))
        let part = UnsafeRawBufferPointer(rebasing: buffer[start..<start + n])
        start += n
        position += Int64(n)
        digest?.update(part)
        return part
    }

    /// At the stream's beginning: throws `badInput` for an archive that is packed, which only a file can be read from.
    func refusePacked() throws(CtrError) {
        let first = try next(6)
        if try Compression(magic: Array(first)) != .none {
            throw CtrError(
                .badInput, "the archive is packed (unpack it on the way: zcat, xzcat or zstdcat FILE | ctr cp - ...)")
        }
        start -= first.count
        position -= Int64(first.count)
    }

    /// Exactly `count` bytes. Throws `badInput` where the stream ends before.
    func exactly(_ count: Int) throws(CtrError) -> [UInt8] {
        var all: [UInt8] = []
        all.reserveCapacity(min(count, 1 << 20))
        while all.count < count {
            let part = try next(Int64(count - all.count))
            if part.isEmpty { throw ArchiveStream.truncated }
            all += part
        }
        return all
    }

    /// One block of `count` bytes, or nil at the end of the stream; an end inside it is `badInput`.
    func block(_ count: Int) throws(CtrError) -> [UInt8]? {
        let first = try next(Int64(count))
        if first.isEmpty { return nil }
        if first.count == count { return Array(first) }
        let head = Array(first)
        return head + (try exactly(count - head.count))
    }

    func skip(_ count: Int64) throws(CtrError) {
        var rest = count
        while rest > 0 {
            let part = try next(rest)
            if part.isEmpty { throw ArchiveStream.truncated }
            rest -= Int64(part.count)
        }
    }

    static let truncated = CtrError(.badInput, "the archive is truncated")
}

/// How an archive is packed, told by its first bytes and never by its name.
enum Compression: CaseIterable {
    case none, gzip, xz, zstd

    /// Throws `badInput` for packings that are known and not supported.
    init(magic: [UInt8]) throws(CtrError) {
        if magic.starts(with: [0x1f, 0x8b]) {
            self = .gzip
        } else if magic.starts(with: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]) {
            self = .xz
        } else if magic.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
            self = .zstd
        } else if magic.count >= 4, magic[0] & 0xf0 == 0x50, magic[1...3].elementsEqual([0x2a, 0x4d, 0x18]) {
            self = .zstd
        } else if magic.starts(with: Array("BZh".utf8)) {
            throw CtrError(.badInput, "packed with bzip2 (unpack it first: gzip, xz and zstd are read)")
        } else if magic.starts(with: [0x50, 0x4b, 3, 4]) {
            throw CtrError(.badInput, "a zip file, not a tar archive")
        } else {
            self = .none
        }
    }

    /// By the ending of a file's name, for export; nil for others.
    init?(fileName: String) {
        let all: [(String, Compression)] = [
            (".tar", .none), (".tar.gz", .gzip), (".tgz", .gzip), (".tar.xz", .xz), (".txz", .xz),
            (".tar.zst", .zstd), (".tzst", .zstd),
        ]
        guard let match = all.first(where: { fileName.hasSuffix($0.0) && fileName.utf8.count > $0.0.utf8.count }) else {
            return nil
        }
        self = match.1
    }

    /// The program and the Debian package that has it.
    var tool: (name: String, package: String)? {
        switch self {
        case .none: nil
        case .gzip: ("gzip", "gzip")
        case .xz: ("xz", "xz-utils")
        case .zstd: ("zstd", "zstd")
        }
    }

    /// Throws `unavailable` where the host lacks the program.
    func requireTool() throws(CtrError) {
        if let tool { try Tool.require(tool.name, package: tool.package) }
    }
}
