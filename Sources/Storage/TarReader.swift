internal import Kernel
internal import Model

/// Reads a tar archive entry by entry: ustar, PAX with global headers, GNU long names, base-256 numbers, sparse files in
/// the old GNU format and in 0.0, 0.1 and 1.0, extended attributes as `SCHILY.xattr.*`.
///
/// Use: call ``next()`` until it returns nil; after each regular file take its data with ``readData(_:)`` or leave it.
final class TarReader {
    private let stream: ArchiveStream
    private let limits: ImportLimits
    private let notes: Notes
    /// Whether the archive must have its end mark: without it nobody can tell a whole one from one cut between files.
    private let requiresEnd: Bool
    private let rules: TreeRules
    /// The hash of all bytes before the headers of the present entry, where ``ArchiveStream/digest`` is set.
    private(set) var digestBefore: SHA256?
    /// Records of global headers; the archive as a whole.
    private(set) var globals = PaxRecords()
    /// Bytes of the present entry's data not read yet, and the padding behind them.
    private var dataLeft: Int64 = 0
    private var padding: Int64 = 0
    private var extents: [Extent] = []
    private var headers = 0

    /// Extended headers and long names larger than this are refused.
    private static let metaLimit: Int64 = 8 << 20
    /// Bytes of extended headers before the present entry, and of all global ones.
    private var metaRead: Int64 = 0
    private var globalBytes = 0

    init(
        _ stream: ArchiveStream, limits: ImportLimits, notes: Notes, requiresEnd: Bool, rules: TreeRules = .template
    ) {
        self.rules = rules
        self.stream = stream
        self.limits = limits
        self.notes = notes
        self.requiresEnd = requiresEnd
    }

    /// The next entry; nil at the end of the archive. Skips what is left of the data before it.
    func next() throws(CtrError) -> TreeEntry? {
        try stream.skip(dataLeft + padding)
        dataLeft = 0
        padding = 0
        digestBefore = stream.digest
        var records = PaxRecords()
        var longName: [UInt8]?
        var longLink: [UInt8]?
        metaRead = 0
        while true {
            guard let header = try nextHeader() else {
                if longName != nil || longLink != nil || !records.isEmpty { throw ArchiveStream.truncated }
                return nil
            }
            switch header.type {
            case UInt8(ascii: "x"), UInt8(ascii: "X"): records.append(try PaxRecords(try meta(header)))
            case UInt8(ascii: "g"): globals.append(try globalRecords(try meta(header)))
            case UInt8(ascii: "L"): longName = TarHeader.text((try meta(header))[...])
            case UInt8(ascii: "K"): longLink = TarHeader.text((try meta(header))[...])
            case UInt8(ascii: "V"): try stream.skip(TarReader.padded(try header.number(124..<136, "size")))
            default: return try entry(header, records, name: longName, link: longLink)
            }
        }
    }

    /// Gives the present regular file's data in order to `body`, with its offset in the file.
    func readData(_ body: (UnsafeRawBufferPointer, Int64) throws(CtrError) -> Void) throws(CtrError) {
        for extent in extents {
            var offset = extent.offset
            let end = extent.offset + extent.length
            while offset < end {
                let part = try stream.next(end - offset)
                if part.isEmpty { throw ArchiveStream.truncated }
                dataLeft -= Int64(part.count)
                try body(part, offset)
                offset += Int64(part.count)
            }
        }
    }

    // MARK: headers

    private func nextHeader() throws(CtrError) -> TarHeader? {
        guard let block = try stream.block(512) else {
            if requiresEnd || headers == 0 { throw ArchiveStream.truncated }
            return nil
        }
        if block.allSatisfy({ $0 == 0 }) {
            try readEnd()
            return nil
        }
        headers += 1
        // Each entry has at most a few headers of its own; a stream of nothing but headers must end too.
        if headers > 4 * limits.entries {
            throw CtrError(.badInput, "more than \(limits.entries) entries (a limit of the import)")
        }
        return try TarHeader(block)
    }

    /// After the end mark only padding may follow: a second archive behind it would be lost without a word.
    private func readEnd() throws(CtrError) {
        while true {
            let part = try stream.next(1 << 18)
            if part.isEmpty { return }
            if !part.allSatisfy({ $0 == 0 }) { throw CtrError(.badInput, "data behind the archive's end mark") }
        }
    }

    private func meta(_ header: TarHeader) throws(CtrError) -> [UInt8] {
        let size = try header.number(124..<136, "size")
        guard size >= 0, size <= TarReader.metaLimit else {
            throw CtrError(.badInput, "an extended header of \(size) bytes (at most \(TarReader.metaLimit))")
        }
        metaRead += size
        if metaRead > TarReader.metaLimit {
            throw CtrError(.badInput, "extended headers of more than \(TarReader.metaLimit) bytes for one entry")
        }
        let data = try stream.exactly(Int(size))
        try stream.skip(TarReader.padded(size) - size)
        return data
    }

    private func globalRecords(_ data: [UInt8]) throws(CtrError) -> PaxRecords {
        let records = try PaxRecords(data)
        for (key, _) in records.all
        where ["path", "linkpath", "size"].contains(key) || key.hasPrefix("GNU.sparse.")
            || key.hasPrefix("SCHILY.xattr.")
        {
            throw CtrError(.badInput, "a global header sets '\(key.escaped)' for every entry")
        }
        globalBytes += data.count
        if globals.all.count + records.all.count > 1024 || globalBytes > Int(TarReader.metaLimit) {
            throw CtrError(.badInput, "more than 1024 records, or \(TarReader.metaLimit) bytes, in global headers")
        }
        return records
    }

    static func padded(_ size: Int64) -> Int64 { size > Int64.max - 511 ? size : (size + 511) & ~511 }

