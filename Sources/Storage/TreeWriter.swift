internal import Kernel
internal import Model

/// Writes entries of an archive or a directory beneath a directory, and nowhere else.
///
/// The kernel holds that line: parents are opened by openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, and nothing
/// that exists is ever opened for writing. An entry whose name exists takes its place (the last one wins); a directory
/// with files in it gives way only to a later image layer.
final class TreeWriter {
    private let root: SharedFD
    private let budget: Budget
    private let notes: Notes
    /// The directory of the last entry, since entries come in the order of directories.
    private var cached: (path: EntryPath, fd: SharedFD)?
    /// Times of directories, set last: each file made inside changes them.
    private var directoryTimes: [EntryPath: FileTime] = [:]
    /// Bytes of file data written.
    private(set) var dataBytes: Int64 = 0
    private(set) var entries = 0
    /// What the present image layer has made; nil outside of layers above the first.
    private(set) var layerPaths: Set<EntryPath>?

    /// - Parameter root: an open directory.
    init(root: SharedFD, budget: Budget, notes: Notes) {
        self.root = root
        self.budget = budget
        self.notes = notes
    }

    /// Begins an image layer above others: its entries replace directories of those below.
    func beginUpperLayer() {
        layerPaths = []
        cached = nil
    }

    /// Makes one entry. `data` writes a regular file's content into the new, empty file.
    func add(
        _ entry: TreeEntry, data: (SharedFD) throws(CtrError) -> Void = { (_) throws(CtrError) in }
    ) throws(CtrError) {
        try budget.addEntry()
        entries += 1
        if entry.path.isRoot { return try setRoot(entry) }
        switch NodePolicy.verdict(entry) {
        case .keep: break
        case .leaveOut: return notes.add("device nodes left out", entry.path)
        case .refuse: throw failure(entry, "a device node that no VPS may have")
        }
        if max(entry.uid, entry.gid) > 65535 {
            notes.add("owners above 65535, which a VPS sees as nobody", entry.path)
        }
        let parent = try directory(entry.path.parent, for: entry)
        remember(entry.path)
        let name = Path(bytes: entry.path.name)
        switch entry.kind {
        case .directory: try addDirectory(entry, name, parent)
        case .regular: try addFile(entry, name, parent, data)
        case .symlink(let target):
            try clear(entry, name, parent)
            try kernel(entry) { () throws(SysError) in try parent.fd.symlink(name, to: Path(bytes: target)) }
            try setOwnerAndTimes(entry, name, parent)
        case .hardLink(let target): try addHardLink(entry, target, name, parent)
        case .fifo, .character, .block: try addNode(entry, name, parent)
        }
    }

    /// Sets what had to wait: the times of directories.
    func finish() throws(CtrError) {
        for (path, time) in directoryTimes {
            do {
                try root.fd.open(path.path, [.directory, .readOnly], resolve: TreeWriter.walk)
                    .setTimes(accessed: time, modified: time)
            } catch {
                // A later entry or layer may have put something else there.
                if [Errno.noEntry, Errno.notDirectory, Errno.loop].contains(error.errno) { continue }
                throw CtrError(.io, "times of \(path.text)", cause: error)
            }
        }
        directoryTimes = [:]
    }

    static let walk: Resolve = [.beneath, .noSymlinks, .noMagicLinks, .noCrossDevice]

    // MARK: kinds

    private func setRoot(_ entry: TreeEntry) throws(CtrError) {
        guard entry.kind == .directory else { throw failure(entry, "the root is not a directory") }
        try setDirectory(entry, root)
    }

    private func addDirectory(_ entry: TreeEntry, _ name: Path, _ parent: SharedFD) throws(CtrError) {
        do { try parent.fd.makeDirectory(name, mode: 0o700) } catch {
            guard error.errno == Errno.exists else { throw failure(entry, error) }
            if try kernel(entry, { () throws(SysError) in try parent.fd.status(of: name).type }) != .directory {
                try kernel(entry) { () throws(SysError) in
                    try parent.fd.unlink(name)
                    try parent.fd.makeDirectory(name, mode: 0o700)
                }
            }
        }
        let made = SharedFD(
            try kernel(entry) { () throws(SysError) in
                try parent.fd.open(name, [.directory, .noFollow], resolve: TreeWriter.walk)
            })
        try setDirectory(entry, made)
        cached = (entry.path, made)
    }

