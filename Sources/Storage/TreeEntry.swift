internal import Kernel
internal import Model

/// One file of a tree on its way from an archive or a directory into a template, or out of one into an archive.
struct TreeEntry {
    enum Kind: Equatable {
        case regular, directory, fifo
        case symlink(target: [UInt8])
        /// A further name of an entry that came before.
        case hardLink(target: EntryPath)
        case character(DeviceNumber)
        case block(DeviceNumber)

        /// FIFOs and device nodes.
        var isSpecial: Bool {
            switch self {
            case .fifo, .character, .block: true
            default: false
            }
        }
    }
    var path: EntryPath
    var kind: Kind
    /// Permission bits, 0 to 0o7777.
    var permissions: UInt32
    var uid: UInt32
    var gid: UInt32
    var modified: FileTime
    /// Extended attributes by name, those of ``AttributePolicy`` only.
    var attributes: [(name: String, value: [UInt8])] = []
    /// Logical bytes of a regular file.
    var size: Int64 = 0
    /// Where a regular file has data, ascending; nil: everywhere.
    var extents: [Extent]?
}

/// A run of data in a sparse file, in bytes.
struct Extent: Equatable {
    var offset: Int64
    var length: Int64
}

/// A path below the root of a tree: components without empty ones, `.` and `..`. Empty is the root itself.
struct EntryPath: Hashable {
    /// The components joined by `/`.
    let bytes: [UInt8]

    static let root = EntryPath(joined: [])

    private init(joined: [UInt8]) { bytes = joined }

    /// Of names that are our own.
    init(_ names: [String]) { self.init(joined: Array(names.joined(separator: "/").utf8)) }

    var isRoot: Bool { bytes.isEmpty }

    var path: Path { isRoot ? "." : Path(bytes: bytes) }

    /// The directory that holds it; the root's is the root.
    var parent: EntryPath {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return .root }
        return EntryPath(joined: Array(bytes[..<slash]))
    }

    /// The last component.
    var name: [UInt8] {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return bytes }
        return Array(bytes[(slash + 1)...])
    }

    func appending(_ name: [UInt8]) -> EntryPath {
        EntryPath(joined: isRoot ? name : bytes + [UInt8(ascii: "/")] + name)
    }

    func isAtOrBelow(_ other: EntryPath) -> Bool {
        if other.isRoot || self == other { return true }
        return bytes.count > other.bytes.count && bytes[other.bytes.count] == UInt8(ascii: "/")
            && bytes.starts(with: other.bytes)
    }

    /// As seen from a directory above it, or from itself.
    func relative(to above: EntryPath) -> EntryPath {
        if above.isRoot || self == above { return self == above ? .root : self }
        return EntryPath(joined: Array(bytes.dropFirst(above.bytes.count + 1)))
    }

    /// The rest of the path from a directory above it.
    func path(below above: EntryPath) -> Path {
        above.isRoot ? path : Path(bytes: bytes.dropFirst(above.bytes.count + 1))
    }

    /// For messages: quoted, nothing in it can drive a terminal.
    var text: String { quoted(bytes.isEmpty ? [UInt8(ascii: ".")] : bytes) }

    /// Takes a name as an archive has it. Throws `badInput` for names that are absolute, hold `..` or NUL, or are longer
    /// or deeper than the kernel and `limits` take.
    init(archive raw: [UInt8], limits: ImportLimits) throws(CtrError) {
        func bad(_ why: String) -> CtrError { CtrError(.badInput, "entry \(quoted(raw)): \(why)") }
        if raw.isEmpty { throw bad("has no name") }
        if raw.contains(0) { throw bad("a NUL in its name") }
        if raw[0] == UInt8(ascii: "/") { throw bad("an absolute name") }
        // The kernel takes 4096 bytes with the final NUL.
        if raw.count > 4095 { throw bad("its name is longer than 4095 bytes") }
        var joined: [UInt8] = []
        joined.reserveCapacity(raw.count)
        var depth = 0
        for part in raw.split(separator: UInt8(ascii: "/")) {
            if part.elementsEqual([46]) { continue }
            if part.elementsEqual([46, 46]) { throw bad("'..' in its name") }
            if part.count > 255 { throw bad("a component of its name is longer than 255 bytes") }
            depth += 1
            if !joined.isEmpty { joined.append(UInt8(ascii: "/")) }
            joined += part
        }
        if depth > limits.depth { throw bad("more than \(limits.depth) directories deep") }
        bytes = joined
    }
}

