internal import Kernel
internal import Model

/// Writes entries of an archive or a directory beneath a directory, and nowhere else.
///
/// The kernel holds that line: parents are opened by openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, and nothing
/// that exists is ever opened for writing. An entry whose name exists takes its place (the last one wins); a directory
/// with files in it gives way only to a later image layer, and in a copy (``TreeRules/isCopy``) no directory does. A file
/// of a copy has its name only once it is whole.
final class TreeWriter {
    private let root: SharedFD
    private let budget: Budget?
    private let notes: Notes
    let rules: TreeRules
    private let owners: CopyOwners?
    private let room: TreeCopy.RoomCheck?
    private var uncheckedBytes: Int64 = 0
    /// The directory of the last entry and those it was reached through, outermost first: entries come in the order of
    /// directories, and what is open needs no second look at its path.
    private var chain: [(path: EntryPath, fd: SharedFD)] = []
    /// Times of directories, set last: each file made inside changes them.
    private var directoryTimes: [EntryPath: FileTime] = [:]
    /// Bytes of file data written.
    private(set) var dataBytes: Int64 = 0
    private(set) var entries = 0
    /// What the present image layer has made; nil outside of layers above the first.
    private(set) var layerPaths: Set<EntryPath>?

    /// - Parameters:
    ///   - root: an open directory.
    ///   - budget: nil: the file system's own end is the only one.
    ///   - owners: what becomes of owners and modes; nil: they stay.
    ///   - room: asked now and then whether there is room for more.
    init(
        root: SharedFD, budget: Budget?, notes: Notes, rules: TreeRules = .template, owners: CopyOwners? = nil,
        room: TreeCopy.RoomCheck? = nil
    ) {
        self.room = room
        self.root = root
        self.budget = budget
        self.notes = notes
        self.rules = rules
        self.owners = owners
    }

    /// Begins an image layer above others: its entries replace directories of those below.
    func beginUpperLayer() {
        layerPaths = []
        chain = []
    }

    /// Makes one entry. `data` writes a regular file's content into the new, empty file.
    func add(
        _ entry: TreeEntry, data: (SharedFD) throws(CtrError) -> Void = { (_) throws(CtrError) in }
    ) throws(CtrError) {
        try budget?.addEntry()
        entries += 1
        guard let owners else { return try make(entry, data) }
        let changed: TreeEntry
        do { changed = try owners.apply(to: entry) } catch { throw error.inside("entry \(entry.path.text)") }
        // Whom the file system takes the maker for decides on what it can make at all; see BorrowedIdentity.
        let identity = try kernel(entry) { () throws(SysError) in try owners.borrowMaker() }
        try make(changed, data)
        _ = consume identity
    }

    private func make(
        _ entry: TreeEntry, _ data: (SharedFD) throws(CtrError) -> Void
    ) throws(CtrError) {
        if rules.isCopy {
            // The directory that is copied into was there before, with an owner and a mode of its own.
            if entry.path.isRoot { return }
            if entry.kind.isSpecial { return notes.add("FIFOs and devices left out", entry.path) }
        }
        if entry.path.isRoot { return try setRoot(entry) }
        switch NodePolicy.verdict(entry, rules) {
        case .keep: break
        case .leaveOut: return notes.add("device nodes left out", entry.path)
        case .refuse: throw failure(entry, "a device node that no VPS may have")
        }
        if !rules.isCopy, max(entry.uid, entry.gid) > 65535 {
            notes.add("owners above 65535, which a VPS sees as nobody", entry.path)
        }
        let parent = try directory(entry.path.parent, for: entry)
        remember(entry.path)
        let name = Path(bytes: entry.path.name)
        switch entry.kind {
        case .directory: try addDirectory(entry, name, parent)
        case .regular: try addFile(entry, name, parent, data)
        case .symlink(let target):
            let made = try placing(entry, name, parent) { (name) throws(SysError) in
                try parent.fd.symlink(name, to: Path(bytes: target))
            }
            try setOwnerAndTimes(entry, made, parent)
            try finishPlacing(entry, made, name, parent)
        case .hardLink(let target): try addHardLink(entry, target, name, parent)
        case .fifo, .character, .block: try addNode(entry, name, parent)
        }
    }

    /// Sets what had to wait: the times of directories.
    func finish() throws(CtrError) {
        for (path, time) in directoryTimes {
            do {
                try root.fd.open(path.path, [.directory, .readOnly], resolve: walk)
                    .setTimes(accessed: time, modified: time)
            } catch {
                // A later entry or layer may have put something else there.
                if [Errno.noEntry, Errno.notDirectory, Errno.loop].contains(error.errno) { continue }
                throw CtrError(.io, "times of \(path.text)", cause: error)
            }
        }
        directoryTimes = [:]
    }

    var walk: Resolve {
        let always: Resolve = [.beneath, .noSymlinks, .noMagicLinks]
        return rules.isCopy ? always : always.union(.noCrossDevice)
    }

    // MARK: kinds

    private func setRoot(_ entry: TreeEntry) throws(CtrError) {
        guard entry.kind == .directory else { throw failure(entry, "the root is not a directory") }
        try setDirectory(entry, root)
    }

