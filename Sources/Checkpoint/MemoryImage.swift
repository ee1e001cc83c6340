internal import Kernel
internal import Model

/// The memory of a process in a checkpoint, as criu has written it: page after page.
enum MemoryImage {
    private static let page = 4096
    /// Bytes of zeros from which on a hole is worth its place among the file's extents.
    private static let least = 16 * page
    /// Bytes that are sent to the disk at a time, while what follows is summed up.
    private static let portion: Int64 = 32 << 20

    /// Sums a file up, and gives the space back of what in it is zero: pages that a program has cleared. It reads as before.
    /// - Parameter file: open for reading and writing. What is left of it is on its way to the disk, and its offset at the start.
    /// - Returns: the sum, as ``CRC32C/hex``.
    static func seal(_ file: SharedFD) throws(CtrError) -> String {
        var sum = CRC32C()
        var offset: Int64 = 0
        var written: Int64 = 0
        try describing("read") { () throws(SysError) in
            try file.fd.forEachPiece { piece in
                sum.update(piece)
                // A hint: on a file system that knows no holes the zeros are stored.
                for zeros in zeros(of: piece) {
                    try? file.fd.punch(offset + Int64(zeros.lowerBound), Int64(zeros.count))
                }
                offset += Int64(piece.count)
                if offset - written >= portion {
                    file.fd.startWriting(written, offset - written)
                    written = offset
                }
            }
            file.fd.startWriting(written)
        }
        return sum.hex
    }

    /// Runs of whole pages of zeros, long enough for a hole.
    static func zeros(of piece: UnsafeRawBufferPointer) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var start: Int?
        let end = piece.count / page * page
        for offset in stride(from: 0, through: end, by: page) {
            let isZero = offset < end && isZero(UnsafeRawBufferPointer(rebasing: piece[offset..<(offset + page)]))
            if isZero, start == nil { start = offset }
            if !isZero, let from = start {
                if offset - from >= least { found.append(from..<offset) }
                start = nil
            }
        }
        return found
    }

    private static func isZero(_ page: UnsafeRawBufferPointer) -> Bool {
        page.bindMemory(to: UInt64.self).allSatisfy { $0 == 0 }
    }
}
