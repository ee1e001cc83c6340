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
        let (parent, base) = split(file)
        guard let compression = Compression(fileName: base) else {
            throw CtrError(.usage, "export to '\(file.escaped)': not a name in .tar, .tar.gz, .tar.xz or .tar.zst")
        }
        try compression.requireTool()
        let rootfs = SharedFD(try template.openLayer())
        let defaults = template.manifest.defaults
        do {
            let directory = SharedFD(
                try describing("open \(parent.escaped)", code: .cannotCreate) { () throws(SysError) in
                    try Kernel.open(parent, [.directory])
                })
            try writeWhole(base, in: directory) { (output) throws(CtrError) in
                try pack(compression, output, directory) { (sink) throws(CtrError) in
                    try write(rootfs, defaults, to: sink, progress)
                }
            }
        } catch { throw error.inside("export to \(file.escaped)") }
    }

    private func split(_ file: String) -> (parent: String, name: String) {
        guard let slash = file.lastIndex(of: "/") else { return (".", file) }
        let parent = String(file[..<slash])
        return (parent.isEmpty ? "/" : parent, String(file[file.index(after: slash)...]))
    }

    /// Writes a file without a name and gives it one when it is whole and on the disk.
    private func writeWhole(
        _ name: String, in directory: SharedFD, _ body: (SharedFD) throws(CtrError) -> Void
    ) throws(CtrError) {
        let there = CtrError(.cannotCreate, "'\(name.escaped)': it exists already")
        if (try? directory.fd.status(of: name)) != nil { throw there }
        let file = SharedFD(
            try describing("make '\(name.escaped)'", code: .cannotCreate) { () throws(SysError) in
                try directory.fd.open(".", [.writeOnly, .temporary], mode: 0o600)
            })
        try body(file)
        do throws(SysError) {
            try file.fd.sync()
            try file.fd.nameTemporary(in: directory.fd, name)
            try directory.fd.sync()
        } catch {
            if error.errno == Errno.exists { throw there }
            throw CtrError(.io, "'\(name.escaped)'", cause: error)
        }
    }

    /// Gives `body` a descriptor whose bytes reach `output` packed.
    private func pack(
        _ compression: Compression, _ output: SharedFD, _ scratch: SharedFD,
        _ body: (SharedFD) throws(CtrError) -> Void
    ) throws(CtrError) {
        guard let tool = compression.tool else { return try body(output) }
        var input: SharedFD?
        // zstd and xz use all processors for large archives; gzip cannot.
        let arguments = compression == .gzip ? ["-c"] : ["-c", "-T0"]
        let process = try Tool.writing(
            tool.name, package: tool.package, arguments, stdout: .file(output), scratch: scratch, input: &input)
        do {
            try ignoringSIGPIPE { () throws(CtrError) in try body(input!) }
            input = nil
        } catch {
            input = nil
            // A tool that died tells why; one that lives is stopped.
            if error.errno == Errno.pipe { try process.finish(.io) }
            throw error
        }
        try process.finish(.io)
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
