internal import Checkpoint
internal import Kernel
internal import Model

/// A checkpoint whose memory is packed with zstd(1): what `suspend --compress zstd` makes of one, and a resume unpacks.
///
///     checkpoint/
///       manifest.json          of these files, format 3
///       unpacked.json          the manifest of what it was, and will be again
///       vps.json, dev.tar ...
///       images/pages-1.img.zst in place of pages-1.img; the others as they were
struct PackedCheckpoint {
    static let format = 3
    /// Beside `checkpoint` while it is resumed.
    static let unpacked = "checkpoint.unpacked"
    private static let manifest = "unpacked.json"
    private static let ending = ".zst"
    private static let program = "zstd"

    let files: VPSFiles
    let directory: SharedFD

    /// - Throws: `unavailable` where this host can't pack anything.
    static func requireProgram(_ what: String) throws(CtrError) {
        if ToolProcess.find(program) == nil {
            throw CtrError(.unavailable, "\(what): \(program) is not on this host (install the package zstd)")
        }
    }

    /// Packs the checkpoint of a suspended VPS. It is whole, packed or not, whenever this is killed.
    /// - Parameter progress: bytes of memory packed so far, of how many.
    /// - Throws: why it stays as it was: no room, for one.
    func pack(progress: (Int64, Int64) -> Void) throws(CtrError) {
        let what = "pack the memory of VPS \(files.name)"
        let (old, manifest) = try open(what)
        files.sweepCheckpoints(in: directory)
        do throws(CtrError) {
            let new = try link(CheckpointFiles.unfinished, from: old, manifest, as: PackedCheckpoint.manifest, what)
            try convert(manifest, from: old, to: new, packing: true, what, progress)
            _ = try Manifest.seal(new, criu: manifest.criu, format: PackedCheckpoint.format)
            try exchange(what)
        } catch {
            files.sweepCheckpoints(in: directory)
            throw error
        }
        SlowRemoval.remove(checkpoint: CheckpointFiles.unfinished, in: directory)
    }

    private func exchange(_ what: String) throws(CtrError) {
        let directory = directory
        try describing(what) { () throws(SysError) in
            try directory.fd.openHere().sync()
            try directory.fd.rename(
                CheckpointFiles.unfinished, to: directory.fd, CheckpointFiles.name, exchange: true)
            try directory.fd.openHere().sync()
        }
    }

    /// Bytes of the processes' memory in a checkpoint, packed or not.
    static func memory(in checkpoint: SharedFD) throws(CtrError) -> Int64? {
        guard let manifest = try Manifest.read(checkpoint) else { return nil }
        return try manifest.version == format ? Manifest.read(checkpoint, self.manifest)?.memory : manifest.memory
    }

    /// Unpacks it beside itself, for one resume.
    /// - Returns: what it was before it was packed; not yet held against its manifest.
    /// - Throws: `cannotCreate` without room for that, `config` where it is damaged.
    func unpack() throws(CtrError) -> SharedFD {
        let what = "unpack the memory of VPS \(files.name)"
        try PackedCheckpoint.requireProgram(what)
        let (packed, stored) = try open(what)
        try stored.check(packed, contentsOf: { _ in false })
        guard let manifest = try Manifest.read(packed, PackedCheckpoint.manifest) else {
            throw CtrError(.config, "checkpoint: damaged: no \(PackedCheckpoint.manifest)")
        }
        // Of one that was killed.
        try? directory.fd.removeTree(PackedCheckpoint.unpacked)
        try SpaceReserve.check(what, takes: manifest.memory, files.host)
        let place = try link(PackedCheckpoint.unpacked, from: packed, manifest, as: Manifest.name, what)
        try convert(manifest, from: packed, to: place, packing: false, what) { _, _ in }
        return place
    }

    private func open(_ what: String) throws(CtrError) -> (SharedFD, Manifest) {
        let directory = directory
        let checkpoint = try describing(what) { () throws(SysError) in
            SharedFD(try directory.fd.open(CheckpointFiles.name, [.directory, .noFollow]))
        }
        guard let manifest = try Manifest.read(checkpoint) else {
            throw CtrError(.config, "checkpoint: damaged: no \(Manifest.name)")
        }
        return (checkpoint, manifest)
    }

