internal import Kernel
internal import Model

/// Writes a tar archive in the PAX format, with sparse files as GNU tar's 1.0 and extended attributes as
/// `SCHILY.xattr.*`: GNU tar, bsdtar, Python and ``TarReader`` read it back whole.
final class TarWriter {
    private let output: SharedFD
    private var buffer: [UInt8] = []
    private(set) var written: Int64 = 0
    /// The hash of all that was written; nil: nobody asks.
    var digest: SHA256?

    /// Where a file that has become shorter while it was read is told of; nil: it is an error.
    private let padding: Notes?

    init(_ output: SharedFD, padding: Notes? = nil) {
        self.output = output
        self.padding = padding
        buffer.reserveCapacity(1 << 18)
    }

    /// Writes records that are about the archive as a whole. Programs that do not know a key skip it.
    func addGlobal(_ records: PaxRecords) throws(CtrError) {
        try addMeta(UInt8(ascii: "g"), Array("GlobalHead".utf8), records)
    }

    /// Writes one entry; `file` gives a regular file's data.
    func add(_ entry: TreeEntry, _ file: SharedFD?) throws(CtrError) {
        var name = entry.path.isRoot ? Array("./".utf8) : entry.path.bytes
        if entry.kind == .directory, !entry.path.isRoot { name.append(UInt8(ascii: "/")) }
        var header = Header(name: name, entry: entry)
        var map: [UInt8] = []
        var extents = [Extent(offset: 0, length: entry.size)]
        if entry.kind == .regular {
            if let holes = entry.extents {
                extents = holes
                map = sparseMap(entry)
                header.makeSparse(entry, map: map)
            }
            header.setSize(Int64(map.count) + extents.reduce(0) { $0 + $1.length })
        }
        if !header.records.isEmpty { try addMeta(UInt8(ascii: "x"), entry.path.name, header.records) }
        try write(header.encoded())
        try write(map)
        guard entry.kind == .regular, let file else { return }
        for extent in extents { try copy(extent, of: entry, file) }
        try pad()
    }

    /// Writes a file of these bytes, root's alone.
    func add(_ name: String, _ data: [UInt8]) throws(CtrError) {
        let entry = TreeEntry(
            path: .root.appending(Array(name.utf8)), kind: .regular, permissions: 0o600, uid: 0, gid: 0,
            modified: FileTime(seconds: FileTime.now.seconds), size: Int64(data.count))
        try add(entry, nil)
        try write(data)
        try pad()
    }

    /// Writes the end mark and what is buffered.
    func finish() throws(CtrError) {
        try write([UInt8](repeating: 0, count: 1024))
        let rest = Int(written % 10240)
        if rest > 0 { try write([UInt8](repeating: 0, count: 10240 - rest)) }
        try flush()
    }

    /// Offset and length of each piece, a last empty piece at the file's end, padded to whole blocks.
    private func sparseMap(_ entry: TreeEntry) -> [UInt8] {
        var extents = entry.extents ?? []
        if extents.last.map({ $0.offset + $0.length }) != entry.size {
            extents.append(Extent(offset: entry.size, length: 0))
        }
        var text = Array("\(extents.count)\n".utf8)
        for extent in extents { text += Array("\(extent.offset)\n\(extent.length)\n".utf8) }
        return text + [UInt8](repeating: 0, count: (512 - text.count % 512) % 512)
    }

    private func addMeta(_ type: UInt8, _ name: [UInt8], _ records: PaxRecords) throws(CtrError) {
        let data = records.encoded()
        var header = Header(type: type, name: Array("PaxHeaders/".utf8) + name.prefix(80))
        header.setSize(Int64(data.count))
        try write(header.encoded())
        try write(data)
        try pad()
    }

    private func copy(_ extent: Extent, of entry: TreeEntry, _ file: SharedFD) throws(CtrError) {
        do { try file.fd.seek(.start, extent.offset) } catch { throw CtrError(.io, entry.path.text, cause: error) }
        var left = extent.length
        while left > 0 {
            var part: [UInt8]
            do { part = try file.fd.read(upTo: Int(min(left, 1 << 18))) } catch {
                throw CtrError(.io, entry.path.text, cause: error)
            }
            if part.isEmpty {
                // Its size is in the archive already.
                guard let padding else { throw CtrError(.io, "\(entry.path.text): shorter than its size") }
                padding.add("files that became shorter while they were read, filled up with zeros", entry.path)
                part = [UInt8](repeating: 0, count: Int(min(left, 1 << 18)))
            }
            left -= Int64(part.count)
            try write(part)
        }
    }

    private func write(_ bytes: [UInt8]) throws(CtrError) {
        written += Int64(bytes.count)
        digest?.update(bytes)
        if bytes.count >= 65536 {
            try flush()
            return try describing("write the archive") { () throws(SysError) in try output.fd.writeAll(bytes) }
        }
        buffer += bytes
        if buffer.count >= 1 << 18 { try flush() }
    }

    private func flush() throws(CtrError) {
        try describing("write the archive") { () throws(SysError) in try output.fd.writeAll(buffer) }
        buffer.removeAll(keepingCapacity: true)
    }

