public import Kernel
public import Model

/// Reads a ``VPSArchive`` front to back: ``manifest()``, ``template(into:)``, ``disk(into:_:)``, ``finish()``. Its input is hostile:
/// what is malformed or leads outside is `badInput`, and nothing of it counts before ``finish()`` has returned.
public final class VPSArchiveReader {
    private let reader: TarReader
    private let unpacker: (ended: () -> Bool, finish: () throws(CtrError) -> Void)
    private let notes = Notes()
    private let limits = ImportLimits()
    private let progress: TemplateProgress
    /// Read, and not used yet.
    private var pending: TreeEntry?

    /// - Parameter file: plain or packed; `-`: standard input, packed with zstd, as `export` writes it there.
    /// - Throws: `notFound`, `badInput`, `unavailable` where the host lacks the decompressor.
    public init(_ file: String, progress: @escaping TemplateProgress) throws(CtrError) {
        self.progress = progress
        let scratch = try describing("/tmp") { () throws(SysError) in SharedFD(try Kernel.open("/tmp", .directory)) }
        let (input, compression) = try VPSArchiveReader.open(file)
        var source = input
        var tool: ToolHolder?
        if let program = compression.tool {
            var output: SharedFD?
            tool = ToolHolder(
                try Tool.reading(
                    program.name, package: program.package, ["-dc"], stdin: .file(input), scratch: scratch,
                    output: &output))
            source = output!
        }
        var told: Int64 = 0
        let stream = ArchiveStream(source) { (done) throws(CtrError) in
            if done - told >= 16 << 20 {
                told = done
                progress(.progress(done: done, total: 0))
            }
        }
        stream.digest = SHA256()
        unpacker = ({ stream.ended }, { () throws(CtrError) in try tool?.finish() })
        reader = TarReader(stream, limits: limits, notes: notes, requiresEnd: true, rules: .layer)
    }

    private static func open(_ file: String) throws(CtrError) -> (SharedFD, Compression) {
        if file == "-" {
            return (try describing("standard input") { () throws(SysError) in SharedFD(try FD.standard(0)) }, .zstd)
        }
        let (input, type, magic): (SharedFD, FileType, [UInt8])
        do throws(SysError) {
            input = SharedFD(try Kernel.open(file, [.readOnly, .nonBlocking, .noControllingTerminal]))
            type = try input.fd.status().type
            magic = type == .regular ? try input.fd.read(upTo: 16) : []
            if type == .regular { try input.fd.seek(.start, 0) }
        } catch { throw CtrError(error.errno == Errno.noEntry ? .notFound : .io, file.escaped, cause: error) }
        guard type == .regular else { throw CtrError(.badInput, "\(file.escaped): not a regular file") }
        return (input, try Compression(magic: magic))
    }

    /// What comes first.
    public func manifest() throws(CtrError) -> VPSArchive {
        try explaining { () throws(CtrError) in
            guard let entry = try reader.next(), entry.path.bytes == Array(VPSArchive.manifestName.utf8) else {
                throw CtrError(.badInput, "not an archive of ctr export (it does not begin with ctr.json)")
            }
            let archive = try JSONFile.decode(VPSArchive.self, try small(entry), VPSArchive.manifestName)
            guard VPSArchive.formats.contains(archive.format), (archive.format == 1) == (archive.snapshots == nil)
            else {
                throw CtrError(
                    .badInput,
                    "an archive of format \(archive.format), of which this ctr knows nothing (use a newer one)")
            }
            guard archive.config.version == 1, archive.template.version == 1 else {
                throw CtrError(.badInput, "its configuration is of a later version (use a newer ctr)")
            }
            try archive.template.defaults.validate()
            return archive
        }
    }

    /// The template's files.
    /// - Parameter writer: nil: they are read only.
    /// - Returns: ``TreeListing`` of them.
    func template(into writer: TreeWriter?) throws(CtrError) -> String {
        var listing = TreeListing()
        try section([VPSArchive.templateName], writer) { listing.add($0) }
        return listing.text()
    }

    /// The files of the disk, and of the snapshots.
    /// - Parameters:
    ///   - data: of a new, empty disk.
    ///   - tree: the snapshots that the archive has, with the ids that they get.
    ///   - host: a directory of the host's file system where `data` lies in an image, which has an end of its own.
    ///   - reserve: bytes that stay free on the host's file system.
    public func disk(
        into data: SnapshotData, snapshots tree: SnapshotTree, host: SharedFD?, reserve: Int64
    ) throws(CtrError) {
        var limits = limits
        limits.reserve = reserve
        if host != nil { (limits.bytes, limits.entries) = (.max, .max) }
        for (number, snapshot) in tree.snapshots.enumerated() {
            try data.fillSnapshot(snapshot.id) { (upper) throws(CtrError) in
                try fill(upper, VPSArchive.place(ofSnapshot: number), like: snapshot.parent, data, limits, host)
            }
        }
        try fill(data.upper(nil), [VPSArchive.diskName], like: tree.current, data, limits, host)
    }

