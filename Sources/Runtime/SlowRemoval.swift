internal import Kernel

/// Removes files of which the kernel takes long to give the space back: 0.3 s for a GiB. It does so when the last descriptor of
/// them is closed, here that of a process that nobody waits for; however that ends, nothing is left.
enum SlowRemoval {
    /// Bytes from which on a file is worth it, and how many are: one process has only so many descriptors.
    private static let (least, most): (Int64, Int) = (16 << 20, 64)

    /// Removes a checkpoint with its images. What can't be removed stays, as with one that is not there.
    static func remove(checkpoint name: String, in directory: SharedFD) {
        // Dropped when all is removed and no descriptor is left here: at that the process ends.
        let end = try? hold(name, in: directory)
        try? directory.fd.removeTree(name)
        withExtendedLifetime(end) {}
    }

    /// Has another process hold the large images.
    private static func hold(_ name: String, in directory: SharedFD) throws(SysError) -> SharedFD? {
        let images = try directory.fd.open("\(name)/\(CheckpointFiles.images)", [.directory, .noFollow])
        var files: [SharedFD] = []
        for entry in try images.entries() where entry.type == .regular && files.count < most {
            let file = SharedFD(try images.open(entry.name, [.readOnly, .noFollow, .nonBlocking]))
            if try file.fd.status().size >= least { files.append(file) }
        }
        if files.isEmpty { return nil }
        let pipe = try Pipe()
        // The shell's child is nobody's here to reap.
        _ = try ToolProcess(
            "sh", ["-c", "cat <&3 >/dev/null 2>&1 &"], stderr: .null, handed: pipe.reading, others: files
        ).wait()
        return pipe.writing
    }
}