    private func pad() throws(CtrError) {
        let rest = Int(written % 512)
        if rest > 0 { try write([UInt8](repeating: 0, count: 512 - rest)) }
    }
}

extension TarWriter {
    /// A ustar header and the extended records for what does not fit into it.
    fileprivate struct Header {
        var block = [UInt8](repeating: 0, count: 512)
        var records = PaxRecords()

        init(type: UInt8, name: [UInt8]) {
            put(name.prefix(100), at: 0)
            put("ustar\u{0}00".utf8, at: 257)
            block[156] = type
            octal(0o644, 100, 8)
            octal(0, 108, 8)
            octal(0, 116, 8)
            octal(0, 136, 12)
        }

        init(name: [UInt8], entry: TreeEntry) {
            self.init(type: UInt8(ascii: "0"), name: name)
            octal(Int64(entry.permissions), 100, 8)
            if name.count > 100 { addText("path", name) }
            if !octal(Int64(entry.uid), 108, 8) { records.append("uid", Array("\(entry.uid)".utf8)) }
            if !octal(Int64(entry.gid), 116, 8) { records.append("gid", Array("\(entry.gid)".utf8)) }
            setTime(entry.modified)
            setKind(entry.kind)
            for (key, value) in entry.attributes { records.append("SCHILY.xattr.\(key)", value) }
        }

        private mutating func setKind(_ kind: TreeEntry.Kind) {
            switch kind {
            case .regular: break
            case .directory: block[156] = UInt8(ascii: "5")
            case .fifo: block[156] = UInt8(ascii: "6")
            case .symlink(let target): setLink(UInt8(ascii: "2"), target)
            case .hardLink(let target): setLink(UInt8(ascii: "1"), target.bytes)
            case .character(let number): setDevice(UInt8(ascii: "3"), number)
            case .block(let number): setDevice(UInt8(ascii: "4"), number)
            }
        }

        private mutating func setLink(_ type: UInt8, _ target: [UInt8]) {
            block[156] = type
            put(target.prefix(100), at: 157)
            if target.count > 100 { addText("linkpath", target) }
        }

        private mutating func setDevice(_ type: UInt8, _ number: DeviceNumber) {
            block[156] = type
            octal(Int64(number.major), 329, 8)
            octal(Int64(number.minor), 337, 8)
        }

        private mutating func setTime(_ time: FileTime) {
            if octal(time.seconds, 136, 12), time.nanoseconds == 0 { return }
            // Before 1970 the fraction counts downwards from the text's point of view.
            let back = time.seconds < 0 && time.nanoseconds > 0
            let seconds = back ? time.seconds + 1 : time.seconds
            let nanoseconds = back ? 1_000_000_000 - time.nanoseconds : time.nanoseconds
            let digits = String(nanoseconds)
            let sign = back && seconds == 0 ? "-" : ""
            let fraction = String(repeating: "0", count: 9 - digits.count) + digits
            records.append("mtime", Array("\(sign)\(seconds).\(fraction)".utf8))
        }

        mutating func makeSparse(_ entry: TreeEntry, map: [UInt8]) {
            records.append("GNU.sparse.major", Array("1".utf8))
            records.append("GNU.sparse.minor", Array("0".utf8))
            records.append("GNU.sparse.name", entry.path.bytes)
            records.append("GNU.sparse.realsize", Array("\(entry.size)".utf8))
            for i in 0..<100 { block[i] = 0 }
            put((Array("GNUSparseFile.0/".utf8) + entry.path.name).prefix(100), at: 0)
        }

        mutating func setSize(_ size: Int64) {
            if !octal(size, 124, 12) { records.append("size", Array("\(size)".utf8)) }
        }

        private mutating func addText(_ key: String, _ value: [UInt8]) {
            // Extended headers are UTF-8 unless they say otherwise.
            if String(validating: value, as: UTF8.self) == nil, records["hdrcharset"] == nil {
                records.append("hdrcharset", Array("BINARY".utf8))
            }
            records.append(key, value)
        }

        private mutating func put(_ bytes: some Sequence<UInt8>, at offset: Int) {
            for (i, byte) in bytes.enumerated() { block[offset + i] = byte }
        }

        /// Writes a number as octal digits and a NUL; false, leaving 0, where it does not fit.
        @discardableResult
        private mutating func octal(_ value: Int64, _ offset: Int, _ width: Int) -> Bool {
            let fits = value >= 0 && value < Int64(1) << Int64(3 * (width - 1))
            let digits = String(fits ? value : 0, radix: 8)
            put((String(repeating: "0", count: width - 1 - digits.count) + digits).utf8, at: offset)
            return fits
        }

        func encoded() -> [UInt8] {
            var out = self
            for i in 148..<156 { out.block[i] = 32 }
            let sum = out.block.reduce(0) { $0 + Int($1) }
            let digits = String(sum, radix: 8)
            out.put((String(repeating: "0", count: 6 - digits.count) + digits + "\u{0} ").utf8, at: 148)
            return out.block
        }
    }
}
