internal import Kernel
internal import Model

/// Unpacks tar archives and image layers, plain or packed, through a ``TreeWriter``.
struct Unpacker {
    let writer: TreeWriter
    /// nil: only ``limits`` hold.
    let budget: Budget?
    let limits: ImportLimits
    let notes: Notes
    /// A directory on the file system that is written to, for the complaints of tools.
    let scratch: SharedFD
    let progress: TemplateProgress

    /// What an archive is, which decides on names and its end.
    enum Role {
        /// A root file system. Names that begin with `.wh.` are ordinary.
        case tree
        /// An image layer: `.wh.` names delete what lower layers have. Its digest vouches for its end.
        case layer
    }

    /// Unpacks an archive from an open regular file. Returns the records of its global headers.
    @discardableResult
    func unpack(_ file: SharedFD, _ role: Role) throws(CtrError) -> PaxRecords {
        let (size, magic) = try describing("read") { () throws(SysError) in
            try file.fd.seek(.start, 0)
            let magic = try file.fd.read(upTo: 16)
            try file.fd.seek(.start, 0)
            return (try file.fd.status().size, magic)
        }
        if magic.isEmpty { throw CtrError(.badInput, "the file is empty") }
        let compression = try Compression(magic: magic)
        try budget?.checkSpace(size)
        guard let tool = compression.tool else {
            return try unpack(ArchiveStream(file, onFill: meter(file, size, packed: false)), role)
        }
        return try unpack(file, size, tool, role)
    }

    /// As ``unpack(_:_:)`` through a decompressor.
    private func unpack(
        _ file: SharedFD, _ size: Int64, _ tool: (name: String, package: String), _ role: Role
    ) throws(CtrError) -> PaxRecords {
        var output: SharedFD?
        let process = try Tool.reading(
            tool.name, package: tool.package, ["-dc"], stdin: .file(file), scratch: scratch, output: &output)
        let stream = ArchiveStream(output!, onFill: meter(file, size, packed: true))
        let globals: PaxRecords
        do { globals = try unpack(stream, role) } catch {
            // A truncated stream is the tool's failure first: it knows why. Otherwise it is stopped here.
            if stream.ended { try process.finish(.badInput) }
            throw error
        }
        try process.finish(.badInput)
        return globals
    }

    /// Watches the ratio of a packed archive and tells of progress. The tool reads through the same open file, so the
    /// file's offset is how far it has come.
    private func meter(_ file: SharedFD, _ size: Int64, packed: Bool) -> (Int64) throws(CtrError) -> Void {
        let (budget, progress) = (budget, progress)
        var told: Int64 = 0
        return { (unpacked) throws(CtrError) in
            let done = try describing("read") { () throws(SysError) in try file.fd.seek(.current, 0) }
            if packed { try budget?.checkRatio(unpacked: unpacked, packed: done) }
            if unpacked - told >= 4 << 20 {
                told = unpacked
                progress(.progress(done: done, total: size))
            }
        }
    }

    /// Unpacks an archive from a stream, to the stream's end.
    func unpack(_ stream: ArchiveStream, _ role: Role) throws(CtrError) -> PaxRecords {
        let reader = TarReader(stream, limits: limits, notes: notes, requiresEnd: role == .tree)
        while let entry = try reader.next() {
            if role == .layer, entry.path.name.starts(with: Whiteout.prefix) {
                try budget?.addEntry()
                try Whiteout.apply(entry, writer)
                continue
            }
            try writer.add(entry) { (file) throws(CtrError) in try copyData(of: entry, reader, to: file) }
        }
        return reader.globals
    }

    private func copyData(of entry: TreeEntry, _ reader: TarReader, to target: SharedFD) throws(CtrError) {
        var position: Int64 = 0
        try reader.readData { (part, offset) throws(CtrError) in
            if offset != position {
                do throws(SysError) { try target.fd.seek(.start, offset) } catch { throw writer.failure(entry, error) }
            }
            try writer.write(part, to: target.fd, of: entry)
            position = offset + Int64(part.count)
        }
    }
}

/// Whiteouts of image layers: see "Whiteouts" in the OCI image specification's layer.md.
enum Whiteout {
    static let prefix = Array(".wh.".utf8)
    private static let metaPrefix = Array(".wh..wh.".utf8)
    private static let opaque = Array(".wh..wh..opq".utf8)

    /// Deletes what lower layers have; what the present layer has made stays. In a first layer there is nothing to do.
    static func apply(_ entry: TreeEntry, _ writer: TreeWriter) throws(CtrError) {
        let name = entry.path.name
        // Others of this prefix are aufs's own book-keeping.
        if name.starts(with: metaPrefix), name != opaque { return }
        let target = Array(name.dropFirst(prefix.count))
        if target.isEmpty || target == [46] || target == [46, 46] {
            throw writer.failure(entry, "a whiteout that leads outside")
        }
        guard let made = writer.layerPaths else { return }
        guard let directory = try writer.existingDirectory(entry.path.parent, for: entry) else { return }
        writer.forgetDirectories()
        let parent = entry.path.parent
        do {
            if name == opaque {
                try removeLower(directory, parent, made)
            } else {
                try removeLower(Path(bytes: target), directory, parent.appending(target), made)
            }
        } catch { throw writer.failure(entry, error) }
    }

    /// Empties a directory of what is not of this layer.
    private static func removeLower(
        _ directory: SharedFD, _ path: EntryPath, _ made: Set<EntryPath>
    ) throws(SysError) {
        for child in try directory.fd.entries() {
            try removeLower(child.name, directory, path.appending(child.name.bytes), made)
        }
    }

    private static func removeLower(
        _ name: Path, _ directory: SharedFD, _ path: EntryPath, _ made: Set<EntryPath>
    ) throws(SysError) {
        guard made.contains(path) else { return try directory.fd.removeTree(name) }
        guard try directory.fd.status(of: name).type == .directory else { return }
        try removeLower(SharedFD(try directory.fd.open(name, [.directory, .noFollow])), path, made)
    }
}
