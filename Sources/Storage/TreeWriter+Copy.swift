internal import Kernel
internal import Model

// What a copy into a tree that others use needs beyond unpacking a template: a name shows the old file or the new one,
// whole, and a copy that is cut short leaves neither a part of one nor a name of its own.
extension TreeWriter {
    /// Writes a file that has no name yet, then gives it its name, in the place of a file or link that has it.
    func addWholeFile(
        _ entry: TreeEntry, _ name: Path, _ parent: SharedFD, _ data: (SharedFD) throws(CtrError) -> Void
    ) throws(CtrError) {
        let made = try makeNameless(entry, parent)
        var temporary = made.temporary
        do throws(CtrError) {
            try fill(entry, made.file, data)
            if temporary == nil {
                // Gone with its last descriptor, however this process ends, until it has a name.
                do {
                    try made.file.fd.nameTemporary(in: parent.fd, name)
                    return
                } catch { if error.errno != Errno.exists { throw failure(entry, error) } }
                let aside = try TreeWriter.temporaryName(entry)
                try kernel(entry) { () throws(SysError) in try made.file.fd.nameTemporary(in: parent.fd, aside) }
                temporary = aside
            }
            try replace(entry, temporary!, name, parent)
        } catch {
            if let temporary { try? parent.fd.unlink(temporary) }
            throw error
        }
    }

    /// - Returns: the file, and its name where the file system knows no files without one.
    private func makeNameless(
        _ entry: TreeEntry, _ parent: SharedFD
    ) throws(CtrError) -> (file: SharedFD, temporary: Path?) {
        do {
            return (SharedFD(try parent.fd.open(".", [.writeOnly, .temporary], resolve: walk, mode: 0o600)), nil)
        } catch {
            guard [Errno.notSupported, Errno.isDirectory].contains(error.errno) else { throw failure(entry, error) }
        }
        let name = try TreeWriter.temporaryName(entry)
        let flags: OpenFlags = [.writeOnly, .create, .exclusive, .noFollow]
        return (
            SharedFD(
                try kernel(entry) { () throws(SysError) in
                    try parent.fd.open(name, flags, resolve: walk, mode: 0o600)
                }), name
        )
    }

    private static func temporaryName(_ entry: TreeEntry) throws(CtrError) -> Path {
        let bytes = try describing("random name") { () throws(SysError) in try randomBytes(8) }
        return Path(".ctr-cp-" + bytes.map { String($0, radix: 16) }.joined())
    }

    /// Makes a link by its name, or beside it where the name is taken and a copy must not show a moment without it.
    /// - Returns: the name that it has got, for ``finishPlacing(_:_:_:_:)``.
    func placing(
        _ entry: TreeEntry, _ name: Path, _ parent: SharedFD, _ make: (Path) throws(SysError) -> Void
    ) throws(CtrError) -> Path {
        guard rules.isCopy else {
            try clear(entry, name, parent)
            try kernel(entry) { () throws(SysError) in try make(name) }
            return name
        }
        do {
            try make(name)
            return name
        } catch { if error.errno != Errno.exists { throw failure(entry, error) } }
        let aside = try TreeWriter.temporaryName(entry)
        try kernel(entry) { () throws(SysError) in try make(aside) }
        return aside
    }

    func finishPlacing(
        _ entry: TreeEntry, _ made: Path, _ name: Path, _ parent: SharedFD
    ) throws(CtrError) {
        if made == name { return }
        // It stays where both were names of one file already.
        defer { try? parent.fd.unlink(made) }
        try replace(entry, made, name, parent)
    }

    private func replace(
        _ entry: TreeEntry, _ made: Path, _ name: Path, _ parent: SharedFD
    ) throws(CtrError) {
        if let type = try? parent.fd.status(of: name).type, type != .regular, type != .symlink {
            throw taken(entry, "\(type.name) is there")
        }
        do { try parent.fd.rename(made, to: name) } catch {
            // Put there since the look.
            if error.errno == Errno.isDirectory { throw taken(entry, "a directory is there") }
            throw failure(entry, error)
        }
    }

    /// A directory of /proc, /sys or the like is no place for files: making one there changes the kernel.
    func refuseKernels(_ directory: SharedFD, _ path: EntryPath, for entry: TreeEntry) throws(CtrError) {
        guard rules.isCopy,
            try kernel(entry, { () throws(SysError) in try directory.fd.isOfKernelFileSystem() })
        else { return }
        throw CtrError(.failed, "entry \(path.text): lies in a file system of the kernel's own, as /proc or /sys")
    }
}

extension FileType {
    /// For messages.
    var name: String {
        switch self {
        case .regular: "a file"
        case .directory: "a directory"
        case .symlink: "a symbolic link"
        case .character, .block: "a device"
        case .fifo: "a FIFO"
        case .socket: "a socket"
        case .unknown: "a file of an unknown kind"
        }
    }
}
