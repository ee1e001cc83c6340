public import Kernel
public import Model

/// One VPS as a tar archive: everything that it takes to make it again on another host.
///
///     ctr.json     this value
///     template/    the root of its template
///     snapshots/N/ what it had written by its Nth snapshot, from 0, in whole; in archives of format 2
///     disk/        what it has written: the upper layer, with overlayfs's own whiteouts (character devices 0:0) and
///                  marks of opaque directories (trusted.overlay.opaque)
///     ctr.sum      the SHA-256 of every byte before, in hexadecimal
public struct VPSArchive: Codable, Sendable {
    /// The format of the archive.
    public var format = 1
    /// Those that are in it, oldest first.
    public var snapshots: SnapshotTree?
    public var config: VPSConfig
    /// The snapshot whose state it holds; nil: that of its moment.
    public var snapshot: String?
    /// RFC 3339, UTC.
    public var created: String
    public var template: Template
    /// What tells whether a host has the template already: ``TreeListing``.
    public var listing: String

    static let formats = 1...2
    static let manifestName = "ctr.json"
    static let templateName = "template"
    static let diskName = "disk"
    static let snapshotsName = "snapshots"
    static let sumName = "ctr.sum"

    public init(
        config: VPSConfig, snapshot: String?, snapshots: SnapshotTree?, created: String,
        template: borrowing OpenTemplate
    ) throws(CtrError) {
        self.config = config
        self.snapshot = snapshot
        self.created = created
        guard template.manifest.layers.count == 1 else {
            throw CtrError(.failed, "template \(template.manifest.name): has several layers, which no archive takes")
        }
        self.template = template.manifest
        self.template.vps = nil
        if let snapshots {
            self.snapshots = snapshots
            format = 2
        }
        listing = try template.listing()
    }

    /// Writes it.
    /// - Parameters:
    ///   - template: the root of the template's layer.
    ///   - data: of the disk, and of the snapshots by their ids.
    ///   - id: the snapshot that is written as the disk; nil: the disk, to which nobody writes meanwhile.
    ///   - file: see ``ArchiveOutput``.
    public func write(
        template: SharedFD, data: SnapshotData, as id: String?, to file: String, progress: @escaping TemplateProgress
    ) throws(CtrError) {
        try ArchiveOutput(file).write { (sink) throws(CtrError) in
            let writer = TarWriter(sink)
            writer.digest = SHA256()
            try writer.add(VPSArchive.manifestName, try JSONFile.encode(self))
            progress(.step("template"))
            try add(template, [VPSArchive.templateName], .template, writer, progress)
            for (number, snapshot) in (snapshots?.snapshots ?? []).enumerated() {
                progress(.step("snapshot \(snapshot.name)"))
                let place = VPSArchive.place(ofSnapshot: number)
                try add(data.upper(snapshot.id), place, .layer, writer, progress)
            }
            progress(.step("disk"))
            try add(data.upper(id), [VPSArchive.diskName], .layer, writer, progress)
            try writer.add(VPSArchive.sumName, Array((writer.digest ?? SHA256()).hex().utf8) + [10])
            try writer.finish()
        }
    }

    static func place(ofSnapshot number: Int) -> [String] { [snapshotsName, "\(number)"] }

    private func add(
        _ root: SharedFD, _ place: [String], _ rules: TreeRules, _ writer: TarWriter, _ progress: TemplateProgress
    ) throws(CtrError) {
        let notes = Notes()
        var told = writer.written
        let start = EntryPath(place)
        let reader = TreeReader(root: root, limits: ImportLimits(), notes: notes, rules: rules)
        try reader.walk(from: start) { (entry, file) throws(CtrError) in
            // What an import would refuse.
            if NodePolicy.verdict(entry, rules) != .keep { return notes.add("device nodes left out", entry.path) }
            try writer.add(entry, file)
            if writer.written - told >= 16 << 20 {
                told = writer.written
                progress(.progress(done: told, total: 0))
            }
        }
        notes.report(progress)
    }
}