/// Bytes from outside for a message: in quotes, control characters escaped, cut after 200 bytes.
func quoted(_ bytes: [UInt8]) -> String {
    let text = String(decoding: bytes.prefix(200), as: UTF8.self).escaped
    return bytes.count > 200 ? "'\(text)…'" : "'\(text)'"
}

/// The extended attributes that a template may carry.
///
/// Kept: `user.*`, `security.capability`, POSIX ACLs. Left out: `trusted.*` and `user.overlay.*`, which would give orders
/// to overlayfs, and labels of security modules, which mean nothing on another host.
enum AttributePolicy {
    static func keeps(_ name: String) -> Bool {
        if name.hasPrefix("user.overlay.") { return false }
        return name.hasPrefix("user.") && name.utf8.count > 5 || name == capability
            || name == "system.posix_acl_access" || name == "system.posix_acl_default"
    }

    static let capability = "security.capability"
    /// Says of a directory of an overlay's upper layer that it hides what lower ones have of it.
    static let opaque = "trusted.overlay.opaque"

    /// Brings file capabilities to version 2: version 3 names a user namespace's root of the host that wrote it.
    /// Throws `badInput` for what is no capability.
    static func normalized(_ name: String, _ value: [UInt8], of path: EntryPath) throws(CtrError) -> [UInt8] {
        if value.count > 65536 {
            throw CtrError(.badInput, "entry \(path.text): attribute '\(name.escaped)' is longer than 64 KiB")
        }
        if name == opaque, value != [UInt8(ascii: "y")] {
            throw CtrError(.badInput, "entry \(path.text): its mark of an opaque directory is malformed")
        }
        guard name == capability else { return value }
        let revision = value.count >= 4 ? value[3] : 0
        if revision == 2, value.count == 20 { return value }
        if revision == 3, value.count == 24 { return Array(value[0..<3]) + [2] + value[4..<20] }
        throw CtrError(.badInput, "entry \(path.text): its file capability is malformed")
    }
}

/// The device nodes that a template may carry: those that every VPS may use anyway.
enum NodePolicy {
    enum Verdict { case keep, leaveOut, refuse }

    private static let plain: Set<DeviceNumber> = [
        DeviceNumber(major: 1, minor: 3), DeviceNumber(major: 1, minor: 5), DeviceNumber(major: 1, minor: 7),
        DeviceNumber(major: 1, minor: 8), DeviceNumber(major: 1, minor: 9), DeviceNumber(major: 5, minor: 0),
        DeviceNumber(major: 5, minor: 1), DeviceNumber(major: 5, minor: 2),
    ]

    /// null, zero, full, random, urandom, tty, console and ptmx are kept. Others below `dev/` are left out, for root
    /// file systems of other tools carry them and a VPS has a /dev of its own; others elsewhere are refused.
    static func verdict(_ entry: TreeEntry, _ rules: TreeRules = .template) -> Verdict {
        switch entry.kind {
        case .character(DeviceNumber(major: 0, minor: 0)) where rules.isLayer: .keep
        case .character(let number) where plain.contains(number): .keep
        // A character device 0:0 is how overlayfs spells "deleted".
        case .character(DeviceNumber(major: 0, minor: 0)): .refuse
        case .character, .block: entry.path.bytes.starts(with: Array("dev/".utf8)) ? .leaveOut : .refuse
        default: .keep
        }
    }
}