    /// - Parameter before: the snapshot with which files that are alike share their blocks, as they did.
    private func fill(
        _ upper: SharedFD, _ place: [String], like before: String?, _ data: SnapshotData, _ limits: ImportLimits,
        _ host: SharedFD?
    ) throws(CtrError) {
        let budget = try Budget(limits, target: upper, host: host)
        let writer = TreeWriter(root: upper, budget: budget, notes: notes, rules: .layer)
        let sharing = try before.map { (id) throws(CtrError) in Sharing(before: try data.upper(id)) }
        try section(place, writer, sharing) { _ in }
    }

    /// Holds the archive against its sum.
    /// - Throws: `badInput` unless it is whole.
    public func finish() throws(CtrError) {
        try explaining { () throws(CtrError) in
            guard let entry = try next(), entry.path.bytes == Array(VPSArchive.sumName.utf8),
                let digest = reader.digestBefore
            else { throw CtrError(.badInput, "its sum is missing: the archive is cut off or damaged") }
            let sum = String(decoding: try small(entry), as: UTF8.self)
            guard sum == digest.hex() + "\n" else {
                throw CtrError(.badInput, "its sum is wrong: the archive is damaged")
            }
            if try reader.next() != nil { throw CtrError(.badInput, "files behind its end") }
        }
        try unpacker.finish()
        notes.report(progress)
    }

    // MARK: parts

    /// The entry that was looked at, or the one behind it.
    private func next() throws(CtrError) -> TreeEntry? {
        if let pending { return pending }
        return try reader.next()
    }

    private func section(
        _ place: [String], _ writer: TreeWriter?, _ sharing: Sharing? = nil, _ each: (TreeEntry) -> Void
    ) throws(CtrError) {
        let root = EntryPath(place)
        progress(.step(place.joined(separator: " ")))
        try explaining { () throws(CtrError) in
            while let entry = try next() {
                pending = entry
                guard entry.path.isAtOrBelow(root) else { break }
                pending = nil
                let inside = try entry.below(root)
                each(inside)
                guard let writer else { continue }
                try writer.add(inside) { (file) throws(CtrError) in
                    try copyData(of: inside, writer, to: file)
                    sharing?.share(inside, file)
                }
            }
            guard pending != nil else { throw ArchiveStream.truncated }
            try writer?.finish()
        }
    }

    private func copyData(of entry: TreeEntry, _ writer: TreeWriter, to target: SharedFD) throws(CtrError) {
        var position: Int64 = 0
        try reader.readData { (part, offset) throws(CtrError) in
            // Zeros become holes: they need no space, however many an archive claims to have.
            if part.allSatisfy({ $0 == 0 }) { return try writer.count(Int64(part.count), of: entry) }
            if offset != position {
                do throws(SysError) { try target.fd.seek(.start, offset) } catch { throw writer.failure(entry, error) }
            }
            try writer.write(part, to: target.fd, of: entry)
            position = offset + Int64(part.count)
        }
        if position < entry.size {
            do throws(SysError) { try target.fd.truncate(entry.size) } catch { throw writer.failure(entry, error) }
        }
    }

    private func small(_ entry: TreeEntry) throws(CtrError) -> [UInt8] {
        guard entry.kind == .regular, entry.size <= Int64(JSONFile.limit), entry.extents == nil else {
            throw CtrError(.badInput, "entry \(entry.path.text): malformed")
        }
        var bytes: [UInt8] = []
        try reader.readData { (part, _) throws(CtrError) in bytes += part }
        return bytes
    }

    /// A stream that ends too early is the decompressor's failure first: it knows why.
    private func explaining<T>(_ body: () throws(CtrError) -> T) throws(CtrError) -> T {
        do throws(CtrError) { return try body() } catch {
            if unpacker.ended() { try unpacker.finish() }
            throw error
        }
    }
}

extension TreeEntry {
    /// As it is named below a directory of the archive.
    fileprivate func below(_ root: EntryPath) throws(CtrError) -> TreeEntry {
        var entry = self
        entry.path = path.relative(to: root)
        if case .hardLink(let target) = kind {
            guard target.isAtOrBelow(root) else {
                throw CtrError(.badInput, "entry \(path.text): a hard link to outside, \(target.text)")
            }
            entry.kind = .hardLink(target: target.relative(to: root))
        }
        return entry
    }
}

/// A tool that is finished once, by whoever comes first; stopped where nobody does.
private final class ToolHolder {
    private var tool: Tool?

    init(_ tool: consuming Tool) { self.tool = consume tool }

    func finish() throws(CtrError) {
        guard let tool = tool.take() else { return }
        try tool.finish(.badInput)
    }
}
