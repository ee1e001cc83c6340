internal import Checkpoint
internal import Kernel
internal import Model

/// What a restore takes from the disk just before the checkpoint is used up (``Checkpoint/Remaps``), kept by further names of
/// ctr's own beside the root, where the guest does not come: where criu is killed in between, the next resume finds it again.
struct KeptRemaps {
    private static let name = "remaps"

    let remaps: Remaps
    /// Holds `upper`: the VPS's writable layer, which is not mounted as its root.
    let disk: SharedFD

    /// - Parameters:
    ///   - root: a mount of what the VPS writes to; nil for one without an image.
    ///   - directory: the VPS's.
    init(_ remaps: Remaps, root: SharedFD?, in directory: SharedFD) throws(SysError) {
        self.remaps = remaps
        if let root {
            disk = SharedFD(try root.fd.openHere())
        } else {
            disk = SharedFD(try directory.fd.open("disk", [.directory, .noFollow]))
        }
    }

    /// Before a restore: gives what an earlier one has taken back, and takes away what it left. As well as may be: on a disk
    /// without any room the restore itself may still succeed.
    func prepare() {
        removeGhosts()
        if remaps.links.isEmpty { return remove() }
        guard let kept = try? SharedFD(disk.fd.ensureDirectory(KeptRemaps.name, mode: 0o700)) else { return }
        for (number, path) in remaps.links.enumerated() {
            guard let (directory, base) = place(path) else { continue }
            let (here, there) = (inode(base, directory), inode("\(number)", kept))
            if here == nil {
                if there != nil { try? kept.fd.link("\(number)", to: directory.fd, base) }
            } else if here != there {
                // That is of an earlier checkpoint.
                if there != nil { try? kept.fd.unlink("\(number)") }
                try? directory.fd.link(base, to: kept.fd, "\(number)")
            }
        }
    }

    /// The processes go on: they have them open, and nobody needs a name.
    func remove() { try? disk.fd.removeTree(KeptRemaps.name) }

    /// Of a VPS that runs, whose resume was cut off when it had gone on.
    static func sweep(_ files: VPSFiles, in directory: SharedFD) {
        if (try? directory.fd.status(of: "disk")) != nil { try? directory.fd.removeTree("disk/\(name)") }
        if let top = try? files.diskTop(in: directory) { try? top.fd.removeTree("root/\(name)") }
    }

    /// Of a checkpoint that is given up.
    func discard() {
        for path in remaps.links { if let (directory, base) = place(path) { try? directory.fd.unlink(base) } }
        removeGhosts()
        remove()
    }

    private func removeGhosts() {
        for path in remaps.ghosts {
            var parts = path.split(separator: "/").map(String.init)
            guard let base = parts.popLast() else { continue }
            // Where its directory was gone criu has made it in one above.
            while true {
                if let (directory, _) = place((parts + [base]).joined(separator: "/")) {
                    try? directory.fd.unlink(base)
                }
                if parts.popLast() == nil { break }
            }
        }
    }

    private func inode(_ name: String, _ directory: SharedFD) -> UInt64? {
        guard let status = try? directory.fd.status(of: name), status.type != .directory else { return nil }
        return status.inode
    }

    /// The directory of a path below the root, and the name in it; nil where it is not on this disk.
    private func place(_ path: String) -> (SharedFD, String)? {
        var parts = path.split(separator: "/").map(String.init)
        guard let base = parts.popLast() else { return nil }
        let above = (["upper"] + parts).joined(separator: "/")
        guard
            let directory = try? disk.fd.open(
                above, [.readOnly, .directory, .noFollow], resolve: [.beneath, .noSymlinks, .noMagicLinks])
        else { return nil }
        return (SharedFD(directory), base)
    }
}
