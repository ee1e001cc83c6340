internal import Kernel
internal import Model

/// Where a sparse file of a tar archive has its data. GNU tar has written this in four ways; see "Storing Sparse Files"
/// in its manual.
struct SparseMap {
    var extents: [Extent] = []
    /// Logical bytes of the file.
    var size: Int64 = 0

    /// More pieces than this are refused: no file system makes such a file by accident.
    private static let limit = 1 << 20

    /// The map of an entry, nil where it is not sparse. Reads what of the map lies in the stream (old GNU, 1.0) and takes
    /// it off `stored`, the bytes of data that follow.
    static func find(
        _ header: TarHeader, _ records: PaxRecords, stream: ArchiveStream, stored: inout Int64
    ) throws(CtrError) -> SparseMap? {
        if header.type == UInt8(ascii: "S") { return try oldGNU(header, stream) }
        if let major = records["GNU.sparse.major"] {
            guard major.elementsEqual("1".utf8), (records["GNU.sparse.minor"] ?? []).elementsEqual("0".utf8) else {
                throw CtrError(.badInput, "an unknown version of the sparse format")
            }
            return try version1(records, stream, &stored)
        }
        if let text = records["GNU.sparse.size"] { return try version0(records, text) }
        return nil
    }

    /// Adds a piece; a piece of no bytes only marks the end.
    private mutating func append(_ offset: Int64, _ length: Int64) throws(CtrError) {
        if length == 0 { return }
        if extents.count >= SparseMap.limit { throw CtrError(.badInput, "its sparse map has too many pieces") }
        extents.append(Extent(offset: offset, length: length))
    }

    /// Throws unless the pieces ascend, do not overlap and lie within the file; returns their sum.
    func validate() throws(CtrError) -> Int64 {
        var end: Int64 = 0
        var sum: Int64 = 0
        for extent in extents {
            let (next, overflow) = extent.offset.addingReportingOverflow(extent.length)
            guard extent.offset >= end, extent.length > 0, !overflow, next <= size else {
                throw CtrError(.badInput, "its sparse map is malformed")
            }
            end = next
            sum += extent.length
        }
        return sum
    }

    private static func oldGNU(_ header: TarHeader, _ stream: ArchiveStream) throws(CtrError) -> SparseMap {
        var map = SparseMap()
        map.size = try header.number(483..<495, "real size")
        var block = header.block
        var (first, count, flag) = (386, 4, 482)
        while true {
            for i in 0..<count {
                let at = first + i * 24
                if block[at] == 0 { break }
                try map.append(
                    try TarHeader.number(block[at..<at + 12], "sparse map"),
                    try TarHeader.number(block[at + 12..<at + 24], "sparse map"))
            }
            if block[flag] == 0 { return map }
            block = try stream.exactly(512)
            (first, count, flag) = (0, 21, 504)
        }
    }

    private static func version0(_ records: PaxRecords, _ size: [UInt8]) throws(CtrError) -> SparseMap {
        var map = SparseMap()
        map.size = try TarHeader.decimal(size[...], "GNU.sparse.size")
        var numbers: [ArraySlice<UInt8>] = []
        if let text = records["GNU.sparse.map"] {
            numbers = text.split(separator: UInt8(ascii: ","))
        } else {
            // 0.0 repeats two keys, whose order carries the meaning.
            for (key, value) in records.all where key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes" {
                guard (key == "GNU.sparse.offset") == (numbers.count % 2 == 0) else {
                    throw CtrError(.badInput, "its sparse map is malformed")
                }
                numbers.append(value[...])
            }
        }
        guard numbers.count % 2 == 0 else { throw CtrError(.badInput, "its sparse map is malformed") }
        for i in stride(from: 0, to: numbers.count, by: 2) {
            try map.append(
                try TarHeader.decimal(numbers[i], "sparse map"), try TarHeader.decimal(numbers[i + 1], "sparse map"))
        }
        return map
    }

    /// The map stands before the data: a count, then offset and length of each piece, a decimal number a line, padded
    /// to whole blocks.
    private static func version1(
        _ records: PaxRecords, _ stream: ArchiveStream, _ stored: inout Int64
    ) throws(CtrError) -> SparseMap {
        var map = SparseMap()
        guard let size = records["GNU.sparse.realsize"] else {
            throw CtrError(.badInput, "a sparse file without its size")
        }
        map.size = try TarHeader.decimal(size[...], "GNU.sparse.realsize")
        var line: [UInt8] = []
        var numbers: [Int64] = []
        var wanted = 1
        while numbers.count < wanted {
            guard stored >= 512 else { throw CtrError(.badInput, "its sparse map is cut short") }
            let block = try stream.exactly(512)
            stored -= 512
            for byte in block where numbers.count < wanted {
                if byte != 10 {
                    line.append(byte)
                    if line.count > 20 { throw CtrError(.badInput, "its sparse map is malformed") }
                    continue
                }
                let number = try TarHeader.decimal(line[...], "sparse map")
                line = []
                if numbers.isEmpty {
                    guard number <= Int64(limit) else {
                        throw CtrError(.badInput, "its sparse map has too many pieces")
                    }
                    wanted = 1 + 2 * Int(number)
                }
                numbers.append(number)
            }
        }
        for i in stride(from: 1, to: wanted, by: 2) { try map.append(numbers[i], numbers[i + 1]) }
        return map
    }
}
