internal import Kernel
internal import Model

/// A hash of what a tree's files are called and are: kind, owner, mode, times, size, links, attributes, and not their data.
/// Two trees that have it in common are copies of one.
struct TreeListing {
    private var hash = SHA256()

    mutating func add(_ entry: TreeEntry) {
        field(entry.path.bytes)
        switch entry.kind {
        case .regular: field(Array("f \(entry.size)".utf8))
        case .directory: field(Array("d".utf8))
        case .fifo: field(Array("p".utf8))
        case .symlink(let target):
            field(Array("l".utf8))
            field(target)
        case .hardLink(let target):
            field(Array("h".utf8))
            field(target.bytes)
        case .character(let number): field(Array("c \(number.major):\(number.minor)".utf8))
        case .block(let number): field(Array("b \(number.major):\(number.minor)".utf8))
        }
        let time = entry.modified
        field(Array("\(entry.permissions) \(entry.uid) \(entry.gid) \(time.seconds).\(time.nanoseconds)".utf8))
        let attributes = entry.attributes.sorted { $0.name < $1.name }
        field(Array("\(attributes.count)".utf8))
        for (name, value) in attributes {
            field(Array(name.utf8))
            field(value)
        }
    }

    /// With its length, so that no two rows of fields are the same bytes.
    private mutating func field(_ bytes: [UInt8]) {
        hash.update(Array("\(bytes.count):".utf8))
        hash.update(bytes)
    }

    /// Hexadecimal.
    consuming func text() -> String { hash.hex() }
}

extension OpenTemplate {
    /// ``TreeListing`` of its files.
    borrowing func listing() throws(CtrError) -> String {
        let rootfs = SharedFD(try openLayer())
        var listing = TreeListing()
        try TreeReader(root: rootfs, limits: ImportLimits(), notes: Notes()).walk { (entry, _) throws(CtrError) in
            listing.add(entry)
        }
        return listing.text()
    }
}