    private func addDirectory(_ entry: TreeEntry, _ name: Path, _ parent: SharedFD) throws(CtrError) {
        var isNew = true
        do { try parent.fd.makeDirectory(name, mode: 0o700) } catch {
            guard error.errno == Errno.exists else { throw failure(entry, error) }
            let type = try kernel(entry, { () throws(SysError) in try parent.fd.status(of: name).type })
            if type == .directory {
                isNew = false
            } else if rules.isCopy {
                throw taken(entry, "\(type.name) is there, not a directory")
            } else {
                try kernel(entry) { () throws(SysError) in
                    try parent.fd.unlink(name)
                    try parent.fd.makeDirectory(name, mode: 0o700)
                }
            }
        }
        let made = SharedFD(
            try kernel(entry) { () throws(SysError) in
                try parent.fd.open(name, [.directory, .noFollow], resolve: walk)
            })
        try refuseKernels(made, entry.path, for: entry)
        // A directory that a copy meets keeps its owner, mode and times.
        if isNew || owners?.archive != false { try setDirectory(entry, made) }
        chain.append((entry.path, made))
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
        if rules.isCopy { return try addWholeFile(entry, name, parent, data) }
        try fill(entry, SharedFD(try create(entry, name, parent)), data)
    }

    /// Gives a new, empty file its data and all else that it has but its name.
    func fill(
        _ entry: TreeEntry, _ file: SharedFD, _ data: (SharedFD) throws(CtrError) -> Void
    ) throws(CtrError) {
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
        do { return try parent.fd.open(name, flags, resolve: walk, mode: 0o600) } catch {
            guard error.errno == Errno.exists else { throw failure(entry, error) }
        }
        try clear(entry, name, parent)
        return try kernel(entry) { () throws(SysError) in
            try parent.fd.open(name, flags, resolve: walk, mode: 0o600)
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
        let made = try placing(entry, name, parent) { (name) throws(SysError) in
            try source.fd.link(sourceName, to: parent.fd, name)
        }
        try finishPlacing(entry, made, name, parent)
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
            guard rules.keeps(attribute: name) else {
                notes.add("attributes \(name.escaped) left out", entry.path)
                continue
            }
            do { try file.fd.setAttribute(name, value) } catch {
                if error.errno == Errno.notSupported {
                    notes.add("attributes left out that the file system cannot hold", entry.path)
                } else {
                    throw failure(entry, error)
                }
            }
        }
    }

    // MARK: places

    /// Makes room for an entry that is no directory.
    func clear(_ entry: TreeEntry, _ name: Path, _ parent: SharedFD) throws(CtrError) {
        do { try parent.fd.unlink(name) } catch {
            if error.errno == Errno.noEntry { return }
            guard error.errno == Errno.isDirectory else { throw failure(entry, error) }
            // A descriptor that is kept may be this directory's or lie below it.
            chain = []
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
        while let last = chain.last, !path.isAtOrBelow(last.path) { chain.removeLast() }
        let (above, base) = chain.last ?? (.root, root)
        if path == above { return base }
        let opened: SharedFD
        do {
            opened = SharedFD(try base.fd.open(path.path(below: above), [.directory], resolve: walk))
        } catch {
            guard error.errno == Errno.noEntry, create else { throw throughLink(entry, path, error) }
            let parent = try directory(path.parent, for: entry)
            let name = Path(bytes: path.name)
            do {
                try parent.fd.makeDirectory(name, mode: 0o755)
                opened = SharedFD(try parent.fd.open(name, [.directory, .noFollow], resolve: walk))
                if let owners { try opened.fd.changeOwner(uid: owners.target.user, gid: owners.target.group) }
                try opened.fd.changeMode(0o755)  // whatever the umask
            } catch { throw throughLink(entry, path, error) }
            try budget?.addEntry()
        }
        try refuseKernels(opened, path, for: entry)
        chain.append((path, opened))
        return opened
    }

    /// Opens an existing directory for a whiteout; nil where there is none.
    func existingDirectory(_ path: EntryPath, for entry: TreeEntry) throws(CtrError) -> SharedFD? {
        if path.isRoot { return root }
        do { return SharedFD(try root.fd.open(path.path, [.directory], resolve: walk)) } catch {
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
    func forgetDirectories() { chain = [] }

    // MARK: data

    /// Writes a piece of a regular file at its place, counted against the limits.
    func write(
        _ part: UnsafeRawBufferPointer, to file: borrowing FD, of entry: TreeEntry
    ) throws(CtrError) {
        try count(Int64(part.count), of: entry)
        do { try file.writeAll(part) } catch { throw failure(entry, error) }
    }

    /// A file of a living system may be cut while it is copied.
    func noteShorter(_ entry: TreeEntry) {
        notes.add("files that became shorter while they were copied", entry.path)
    }

    /// Counts data that is about to be written.
    func count(_ bytes: Int64, of entry: TreeEntry) throws(CtrError) {
        do { try budget?.addBytes(bytes) } catch { throw error.inside("entry \(entry.path.text)") }
        dataBytes += bytes
        uncheckedBytes += bytes
        if uncheckedBytes >= 8 << 20 { try checkRoom() }
    }

    private func checkRoom() throws(CtrError) {
        uncheckedBytes = 0
        try room?(root)
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

    /// What has the name stays: a copy does not take its place.
    func taken(_ entry: TreeEntry, _ what: String) -> CtrError {
        CtrError(.cannotCreate, "entry \(entry.path.text): \(what) (remove it first)", errno: Errno.exists)
    }

    private func throughLink(_ entry: TreeEntry, _ path: EntryPath, _ cause: SysError) -> CtrError {
        switch cause.errno {
        case Errno.loop: failure(entry, "its directory \(path.text) is, or leads through, a symbolic link")
        case Errno.notDirectory: failure(entry, "its directory \(path.text) is no directory")
        case Errno.noEntry: failure(entry, "a link into \(path.text), which is not there")
        default: failure(entry, cause)
        }
    }

    func kernel<R>(_ entry: TreeEntry, _ body: () throws(SysError) -> R) throws(CtrError) -> R
    where R: ~Copyable {
        do { return try body() } catch { throw failure(entry, error) }
    }
}
