internal import Kernel
internal import Model

/// Where an archive is written: a file that appears whole or not at all, or standard output.
struct ArchiveOutput {
    private let file: String
    private let compression: Compression

    /// - Parameter file: packed as its ending says; `-`: standard output, packed with zstd.
    /// - Throws: `usage` for another ending, `unavailable` where the host lacks the compressor.
    init(_ file: String) throws(CtrError) {
        self.file = file
        if file == "-" {
            compression = .zstd
        } else {
            let base = file.split(separator: "/").last.map(String.init) ?? ""
            guard let known = Compression(fileName: base) else {
                throw CtrError(.usage, "export to '\(file.escaped)': not a name in .tar, .tar.gz, .tar.xz or .tar.zst")
            }
            compression = known
        }
        try compression.requireTool()
    }

    /// - Throws: `cannotCreate` where the file exists.
    func write(_ body: (SharedFD) throws(CtrError) -> Void) throws(CtrError) {
        if file == "-" {
            let (output, scratch) = try describing("standard output") { () throws(SysError) in
                (SharedFD(try FD.standard(1)), SharedFD(try Kernel.open("/tmp", .directory)))
            }
            return try pack(output, scratch, body)
        }
        let (parent, base) = split(file)
        do {
            let directory = SharedFD(
                try describing("open \(parent.escaped)", code: .cannotCreate) { () throws(SysError) in
                    try Kernel.open(parent, [.directory])
                })
            // What the compressor says of a full disk must not be on that disk.
            let scratch = try describing("/tmp") { () throws(SysError) in SharedFD(try Kernel.open("/tmp", .directory))
            }
            try writeWhole(base, in: directory) { (output) throws(CtrError) in try pack(output, scratch, body) }
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
        var opened: SharedFD?
        do throws(SysError) {
            opened = SharedFD(try directory.fd.open(".", [.writeOnly, .temporary], mode: 0o600))
        } catch
            where [Errno.notSupported, Errno.isDirectory, Errno.noEntry, Errno.invalid].contains(error.errno)
        {} catch { throw CtrError(.cannotCreate, "make '\(name.escaped)'", cause: error) }
        guard let file = opened else { return try writeNamed(name, in: directory, there, body) }
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

    /// The same on file systems without O_TMPFILE, as network ones.
    private func writeNamed(
        _ name: String, in directory: SharedFD, _ there: CtrError, _ body: (SharedFD) throws(CtrError) -> Void
    ) throws(CtrError) {
        let unfinished = ".\(name).\(Staging.uniqueSuffix())"
        let file = SharedFD(
            try describing("make '\(name.escaped)'", code: .cannotCreate) { () throws(SysError) in
                try directory.fd.open(unfinished, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o600)
            })
        do throws(CtrError) {
            try body(file)
            do throws(SysError) {
                try file.fd.sync()
                do throws(SysError) {
                    try directory.fd.rename(unfinished, to: directory.fd, name, replace: false)
                } catch
                    where error.errno == Errno.invalid
                {
                    // No RENAME_NOREPLACE there.
                    if (try? directory.fd.status(of: name)) != nil { throw SysError("rename", Errno.exists, name) }
                    try directory.fd.rename(unfinished, to: name)
                }
                try? directory.fd.sync()
            } catch {
                if error.errno == Errno.exists { throw there }
                throw CtrError(.io, "'\(name.escaped)'", cause: error)
            }
        } catch {
            try? directory.fd.unlink(unfinished)
            throw error
        }
    }

    /// Gives `body` a descriptor whose bytes reach `output` packed.
    private func pack(
        _ output: SharedFD, _ scratch: SharedFD, _ body: (SharedFD) throws(CtrError) -> Void
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
}
