internal import Kernel

/// Makes the files of a checkpoint durable, with as few commits of the file system's journal as can be: fsync(2) of fifty
/// small files takes fifty, a tenth of a second and more, and syncfs(2) one.
struct Durability {
    /// Bytes from which a file is worth a call of its own.
    private static let large: Int64 = 1 << 20
    /// Bytes of others' files that may be waited for with ours.
    private static let patience: Int64 = 64 << 20

    let directory: SharedFD

    /// A file that is written; what is large goes to the disk now.
    func add(_ file: SharedFD, _ size: Int64) throws(SysError) { if size >= Durability.large { try file.fd.sync() } }

    /// All files of these names, and their directories.
    func finish(_ names: [String]) throws(SysError) {
        if let waiting = try? ProcFiles.unwritten(), waiting < Durability.patience {
            return try directory.fd.syncFileSystem()
        }
        for name in names { try directory.fd.open(name, [.readOnly, .noFollow]).sync() }
        for entry in try directory.fd.openHere().entries() where entry.type == .directory {
            try directory.fd.open(entry.name, [.directory, .noFollow]).sync()
        }
        try directory.fd.openHere().sync()
    }
}
