internal import Kernel
internal import Model

/// A directory below vps/ without config.json: what a crash left of a VPS, or something that ctr has nothing to do with
/// and must not touch (an operator's copy, a VPS whose config.json was lost).
enum Leftover {
    /// What config.json is called from the moment at which a VPS is being destroyed.
    static let mark = ".destroyed.json"

    /// Names that ctr gives what it makes there.
    private static let known: Set<String> = [
        mark, "upper", "work", "disk", "log", "scratch.img", ".scratch.img.new", ".disk.img.new", ".disk.new",
        "scripts",
        "snapshots", "snapshots.json", ".snapshots.json.new", "last.json", ".last.json.new", ".config.json.new",
    ]

    /// Whether it may be removed; where not, the operator is told.
    static func isOne(_ files: VPSFiles) throws(CtrError) -> Bool {
        guard let directory = try files.directory() else { return true }
        let isOurs = try describing("directory of VPS \(files.name)") { () throws(SysError) in
            let names = Set(try directory.fd.entries().map(\.name.description))
            if names.contains(mark) { return true }
            guard names.isSubset(of: known) else { return false }
            // Of a `create` that was killed the disk is still empty.
            return try !hasData(directory)
        }
        if !isOurs {
            Message.warn(
                "\(files.path.escaped): no VPS (it has no config.json) and no leftover of one; left alone "
                    + "(move it away, or ctr destroy --force \(files.name))")
        }
        return isOurs
    }

    /// Makes a VPS a leftover, in one step, then removes its data; the mark stays until they have gone.
    static func markAndEmpty(_ name: String, in all: SharedFD) throws(SysError) {
        let directory: FD
        do throws(SysError) { directory = try all.fd.open(name, [.directory, .noFollow]) } catch {
            if error.errno == Errno.noEntry { return }
            throw error
        }
        do throws(SysError) {
            try directory.rename("config.json", to: directory, mark)
            try directory.sync()
        } catch  where error.errno == Errno.noEntry {}
        for disk in ["disk", "disk.img"] { try directory.removeTree(disk) }
    }

    /// A kept VPS's disk; that of an ephemeral one is nobody's after its end.
    private static func hasData(_ directory: SharedFD) throws(SysError) -> Bool {
        do throws(SysError) {
            let disk = try directory.fd.open("disk", [.directory, .noFollow])
            return try !disk.open("upper", [.directory, .noFollow]).entries().isEmpty
        } catch  where error.errno == Errno.noEntry { return false }
    }
}