    /// A directory with all files of another that are not memory, by further names of theirs.
    /// - Parameter manifest: of the plain form, which gets the name `name` there.
    private func link(
        _ place: String, from source: SharedFD, _ manifest: Manifest, as name: String, _ what: String
    ) throws(CtrError) -> SharedFD {
        let (directory, images) = (directory, CheckpointFiles.images)
        let former = name == Manifest.name ? PackedCheckpoint.manifest : Manifest.name
        return try describing(what, code: .cannotCreate) { () throws(SysError) in
            try directory.fd.makeDirectory(place, mode: 0o700)
            let target = SharedFD(try directory.fd.open(place, [.directory, .noFollow]))
            // At a resume the guest's root reads them; nobody else comes by the directories above.
            try target.fd.makeDirectory(images, mode: 0o755)
            let below = try target.fd.open(images, [.directory, .noFollow])
            let from = try source.fd.open(images, [.directory, .noFollow])
            for file in manifest.files where !file.isMemory {
                if let slash = file.name.firstIndex(of: "/") {
                    let base = String(file.name[file.name.index(after: slash)...])
                    try from.link(base, to: below, base)
                } else {
                    try source.fd.link(file.name, to: target.fd, file.name)
                }
            }
            try source.fd.link(former, to: target.fd, name)
            return target
        }
    }

    private func convert(
        _ manifest: Manifest, from source: SharedFD, to target: SharedFD, packing: Bool, _ what: String,
        _ progress: (Int64, Int64) -> Void
    ) throws(CtrError) {
        var done: Int64 = 0
        for file in manifest.files where file.isMemory {
            let (plain, packed) = (file.name, file.name + PackedCheckpoint.ending)
            let (from, to) = packing ? (plain, packed) : (packed, plain)
            let files = try describing(what) { () throws(SysError) in
                let input = SharedFD(try source.fd.open(from, [.readOnly, .noFollow]))
                let output = SharedFD(
                    try target.fd.open(to, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o644))
                try output.fd.changeMode(0o644)
                return (input: input, output: output)
            }
            try run(packing, from, files.input, files.output, what) { (read) in
                if packing { progress(done + read, manifest.memory) }
            }
            done += file.size
        }
    }

    /// - Parameters:
    ///   - name: of the file that is read.
    ///   - progress: bytes read so far.
    private func run(
        _ packing: Bool, _ name: String, _ input: SharedFD, _ output: SharedFD, _ what: String,
        progress: (Int64) -> Void
    ) throws(CtrError) {
        let words = packing ? ["--threads=0", "--check"] : ["--decompress", "--sparse"]
        let errors: SharedFD
        let tool: BoundTool
        do throws(SysError) {
            guard let path = ToolProcess.find(PackedCheckpoint.program) else {
                throw SysError("execve", Errno.noEntry, PackedCheckpoint.program)
            }
            errors = SharedFD(try MemoryFile.make())
            // It ends with us: nobody else would see how much of the disk it fills.
            tool = try BoundTool(
                path, ["--quiet", "--stdout"] + words, environment: ToolProcess.cleanEnvironment,
                streams: [input, output, errors])
        } catch { throw CtrError(.failed, what, cause: error) }
        do throws(CtrError) {
            while (try? tool.waitForEnd(milliseconds: 100)) == false {
                try SpaceReserve.keep(what, half: true, files.host)
                // Its offset is ours.
                if let read = try? input.fd.seek(.current, 0) { progress(Int64(read)) }
            }
        } catch {
            tool.kill()
            throw error
        }
        let status: ToolProcess.Status
        do throws(SysError) { status = try tool.wait() } catch { throw CtrError(.failed, what, cause: error) }
        if !status.succeeded { throw PackedCheckpoint.failure(packing, name, status, errors, what) }
    }

    /// What zstd says: its status is 1 for a disk that is full and for a file that is damaged.
    private static func failure(
        _ packing: Bool, _ name: String, _ status: ToolProcess.Status, _ errors: SharedFD, _ what: String
    ) -> CtrError {
        let bytes = (try? MemoryFile.contents(of: errors.fd, limit: 1 << 16)) ?? []
        // zstd: error 70 : Write error : cannot write block : No space left on device
        let text = String(decoding: bytes, as: UTF8.self)
        let known = [(Errno.noSpace, CtrError.Code.cannotCreate), (Errno.quota, .cannotCreate), (Errno.io, .io)]
        for (errno, code) in known where text.contains(SysError.text(errno)) {
            return CtrError(code, "\(what): \(name): \(SysError.text(errno))", errno: errno)
        }
        if text.contains("Read error") { return CtrError(.io, "\(what): \(name): read error") }
        if !packing, case .exited = status {
            return CtrError(.config, "checkpoint: damaged: \(name) can't be unpacked")
        }
        let reason = text.split(separator: "\n").last.map { ": \($0)" } ?? ""
        return CtrError(.failed, "\(what): \(program): \(status.text)\(reason)")
    }
}
