internal import Kernel
internal import Model

/// Walks a directory tree as archives list it: directories before what they hold, names in byte order, hard links told
/// from files, holes found. Symbolic links are never followed, mounted file systems not entered.
final class TreeReader {
    private let root: SharedFD
    private let limits: ImportLimits
    private let notes: Notes
    /// A directory to leave out: the templates' own, when it lies inside.
    private let excluded: FileIdentity?
    private var device: DeviceNumber?
    private var seen: [FileIdentity: EntryPath] = [:]

    struct FileIdentity: Hashable {
        let device: DeviceNumber
        let inode: UInt64
        init(_ status: FileStatus) {
            device = status.device
            inode = status.inode
        }
    }

    typealias Visitor = (TreeEntry, SharedFD?) throws(CtrError) -> Void

    init(root: SharedFD, limits: ImportLimits, notes: Notes, excluded: FileIdentity? = nil) {
        self.root = root
        self.limits = limits
        self.notes = notes
        self.excluded = excluded
    }

    /// Calls `visit` with each entry, and with an open descriptor for regular files.
    func walk(_ visit: Visitor) throws(CtrError) {
        let status = try describing("read the root") { () throws(SysError) in try root.fd.status() }
        device = status.device
        var entry = entry(.root, .directory, status)
        entry.attributes = try attributes(.root, root)
        try visit(entry, nil)
        try walk(root, .root, depth: 1, visit)
    }

    private func walk(
        _ directory: SharedFD, _ path: EntryPath, depth: Int, _ visit: Visitor
    ) throws(CtrError) {
        if depth > limits.depth {
            throw CtrError(.badInput, "\(path.text): more than \(limits.depth) directories deep")
        }
        let names = try kernel(path) { () throws(SysError) in try directory.fd.entries() }.map(\.name)
        for name in names.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
            try visitChild(name, path.appending(name.bytes), directory, depth, visit)
        }
    }

    private func visitChild(
        _ name: Path, _ path: EntryPath, _ parent: SharedFD, _ depth: Int, _ visit: Visitor
    ) throws(CtrError) {
        let status = try kernel(path) { () throws(SysError) in try parent.fd.status(of: name) }
        if status.type == .directory {
            return try visitDirectory(name, path, parent, status, depth, visit)
        }
        if status.device != device { return notes.add("files of other file systems left out", path) }
        if status.type == .socket || status.type == .unknown { return notes.add("sockets left out", path) }
        let identity = FileIdentity(status)
        if status.links > 1 {
            if let first = seen[identity] { return try visit(entry(path, .hardLink(target: first), status), nil) }
            seen[identity] = path
        }
        switch status.type {
        case .regular: try visitFile(name, path, parent, identity, visit)
        case .symlink:
            let target = try kernel(path) { () throws(SysError) in try parent.fd.readLink(name) }
            try visit(entry(path, .symlink(target: target.bytes), status), nil)
        case .character: try visit(entry(path, .character(status.node), status), nil)
        case .block: try visit(entry(path, .block(status.node), status), nil)
        default: try visit(entry(path, .fifo, status), nil)
        }
    }

    private func visitDirectory(
        _ name: Path, _ path: EntryPath, _ parent: SharedFD, _ status: FileStatus, _ depth: Int, _ visit: Visitor
    ) throws(CtrError) {
        if FileIdentity(status) == excluded { return notes.add("the templates' own directory left out", path) }
        let opened = SharedFD(
            try kernel(path) { () throws(SysError) in try parent.fd.open(name, [.directory, .noFollow, .noAccessTime]) }
        )
        var entry = entry(path, .directory, try kernel(path) { () throws(SysError) in try opened.fd.status() })
        entry.attributes = try attributes(path, opened)
        try visit(entry, nil)
        if status.device != device { return notes.add("contents of mounted file systems left out", path) }
        try walk(opened, path, depth: depth + 1, visit)
    }

    private func visitFile(
        _ name: Path, _ path: EntryPath, _ parent: SharedFD, _ identity: FileIdentity, _ visit: Visitor
    ) throws(CtrError) {
        // What was a file a moment ago may be a fifo now: do not wait for its writer.
        let file = SharedFD(
            try kernel(path) { () throws(SysError) in
                try parent.fd.open(
                    name, [.readOnly, .noFollow, .nonBlocking, .noControllingTerminal, .noAccessTime])
            })
        let status = try kernel(path) { () throws(SysError) in try file.fd.status() }
        guard status.type == .regular, FileIdentity(status) == identity else {
            throw CtrError(.io, "\(path.text): changed while it was read (stop what writes there)")
        }
        var entry = entry(path, .regular, status)
        entry.attributes = try attributes(path, file)
        if status.allocated < status.size { entry.extents = try extents(path, file, status.size) }
        try visit(entry, file)
    }

    private func entry(_ path: EntryPath, _ kind: TreeEntry.Kind, _ status: FileStatus) -> TreeEntry {
        TreeEntry(
            path: path, kind: kind, permissions: status.permissions, uid: status.uid, gid: status.gid,
            modified: status.modified, size: kind == .regular ? status.size : 0)
    }

    private func attributes(
        _ path: EntryPath, _ file: SharedFD
    ) throws(CtrError) -> [(name: String, value: [UInt8])] {
        var all: [(name: String, value: [UInt8])] = []
        for name in try kernel(path, { () throws(SysError) in try file.fd.attributeNames() }).sorted() {
            guard AttributePolicy.keeps(name) else {
                notes.add("attributes \(name.escaped) left out", path)
                continue
            }
            if let value = try kernel(path, { () throws(SysError) in try file.fd.attribute(name) }) {
                all.append((name, try AttributePolicy.normalized(name, value, of: path)))
            }
        }
        return all
    }

    /// The runs of data of a file with holes; nil where it has none.
    private func extents(_ path: EntryPath, _ file: SharedFD, _ size: Int64) throws(CtrError) -> [Extent]? {
        try kernel(path) { () throws(SysError) in
            var all: [Extent] = []
            var offset: Int64 = 0
            while offset < size, let start = try file.fd.nextData(offset) {
                let end = min(try file.fd.seek(.hole, start), size)
                if start >= size { break }
                all.append(Extent(offset: start, length: end - start))
                offset = end
            }
            try file.fd.seek(.start, 0)
            return all == [Extent(offset: 0, length: size)] ? nil : all
        }
    }

    private func kernel<R>(_ path: EntryPath, _ body: () throws(SysError) -> R) throws(CtrError) -> R
    where R: ~Copyable {
        do { return try body() } catch {
            throw CtrError(
                .io, "\(path.text): \(error.call): \(SysError.text(error.errno))", errno: error.errno)
        }
    }
}

