internal import Kernel
public import Model

extension TemplateStore {
    /// Makes a template of an archive or a directory.
    ///
    /// Read are tar archives (plain, gzip, xz, zstd), directories, OCI image layouts as directory or archive, and what
    /// `docker save` writes. Input is hostile: what is malformed or leads outside is `badInput` naming the entry, and
    /// nothing stays behind. Other codes: `cannotCreate` where the name is taken, `notFound` where nothing lies at `source`,
    /// `unavailable` where a decompressor is missing or an image is for another architecture, `io` for the disk.
    /// - Parameter source: a path of the host.
    /// - Returns: the new template's manifest.
    @discardableResult
    public func importTemplate(
        from source: String, name: String, limits: ImportLimits = ImportLimits(),
        progress: @escaping TemplateProgress = { _ in }
    ) throws(CtrError) -> Template {
        try requireFree(name)
        sweep()
        do {
            let input = try openInput(source)
            return try make(name, limits, progress) { (work) throws(CtrError) in
                let type = try describing("read") { () throws(SysError) in try input.fd.status().type }
                if type == .directory {
                    try work.importDirectory(input, source, self)
                } else {
                    try work.importArchive(input, source)
                }
            }
        } catch {
            if error.code == .cannotCreate { throw error }
            throw error.inside("import \(source.escaped)")
        }
    }

    /// Makes a template: `fill` writes its files, and it appears whole if that succeeds.
    func make(
        _ name: String, _ limits: ImportLimits, _ progress: @escaping TemplateProgress,
        _ fill: (TemplateWork) throws(CtrError) -> Void
    ) throws(CtrError) -> Template {
        let staging = try Staging(self)
        let manifest: Template
        do {
            let work = try TemplateWork(name, staging, limits, progress)
            try fill(work)
            manifest = try work.finish()
            progress(.step("write to the disk"))
        } catch {
            staging.discard()
            throw error
        }
        try staging.publish(manifest)
        return manifest
    }

    /// Opens what the operator named: a regular file (links are followed), or a directory (not followed: what a link
    /// leads to may be another tree than the one meant).
    private func openInput(_ source: String) throws(CtrError) -> SharedFD {
        var path = source
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        do throws(SysError) {
            let input = SharedFD(try Kernel.open(path, [.readOnly, .nonBlocking, .noControllingTerminal]))
            switch try input.fd.status().type {
            case .regular: return input
            case .directory:
                do throws(SysError) { return SharedFD(try Kernel.open(path, [.directory, .noFollow])) } catch
                    where error.errno == Errno.notDirectory || error.errno == Errno.loop
                {
                    throw SysError("the directory is a symbolic link, name what it leads to", Errno.invalid)
                }
            default: throw SysError("neither a regular file nor a directory", Errno.invalid)
            }
        } catch {
            switch error.errno {
            case Errno.noEntry: throw CtrError(.notFound, "no such file or directory", errno: error.errno)
            case Errno.invalid: throw CtrError(.badInput, error.call)
            default: throw CtrError(.io, "open", cause: error)
            }
        }
    }
}

/// The parts that one import or build works with.
final class TemplateWork {
    var manifest: Template
    let directory: SharedFD
    /// The host's path of the directory.
    let directoryPath: String
    /// Bytes of data, where commands have changed what was unpacked.
    var sizeOfRun: Int64?
    private(set) var rootfs: SharedFD
    let limits: ImportLimits
    let notes = Notes()
    let progress: TemplateProgress
    private(set) var budget: Budget
    private(set) var writer: TreeWriter

    init(
        _ name: String, _ staging: borrowing Staging, _ limits: ImportLimits, _ progress: @escaping TemplateProgress
    ) throws(CtrError) {
        manifest = Template(name: name, created: Timestamp.now, architecture: Host.architecture, size: 0)
        directory = staging.directory
        directoryPath = staging.path
        rootfs = staging.rootfs
        self.limits = limits
        self.progress = progress
        budget = try Budget(limits, target: staging.directory)
        writer = TreeWriter(root: staging.rootfs, budget: budget, notes: notes)
    }

    var unpacker: Unpacker {
        Unpacker(writer: writer, budget: budget, limits: limits, notes: notes, scratch: directory, progress: progress)
    }

    /// Sets what has to come last and gives the manifest.
    func finish() throws(CtrError) -> Template {
        try writer.finish()
        if writer.entries == 0 { throw CtrError(.badInput, "there is nothing in it") }
        manifest.size = sizeOfRun ?? writer.dataBytes
        notes.report(progress)
        return manifest
    }

    // MARK: sources

    func importDirectory(_ source: SharedFD, _ path: String, _ store: TemplateStore) throws(CtrError) {
        if ImageImporter.isLayout(source) { return try importImage(source, path) }
        progress(.step("copy"))
        let own = try? Kernel.open(store.path, [.directory, .noFollow]).status()
        let reader = TreeReader(
            root: source, limits: limits, notes: notes, excluded: own.map(TreeReader.FileIdentity.init))
        try TreeCopier(reader: reader, writer: writer, progress: progress).copy()
        manifest.source = "directory \(path)"
    }

    func importArchive(_ file: SharedFD, _ path: String) throws(CtrError) {
        progress(.step("check"))
        let digest = try SHA256.hex(of: file)
        progress(.step("unpack"))
        let globals = try unpacker.unpack(file, .tree)
        if ImageImporter.isLayout(rootfs) || ImageImporter.isDockerSave(rootfs) {
            try importImageInPlace(path)
        } else {
            manifest.source = "tar \(path)"
            manifest.digest = "sha256:\(digest)"
            try restoreDefaults(globals)
        }
    }

    /// What was unpacked is an image and not a root file system: sets it aside and flattens it.
    private func importImageInPlace(_ path: String) throws(CtrError) {
        let aside = "image"
        let image = rootfs
        try describing("set the image aside") { () throws(SysError) in
            try directory.fd.rename(TemplateStore.rootName, to: directory.fd, aside, replace: false)
            try directory.fd.makeDirectory(TemplateStore.rootName, mode: 0o755)
        }
        rootfs = SharedFD(
            try describing("make the root") { () throws(SysError) in
                let made = try directory.fd.open(TemplateStore.rootName, [.directory, .noFollow])
                try made.changeMode(0o755)
                return made
            })
        budget = try Budget(limits, target: directory)
        writer = TreeWriter(root: rootfs, budget: budget, notes: notes)
        try importImage(image, path)
        try describing("delete the unpacked image") { () throws(SysError) in try directory.fd.removeTree(aside) }
    }

    private func importImage(_ image: SharedFD, _ path: String) throws(CtrError) {
        let result = try ImageImporter(image: image, unpacker: unpacker).run()
        manifest.defaults = result.defaults
        manifest.digest = result.digest
        manifest.source = "\(result.kind) \(path)"
    }

    /// Takes over the defaults that our own export has put into the archive.
    private func restoreDefaults(_ globals: PaxRecords) throws(CtrError) {
        guard let json = globals[TemplateStore.defaultsKey] else { return }
        let defaults = try JSONFile.decode(Template.Defaults.self, json, TemplateStore.defaultsKey)
        try defaults.validate()
        manifest.defaults = defaults
    }
}
