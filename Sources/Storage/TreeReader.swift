internal import Kernel
internal import Model

/// Walks a directory tree as archives list it: directories before what they hold, names in byte order, hard links told
/// from files, holes found.
///
/// The tree may change under the walk, by a hand that wishes us ill: each file is opened once, without using it (O_PATH),
/// and everything that follows is done to what that descriptor names. So a FIFO or a device that takes a file's place is
/// never opened, and a link never followed.
final class TreeReader {
    private let root: SharedFD
    private let limits: ImportLimits
    private let notes: Notes
    private let rules: TreeRules
    /// A directory to leave out: the templates' own, when it lies inside.
    private let excluded: FileIdentity?
    private var seen: [FileIdentity: EntryPath] = [:]
    /// Names that no other may be told as a hard link to: their data do not come along.
    var standsAlone: (EntryPath) -> Bool = { _ in false }
    /// The directories that the walk is in, where links are followed: one that leads back to them has no end.
    private var above: [FileIdentity] = []

    struct FileIdentity: Hashable {
        let device: DeviceNumber
        let inode: UInt64
        init(_ status: FileStatus) {
            device = status.device
            inode = status.inode
        }
    }

    typealias Visitor = (TreeEntry, SharedFD?) throws(CtrError) -> Void

    /// - Parameter root: a directory, or a file of another kind opened with O_PATH.
    init(
        root: SharedFD, limits: ImportLimits, notes: Notes, excluded: FileIdentity? = nil, rules: TreeRules = .template
    ) {
        self.root = root
        self.limits = limits
        self.notes = notes
        self.excluded = excluded
        self.rules = rules
    }

    /// Calls `visit` with each entry, and with an open descriptor for regular files.
    /// - Parameter start: the path that the root's own entry has.
    func walk(from start: EntryPath = .root, _ visit: Visitor) throws(CtrError) {
        let status = try describing("read the root") { () throws(SysError) in try root.fd.status() }
        guard status.type == .directory else {
            return try visitNode(root, start, status, from: nil, depth: 1, visit)
        }
        try visitDirectory(root, start, device: status.device, depth: 1, visit)
    }

    private func visitNames(
        of directory: SharedFD, _ path: EntryPath, _ device: DeviceNumber, depth: Int, _ visit: Visitor
    ) throws(CtrError) {
        if depth > limits.depth {
            throw CtrError(.badInput, "\(path.text): more than \(limits.depth) directories deep")
        }
        let names = try kernel(path) { () throws(SysError) in try directory.fd.entries() }.map(\.name)
        for name in names.sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
            let child = path.appending(name.bytes)
            guard let node = try open(name, child, directory) else { continue }
            let status = try kernel(child) { () throws(SysError) in try node.fd.status() }
            try visitNode(node, child, status, from: device, depth: depth, visit)
        }
    }

    /// What has this name at this moment; nil where it has gone or may not be read.
    private func open(_ name: Path, _ path: EntryPath, _ parent: SharedFD) throws(CtrError) -> SharedFD? {
        do throws(SysError) {
            if rules.followsLinks { return SharedFD(try parent.fd.open(name, [.path])) }
            return SharedFD(
                try parent.fd.open(name, [.path, .noFollow], resolve: [.beneath, .noMagicLinks]))
        } catch {
            if rules.isCopy, error.errno == Errno.noEntry || error.errno == Errno.loop {
                notes.add(
                    rules.followsLinks ? "links that lead nowhere left out" : "files that went away left out", path)
                return nil
            }
            throw failure(path, error)
        }
    }

    /// - Parameter device: that of the directory it is in; nil at the root.
    private func visitNode(
        _ node: SharedFD, _ path: EntryPath, _ status: FileStatus, from device: DeviceNumber?, depth: Int,
        _ visit: Visitor
    ) throws(CtrError) {
        if let device, status.device != device, try isKernels(node, path) {
            return notes.add("files of /proc, /sys and the like left out", path)
        }
        if status.type == .directory {
            if FileIdentity(status) == excluded { return notes.add("the templates' own directory left out", path) }
            let border = rules.isCopy ? status.device : device ?? status.device
            return try visitDirectory(node, path, device: border, depth: depth + 1, visit)
        }
        if let device, !rules.isCopy, !rules.isOverlay, status.device != device {
            return notes.add("files of other file systems left out", path)
        }
        if status.type == .socket || status.type == .unknown { return notes.add("sockets left out", path) }
        if rules.isCopy, [.fifo, .character, .block].contains(status.type) {
            return notes.add("FIFOs and devices left out", path)
        }
        let identity = FileIdentity(status)
        if status.links > 1, let first = seen[identity] {
            return try visit(entry(path, .hardLink(target: first), status), nil)
        }
        switch status.type {
        case .regular: try visitFile(node, path, visit)
        case .symlink:
            let target = try kernel(path) { () throws(SysError) in try node.fd.readLink("") }
            try visit(entry(path, .symlink(target: target.bytes), status), nil)
        case .character: try visit(entry(path, .character(status.node), status), nil)
        case .block: try visit(entry(path, .block(status.node), status), nil)
        default: try visit(entry(path, .fifo, status), nil)
        }
        if status.links > 1, !standsAlone(path) { seen[identity] = path }
    }

    /// - Parameter device: the file system that the walk stays in.
    private func visitDirectory(
        _ node: SharedFD, _ path: EntryPath, device: DeviceNumber, depth: Int, _ visit: Visitor
    ) throws(CtrError) {
        let opened = try reopen(node, path, directory: true)
        let status = try kernel(path) { () throws(SysError) in try opened.fd.status() }
        if rules.followsLinks, above.contains(FileIdentity(status)) {
            return notes.add("links that lead back to a directory above them left out", path)
        }
        var entry = entry(path, .directory, status)
        entry.attributes = try attributes(path, opened)
        try visit(entry, nil)
        if status.device != device { return notes.add("contents of mounted file systems left out", path) }
        if rules.followsLinks { above.append(FileIdentity(status)) }
        try visitNames(of: opened, path, device, depth: depth, visit)
        if rules.followsLinks { above.removeLast() }
    }

    private func visitFile(_ node: SharedFD, _ path: EntryPath, _ visit: Visitor) throws(CtrError) {
        let file = try reopen(node, path, directory: false)
        let status = try kernel(path) { () throws(SysError) in try file.fd.status() }
        var entry = entry(path, .regular, status)
        entry.attributes = try attributes(path, file)
        if status.allocated < status.size { entry.extents = try extents(path, file, status.size) }
        try visit(entry, file)
    }

    /// Opens for reading what is known to be a regular file or a directory. Never waits: someone may hold a lease on it.
    private func reopen(_ node: SharedFD, _ path: EntryPath, directory: Bool) throws(CtrError) -> SharedFD {
        let flags: OpenFlags = directory ? [.directory] : [.readOnly, .nonBlocking, .noControllingTerminal]
        do throws(SysError) { return SharedFD(try node.fd.reopen(flags.union(.noAccessTime))) } catch {
            // What to leave unread is the right of the owner, whom this host may not know.
            if error.errno != Errno.perm { throw failure(path, error) }
        }
        return SharedFD(try kernel(path) { () throws(SysError) in try node.fd.reopen(flags) })
    }

    private func isKernels(_ node: SharedFD, _ path: EntryPath) throws(CtrError) -> Bool {
        guard rules.isCopy else { return false }
        return try kernel(path) { () throws(SysError) in try node.fd.isOfKernelFileSystem() }
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
            guard rules.keeps(attribute: name) else {
                if !rules.ignores(attribute: name) { notes.add("attributes \(name.escaped) left out", path) }
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
        do { return try body() } catch { throw failure(path, error) }
    }

    private func failure(_ path: EntryPath, _ cause: SysError) -> CtrError {
        CtrError(.io, "\(path.text): \(cause.call): \(SysError.text(cause.errno))", errno: cause.errno)
    }
}

