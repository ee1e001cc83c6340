public import Kernel
public import Model

extension SnapshotData {
    /// What the VPS has written, as the disk has it, or a snapshot.
    /// - Throws: `io` where the data have gone.
    public func upper(_ id: String?) throws(CtrError) -> SharedFD {
        let place = try open(id)
        return try describing(what) { () throws(SysError) in
            SharedFD(try place.fd.open("upper", [.directory, .noFollow], resolve: [.beneath, .noSymlinks]))
        }
    }

    /// Makes a snapshot of what `body` writes; it is there when it is whole.
    /// - Parameter body: gets `upper`, which is empty.
    public func fillSnapshot(_ id: String, _ body: (SharedFD) throws(CtrError) -> Void) throws(CtrError) {
        let snapshots = try snapshots()
        let unfinished = ".\(id).new"
        try remove(id)
        let place = try describing(what) { () throws(SysError) in
            if isImage {
                try snapshots.fd.createSubvolume(unfinished)
            } else {
                try snapshots.fd.makeDirectory(unfinished, mode: 0o700)
            }
            let place = SharedFD(try snapshots.fd.open(unfinished, [.directory, .noFollow]))
            let mask = CurrentProcess.setFileModeMask(0)
            defer { CurrentProcess.setFileModeMask(mask) }
            for name in ["upper", "work"] { try place.fd.makeDirectory(name, mode: 0o755) }
            return place
        }
        try body(
            describing(what) { () throws(SysError) in SharedFD(try place.fd.open("upper", [.directory, .noFollow])) })
        try describing(what) { () throws(SysError) in
            try place.fd.syncFileSystem()
            if !isImage { return try snapshots.fd.rename(unfinished, to: snapshots.fd, id, replace: false) }
            try snapshots.fd.snapshot(of: place, id, readOnly: true)
            try snapshots.fd.deleteSubvolume(unfinished)
        }
    }
}

/// Lets files that are alike in two trees share their blocks, where the file system can: see FIDEDUPERANGE.
struct Sharing {
    /// The root of the tree that was there before.
    let before: SharedFD
    /// The least file for which it is worth while.
    private static let least: Int64 = 16 << 10

    /// Of a file that has been written. The kernel compares the bytes itself; what is not alike, or can't be shared, stays.
    func share(_ entry: TreeEntry, _ file: SharedFD) {
        guard entry.kind == .regular, entry.size >= Sharing.least,
            let other = try? before.fd.open(
                entry.path.path, [.readOnly, .noFollow, .nonBlocking], resolve: [.beneath, .noSymlinks, .noMagicLinks]),
            let status = try? other.status(), status.type == .regular, status.size == entry.size
        else { return }
        var offset: Int64 = 0
        while offset < entry.size {
            let shared = (try? other.shareRange(with: file.fd, offset: offset, count: entry.size - offset)) ?? 0
            if shared <= 0 { return }
            offset += shared
        }
    }
}