    // MARK: entries

    private func entry(
        _ header: TarHeader, _ records: PaxRecords, name longName: [UInt8]?, link longLink: [UInt8]?
    ) throws(CtrError) -> TreeEntry {
        let rawName = records["GNU.sparse.name"] ?? records["path"] ?? longName ?? header.name
        let link = records["linkpath"] ?? longLink ?? header.linkName
        do {
            return try entry(header, records, rawName, link)
        } catch {
            // Header fields are checked before the entry has a path: name it here.
            if error.message.hasPrefix("entry ") || error.code != .badInput { throw error }
            throw CtrError(error.code, "entry \(quoted(rawName)): \(error.message)", errno: error.errno)
        }
    }

    private func entry(
        _ header: TarHeader, _ records: PaxRecords, _ rawName: [UInt8], _ link: [UInt8]
    ) throws(CtrError) -> TreeEntry {
        var stored = try header.number(124..<136, "size")
        if let text = records["size"] { stored = try TarHeader.decimal(text[...], "size") }
        if stored < 0 || stored > Int64.max / 2 { throw CtrError(.badInput, "its size \(stored) is absurd") }
        let path = try EntryPath(archive: rawName, limits: limits)
        let kind = try kind(header, link, named: rawName)
        // Hard links repeat the size of their file and carry no data; see GNU tar's manual.
        if case .hardLink = kind { stored = 0 }
        if kind != .regular, stored != 0 { throw CtrError(.badInput, "has data, which its type has not") }
        var entry = TreeEntry(
            path: path, kind: kind, permissions: UInt32(try header.number(100..<108, "mode") & 0o7777),
            uid: try id(header.number(108..<116, "uid"), records["uid"] ?? globals["uid"], "uid"),
            gid: try id(header.number(116..<124, "gid"), records["gid"] ?? globals["gid"], "gid"),
            modified: FileTime(seconds: try header.number(136..<148, "mtime")))
        if let text = records["mtime"] ?? globals["mtime"] { entry.modified = try TarHeader.time(text, "mtime") }
        entry.attributes = try attributes(records, path)
        try locateData(&entry, header, records, stored)
        return entry
    }

    private func kind(_ header: TarHeader, _ link: [UInt8], named name: [UInt8]) throws(CtrError) -> TreeEntry.Kind {
        switch header.type {
        // Version 7 has no type for directories but a final slash.
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): return name.last == UInt8(ascii: "/") ? .directory : .regular
        case UInt8(ascii: "S"): return .regular
        case UInt8(ascii: "1"):
            do { return .hardLink(target: try EntryPath(archive: link, limits: limits)) } catch {
                throw CtrError(.badInput, "a hard link to outside: \(error.message)")
            }
        case UInt8(ascii: "2"):
            if link.isEmpty || link.contains(0) || link.count > 4095 {
                throw CtrError(.badInput, "a symbolic link whose target is empty, too long or has a NUL")
            }
            return .symlink(target: link)
        case UInt8(ascii: "3"), UInt8(ascii: "4"):
            let major = try header.number(329..<337, "device")
            let minor = try header.number(337..<345, "device")
            guard (0..<4096).contains(major), (0..<(1 << 20)).contains(minor) else {
                throw CtrError(.badInput, "the device number \(major):\(minor) is absurd")
            }
            let number = DeviceNumber(major: UInt32(major), minor: UInt32(minor))
            return header.type == UInt8(ascii: "3") ? .character(number) : .block(number)
        case UInt8(ascii: "5"): return .directory
        case UInt8(ascii: "6"): return .fifo
        default:
            throw CtrError(.badInput, "its type \(quoted([header.type])) is unknown")
        }
    }

    private func id(
        _ stored: Int64, _ record: [UInt8]?, _ what: String
    ) throws(CtrError) -> UInt32 {
        let value = try record.map { (text) throws(CtrError) in try TarHeader.decimal(text[...], what) } ?? stored
        // The last number means "leave it" to chown(2).
        guard value >= 0, value < Int64(UInt32.max) else { throw CtrError(.badInput, "its \(what) \(value) is absurd") }
        return UInt32(value)
    }

    private func attributes(
        _ records: PaxRecords, _ path: EntryPath
    ) throws(CtrError) -> [(name: String, value: [UInt8])] {
        var kept: [(name: String, value: [UInt8])] = []
        for (key, value) in records.all {
            if key.hasPrefix("SCHILY.acl.") {
                notes.add("ACLs in text form left out", path)
                continue
            }
            guard key.hasPrefix("SCHILY.xattr.") else { continue }
            let name = String(key.dropFirst("SCHILY.xattr.".count))
            if name.utf8.count > 255 || name.utf8.contains(0) {
                throw CtrError(.badInput, "an attribute's name is malformed")
            }
            if rules.keeps(attribute: name) {
                kept.append((name, try AttributePolicy.normalized(name, value, of: path)))
            } else {
                notes.add("attributes \(String(name.prefix(64)).escaped) left out", path)
            }
        }
        return kept
    }

    // MARK: data

    private func locateData(
        _ entry: inout TreeEntry, _ header: TarHeader, _ records: PaxRecords, _ stored: Int64
    ) throws(CtrError) {
        dataLeft = stored
        padding = TarReader.padded(stored) - stored
        extents = []
        guard entry.kind == .regular else { return }
        if let map = try SparseMap.find(header, records, stream: stream, stored: &dataLeft) {
            let sum = try map.validate()
            guard sum == dataLeft else {
                throw CtrError(.badInput, "its sparse map names \(sum) bytes, the archive has \(dataLeft)")
            }
            entry.size = map.size
            entry.extents = map.extents
            extents = map.extents
        } else {
            entry.size = stored
            extents = [Extent(offset: 0, length: stored)]
        }
    }
}