    private func setDirectory(_ entry: TreeEntry, _ directory: SharedFD) throws(CtrError) {
        try kernel(entry) { () throws(SysError) in
            try directory.fd.changeOwner(uid: entry.uid, gid: entry.gid)
            try directory.fd.changeMode(entry.permissions)
        }
        try setAttributes(entry, directory)
        directoryTimes[entry.path] = entry.modified
    }

    private func addFile(
        _ entry: TreeEntry, _ name: Path, _ parent: SharedFD, _ data: (SharedFD) throws(CtrError) -> Void
    ) throws(CtrError) {
        let file = SharedFD(try create(entry, name, parent))
        try data(file)
        try kernel(entry) { () throws(SysError) in
            if entry.extents != nil { try file.fd.truncate(entry.size) }
            // chown clears setuid bits and capabilities, so they come after it.
            try file.fd.changeOwner(uid: entry.uid, gid: entry.gid)
            try file.fd.changeMode(entry.permissions)
        }
        try setAttributes(entry, file)
        try kernel(entry) { () throws(SysError) in
            try file.fd.setTimes(accessed: entry.modified, modified: entry.modified)
        }
    }

    /// A new, empty file; what had its name before is gone.
    private func create(_ entry: TreeEntry, _ name: Path, _ parent: SharedFD) throws(CtrError) -> FD {
        let flags: OpenFlags = [.writeOnly, .create, .exclusive, .noFollow]
        do { return try parent.fd.open(name, flags, resolve: TreeWriter.walk, mode: 0o600) } catch {
            guard error.errno == Errno.exists else { throw failure(entry, error) }
        }
        try clear(entry, name, parent)
        return try kernel(entry) { () throws(SysError) in
            try parent.fd.open(name, flags, resolve: TreeWriter.walk, mode: 0o600)
        }
    }

    private func addHardLink(
        _ entry: TreeEntry, _ target: EntryPath, _ name: Path, _ parent: SharedFD
    ) throws(CtrError) {
        if target == entry.path { throw failure(entry, "a hard link to itself") }
        if target.isRoot { throw failure(entry, "a hard link to the root") }
        let source = try directory(target.parent, for: entry, create: false)
        let sourceName = Path(bytes: target.name)
        let type: FileType
        do { type = try source.fd.status(of: sourceName).type } catch {
            throw failure(entry, "a hard link to \(target.text), which is not in the archive before it")
        }
        if type == .directory { throw failure(entry, "a hard link to a directory, \(target.text)") }
        try clear(entry, name, parent)
        try kernel(entry) { () throws(SysError) in try source.fd.link(sourceName, to: parent.fd, name) }
    }

    private func addNode(_ entry: TreeEntry, _ name: Path, _ parent: SharedFD) throws(CtrError) {
        try clear(entry, name, parent)
        try kernel(entry) { () throws(SysError) in
            switch entry.kind {
            case .character(let number):
                try parent.fd.makeNode(name, .character, permissions: 0o600, device: number)
            case .block(let number): try parent.fd.makeNode(name, .block, permissions: 0o600, device: number)
            default: try parent.fd.makeNode(name, .fifo, permissions: 0o600)
            }
        }
        try setOwnerAndTimes(entry, name, parent)
    }

    private func setOwnerAndTimes(_ entry: TreeEntry, _ name: Path, _ parent: SharedFD) throws(CtrError) {
        try kernel(entry) { () throws(SysError) in
            try parent.fd.changeOwner(of: name, uid: entry.uid, gid: entry.gid)
            // A symbolic link has no mode, and chmod would follow it.
            if case .symlink = entry.kind {} else { try parent.fd.changeMode(of: name, entry.permissions) }
            try parent.fd.setTimes(of: name, accessed: entry.modified, modified: entry.modified)
        }
        if !entry.attributes.isEmpty { notes.add("attributes of links and nodes left out", entry.path) }
    }

    private func setAttributes(_ entry: TreeEntry, _ file: SharedFD) throws(CtrError) {
        for (name, value) in entry.attributes {
            do { try file.fd.setAttribute(name, value) } catch {
                if error.errno == Errno.notSupported {
                    notes.add("attributes left out that the templates' file system cannot hold", entry.path)
                } else {
                    throw failure(entry, error)
                }
            }
        }
    }

    // MARK: places

