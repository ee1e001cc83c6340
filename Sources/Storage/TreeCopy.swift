public import Kernel
public import Model

/// Files on their way between the host and a VPS: what `ctr cp` does once it has both roots.
public struct TreeCopy {
    /// Owners keep their numbers, and modes their set-user-id bits.
    public var archive: Bool
    /// Links of the host are followed. Those of a VPS never are.
    public var follow: Bool
    public let progress: TemplateProgress
    /// Asked now and then whether what has been written below a directory leaves room enough.
    public typealias RoomCheck = (SharedFD) throws(CtrError) -> Void
    public var room: RoomCheck?

    public init(archive: Bool, follow: Bool, progress: @escaping TemplateProgress) {
        self.archive = archive
        self.follow = follow
        self.progress = progress
    }

    /// A tree is as deep as this at most, and an archive holds no more entries than anyone could want.
    private static var limits: ImportLimits {
        var limits = ImportLimits()
        limits.entries = 1 << 40
        return limits
    }

    /// Copies a file or directory.
    /// - Throws: `notFound` for a source that is not there, `cannotCreate` for a target that can't be one, `failed` for a
    ///   file that is none (a device) or an owner without a number on the other side, `io`.
    public func run(
        from source: CopyPlace, _ path: String, to target: CopyPlace, _ name: String
    ) throws(CtrError) {
        let found = try source.source(path, follow: follow && !source.isGuest)
        let place = try target.target(name, for: found)
        let notes = Notes()
        let writer = TreeWriter(
            root: place.directory, budget: nil, notes: notes, rules: .copy, owners: owners(source, target.party),
            room: room)
        let reader = reader(found, source, notes)
        let size = found.status.type == .regular ? found.status.size : 0
        progress(.step("copy"))
        try TreeCopier(reader: reader, writer: writer, meter: CopyMeter(total: size, progress)).copy(to: place.path)
        try writer.finish()
        notes.report(progress)
    }

    /// Writes a tar archive in the PAX format.
    public func pack(from source: CopyPlace, _ path: String, to output: SharedFD) throws(CtrError) {
        let found = try source.source(path, follow: follow && !source.isGuest)
        let notes = Notes()
        let owners = owners(source, .host(user: 0, group: 0))
        let writer = TarWriter(output, padding: notes)
        var told: Int64 = 0
        progress(.step("pack"))
        let start = found.name.map { EntryPath.root.appending($0) } ?? .root
        try reader(found, source, notes).walk(from: start) { (entry, file) throws(CtrError) in
            let changed: TreeEntry
            do throws(CtrError) { changed = try owners.apply(to: entry) } catch {
                throw error.inside("entry \(entry.path.text)")
            }
            try writer.add(changed, file)
            if writer.written - told >= 16 << 20 {
                told = writer.written
                progress(.progress(done: told, total: 0))
            }
        }
        try writer.finish()
        notes.report(progress)
    }

    /// Unpacks a tar archive from a stream into a directory that is there.
    public func unpack(_ input: SharedFD, to target: CopyPlace, _ path: String) throws(CtrError) {
        let directory = try target.directory(path)
        let notes = Notes()
        let source = try CopyPlace.host(party: .host(user: 0, group: 0))
        let writer = TreeWriter(
            root: directory, budget: nil, notes: notes, rules: .copy, owners: owners(source, target.party),
            room: room)
        let unpacker = Unpacker(writer: writer, budget: nil, limits: TreeCopy.limits, notes: notes, scratch: directory)
        {
            _ in
        }
        var told: Int64 = 0
        progress(.step("unpack"))
        let stream = ArchiveStream(input) { (done) throws(CtrError) in
            if done - told < 16 << 20 { return }
            told = done
            progress(.progress(done: done, total: 0))
        }
        try stream.refusePacked()
        _ = try unpacker.unpack(stream, .tree)
        try writer.finish()
        notes.report(progress)
    }

    private func owners(_ source: CopyPlace, _ target: CopyParty) -> CopyOwners {
        CopyOwners(source: source.party, target: target, archive: archive, leavesGuest: source.isGuest)
    }

    private func reader(_ found: CopyPlace.Source, _ place: CopyPlace, _ notes: Notes) -> TreeReader {
        let rules = TreeRules(isCopy: true, followsLinks: follow && !place.isGuest)
        return TreeReader(root: found.file, limits: TreeCopy.limits, notes: notes, rules: rules)
    }
}
