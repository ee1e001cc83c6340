internal import Kernel
public import Model

extension TemplateStore {
    /// The key of the global extended header under which an export carries the template's defaults, as JSON of
    /// ``Model/Template/Defaults``. Other programs that read tar skip it.
    static let defaultsKey = "CTR.template"

    /// Writes a template's root file system as a tar archive in the PAX format, packed as the name's ending says: `.tar`,
    /// `.tar.gz`, `.tar.xz` or `.tar.zst`. The archive appears whole or not at all. Throws `usage` for another ending,
    /// `cannotCreate` where the file exists, `unavailable` where the host lacks the compressor.
    public func exportTemplate(
        _ name: String, to file: String, progress: TemplateProgress = { _ in }
    ) throws(CtrError) {
        let template = try open(name)
        let output = try ArchiveOutput(file)
        let rootfs = SharedFD(try template.openLayer())
        let defaults = template.manifest.defaults
        try output.write { (sink) throws(CtrError) in try write(rootfs, defaults, to: sink, progress) }
    }

    private func write(
        _ rootfs: SharedFD, _ defaults: Template.Defaults, to sink: SharedFD, _ progress: TemplateProgress
    ) throws(CtrError) {
        let writer = TarWriter(sink)
        var records = PaxRecords()
        records.append(TemplateStore.defaultsKey, try JSONFile.encode(defaults, pretty: false))
        try writer.addGlobal(records)
        let notes = Notes()
        var told: Int64 = 0
        progress(.step("pack"))
        try TreeReader(root: rootfs, limits: ImportLimits(), notes: notes).walk { (entry, file) throws(CtrError) in
            try writer.add(entry, file)
            if writer.written - told >= 16 << 20 {
                told = writer.written
                progress(.progress(done: told, total: 0))
            }
        }
        try writer.finish()
        notes.report(progress)
    }
}