    /// Makes room for an entry that is no directory.
    private func clear(_ entry: TreeEntry, _ name: Path, _ parent: SharedFD) throws(CtrError) {
        do { try parent.fd.unlink(name) } catch {
            if error.errno == Errno.noEntry { return }
            guard error.errno == Errno.isDirectory else { throw failure(entry, error) }
            // The descriptor kept for the directory may be this one or lie below it.
            cached = nil
            if layerPaths != nil {
                return try kernel(entry) { () throws(SysError) in try parent.fd.removeTree(name) }
            }
            do { try parent.fd.unlink(name, directory: true) } catch {
                if error.errno == Errno.notEmpty {
                    throw failure(entry, "takes the place of a directory that has files in it")
                }
                throw failure(entry, error)
            }
        }
    }

    /// Opens the directory of an entry, making those that the archive left out (0755, root's).
    private func directory(
        _ path: EntryPath, for entry: TreeEntry, create: Bool = true
    ) throws(CtrError) -> SharedFD {
        if path.isRoot { return root }
        if let cached, cached.path == path { return cached.fd }
        let opened: SharedFD
        do {
            opened = SharedFD(try root.fd.open(path.path, [.directory], resolve: TreeWriter.walk))
        } catch {
            guard error.errno == Errno.noEntry, create else { throw throughLink(entry, path, error) }
            let parent = try directory(path.parent, for: entry)
            let name = Path(bytes: path.name)
            do {
                try parent.fd.makeDirectory(name, mode: 0o755)
                opened = SharedFD(try parent.fd.open(name, [.directory, .noFollow], resolve: TreeWriter.walk))
                try opened.fd.changeMode(0o755)  // whatever the umask
            } catch { throw throughLink(entry, path, error) }
            try budget.addEntry()
        }
        cached = (path, opened)
        return opened
    }

    /// Opens an existing directory for a whiteout; nil where there is none.
    func existingDirectory(_ path: EntryPath, for entry: TreeEntry) throws(CtrError) -> SharedFD? {
        if path.isRoot { return root }
        do { return SharedFD(try root.fd.open(path.path, [.directory], resolve: TreeWriter.walk)) } catch {
            if error.errno == Errno.noEntry { return nil }
            throw throughLink(entry, path, error)
        }
    }

    /// Notes that the present layer has made a path. Those above it count too: an opaque mark must not take them away
    /// although a lower layer had them first.
    private func remember(_ path: EntryPath) {
        guard layerPaths != nil else { return }
        var path = path
        while !path.isRoot, layerPaths!.insert(path).inserted { path = path.parent }
    }

    /// Forgets descriptors of directories: some were removed.
    func forgetDirectories() { cached = nil }

    // MARK: data

    /// Writes a piece of a regular file at its place, counted against the limits.
    func write(
        _ part: UnsafeRawBufferPointer, to file: borrowing FD, of entry: TreeEntry
    ) throws(CtrError) {
        try count(Int64(part.count), of: entry)
        do { try file.writeAll(part) } catch { throw failure(entry, error) }
    }

    /// Counts data that is about to be written.
    func count(_ bytes: Int64, of entry: TreeEntry) throws(CtrError) {
        do { try budget.addBytes(bytes) } catch { throw error.inside("entry \(entry.path.text)") }
        dataBytes += bytes
    }

    // MARK: errors

    func failure(_ entry: TreeEntry, _ why: String) -> CtrError {
        CtrError(.badInput, "entry \(entry.path.text): \(why)")
    }

    func failure(_ entry: TreeEntry, _ cause: SysError) -> CtrError {
        let ours = [Errno.nameTooLong, Errno.loop, Errno.notDirectory, Errno.invalid, Errno.fileTooBig]
        return CtrError(
            ours.contains(cause.errno) ? .badInput : .io,
            "entry \(entry.path.text): "
                + "\(cause.call): \(SysError.text(cause.errno))", errno: cause.errno)
    }

    private func throughLink(_ entry: TreeEntry, _ path: EntryPath, _ cause: SysError) -> CtrError {
        switch cause.errno {
        case Errno.loop: failure(entry, "its directory \(path.text) is, or leads through, a symbolic link")
        case Errno.notDirectory: failure(entry, "its directory \(path.text) is no directory")
        case Errno.noEntry: failure(entry, "a link into \(path.text), which is not there")
        default: failure(entry, cause)
        }
    }

    private func kernel<R>(_ entry: TreeEntry, _ body: () throws(SysError) -> R) throws(CtrError) -> R
    where R: ~Copyable {
        do { return try body() } catch { throw failure(entry, error) }
    }
}