/// What reading or writing a tree is for, which decides on what it may hold.
struct TreeRules {
    /// A copy into or out of a living VPS, not a template: its files change meanwhile, it goes across mounts but never into
    /// the kernel's own file systems, leaves FIFOs and devices out, and takes no place of a directory.
    var isCopy = false
    /// Links are followed; for trees of the host alone.
    var followsLinks = false
    /// An overlay without mounts below it: its files carry the device numbers of the layers that they are in.
    var isOverlay = false

    /// The upper layer of an overlay: whiteouts and marks of opaque directories are kept as they are.
    var isLayer = false

    static let template = TreeRules()
    static let copy = TreeRules(isCopy: true)
    static let overlay = TreeRules(isOverlay: true)
    static let layer = TreeRules(isLayer: true)

    func keeps(attribute name: String) -> Bool {
        if isLayer, name == AttributePolicy.opaque { return true }
        return AttributePolicy.keeps(name) && (!isCopy || name.hasPrefix("user."))
    }

    /// Labels of security modules are the host's own business: a copy without them lacks nothing.
    func ignores(attribute name: String) -> Bool {
        if isLayer, name.hasPrefix("trusted.overlay.") { return true }
        return isCopy && name.hasPrefix("security.") && name != AttributePolicy.capability
    }
}

extension FD {
    /// Whether this file is the kernel's own word or switch and not something that was stored: /proc, /sys, cgroups,
    /// terminals. Their numbers are those of magic.h and statfs(2).
    borrowing func isOfKernelFileSystem() throws(SysError) -> Bool {
        let magic = try fileSystemStatus().magic & 0xffff_ffff
        let known: Set<UInt64> = [
            // proc sysfs cgroup cgroup2 devpts mqueue
            0x9fa0, 0x6265_6572, 0x27_e0eb, 0x6367_7270, 0x1cd1, 0x1980_0202,
            // debugfs tracefs securityfs bpf binfmt_misc
            0x6462_6720, 0x7472_6163, 0x7363_6673, 0xcafe_4a11, 0x4249_4e4d,
            // configfs pstore efivarfs selinux smack
            0x6265_6570, 0x6165_676c, 0xde5e_81e4, 0xf97c_ff8c, 0x4341_5d53,
            // nsfs pidfs pipefs sockfs anon_inode
            0x6e73_6673, 0x5049_4446, 0x5049_5045, 0x534f_434b, 0x0904_1934,
            0x6573_5543, 0x765_5821, 0x6759_6969,  // fusectl resctrl rpc_pipefs
        ]
        return known.contains(magic)
    }
}