/// Copies a directory tree through a ``TreeWriter``.
struct TreeCopier {
    let reader: TreeReader
    let writer: TreeWriter
    let progress: TemplateProgress

    /// - Parameter change: what becomes of each entry; nil leaves it out.
    func copy(
        _ change: (TreeEntry) throws(CtrError) -> TreeEntry? = { (entry) throws(CtrError) in entry }
    ) throws(CtrError) {
        var told: Int64 = 0
        try reader.walk { (original, file) throws(CtrError) in
            guard let entry = try change(original) else { return }
            try writer.add(entry) { (target) throws(CtrError) in
                if let file { try copyData(entry, file.fd, target.fd) }
            }
            if writer.dataBytes - told >= 16 << 20 {
                told = writer.dataBytes
                progress(.progress(done: told, total: 0))
            }
        }
    }

    private func copyData(
        _ entry: TreeEntry, _ source: borrowing FD, _ target: borrowing FD
    ) throws(CtrError) {
        for extent in entry.extents ?? [Extent(offset: 0, length: entry.size)] {
            do {
                try source.seek(.start, extent.offset)
                try target.seek(.start, extent.offset)
            } catch { throw writer.failure(entry, error) }
            var left = extent.length
            while left > 0 {
                let part = min(left, 8 << 20)
                try writer.count(part, of: entry)
                let copied: Int
                do { copied = try copyPart(source, target, Int(part)) } catch { throw writer.failure(entry, error) }
                if copied == 0 { break }
                left -= Int64(copied)
            }
        }
    }

    /// Shares or copies in the kernel; between file systems that cannot, through memory.
    private func copyPart(_ source: borrowing FD, _ target: borrowing FD, _ count: Int) throws(SysError) -> Int {
        do { return try source.copyRange(to: target, count: count) } catch {
            guard [Errno.crossDevice, Errno.notSupported, Errno.notImplemented].contains(error.errno) else {
                throw error
            }
        }
        let data = try source.read(upTo: min(count, 1 << 20))
        try target.writeAll(data)
        return data.count
    }
}
