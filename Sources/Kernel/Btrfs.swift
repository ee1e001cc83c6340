internal import CLinux
internal import Glibc

/// What btrfs offers beyond other file systems: see btrfs-ioctl(2).
public enum Btrfs {
    /// Mounts the file system on a device, or another view of it where it is mounted already; attached nowhere.
    /// - Parameters:
    ///   - subvolume: its path below the top level; nil for the top level.
    ///   - options: further ones, with value or (empty) without.
    public static func mount(
        _ device: String, subvolume: String?, options: [(String, String)] = []
    ) throws(SysError) -> FD {
        let context = try FileSystemContext("btrfs")
        if let subvolume { try context.set("subvol", subvolume) } else { try context.set("subvolid", "5") }
        for (key, value) in options {
            if value.isEmpty { try context.set(key) } else { try context.set(key, value) }
        }
        return try context.mount(from: device, [.noDev])
    }

    /// Errors that scrub(8) counts.
    public struct ScrubResult: Sendable, Equatable {
        /// Bytes read.
        public var bytes: UInt64
        public var corrected: UInt64
        public var uncorrectable: UInt64
    }
}

extension FD {
    /// Makes an empty subvolume below this directory.
    public borrowing func createSubvolume(_ name: String) throws(SysError) {
        let fd = rawValue
        try name.withCPath { (n) throws(SysError) in
            _ = try check(ctr_btrfs_subvolume_create(fd, n), "ioctl BTRFS_IOC_SUBVOL_CREATE", name)
        }
    }

    /// Makes a subvolume below this directory that shares all that `source`, a subvolume's root, has now.
    public borrowing func snapshot(of source: SharedFD, _ name: String, readOnly: Bool) throws(SysError) {
        let fd = rawValue
        try name.withCPath { (n) throws(SysError) in
            _ = try check(
                ctr_btrfs_snapshot(source.fd.rawValue, fd, n, readOnly ? 1 : 0), "ioctl BTRFS_IOC_SNAP_CREATE_V2", name)
        }
    }

    /// Removes a subvolume and its data, which the kernel gives back by and by.
    public borrowing func deleteSubvolume(_ name: String) throws(SysError) {
        let fd = rawValue
        try name.withCPath { (n) throws(SysError) in
            _ = try check(ctr_btrfs_subvolume_delete(fd, n), "ioctl BTRFS_IOC_SNAP_DESTROY", name)
        }
    }

    /// Gives the file system on one device another size, online. ENOSPC where its data don't fit.
    /// - Parameter bytes: nil for all of the device.
    public borrowing func resizeBtrfs(_ bytes: Int64?) throws(SysError) {
        let fd = rawValue
        let amount = bytes.map { "1:\($0)" } ?? "1:max"
        try amount.withCPath { (n) throws(SysError) in
            _ = try check(ctr_btrfs_resize(fd, n), "ioctl BTRFS_IOC_RESIZE", amount)
        }
    }

    /// Bytes of the device in allocated chunks, and in all as the file system has it.
    public borrowing func btrfsDevice() throws(SysError) -> (allocated: Int64, total: Int64) {
        var (used, total): (UInt64, UInt64) = (0, 0)
        try check(ctr_btrfs_device_info(rawValue, 1, &used, &total), "ioctl BTRFS_IOC_DEV_INFO")
        return (Int64(used), Int64(total))
    }

    /// Writes everything down, deleted subvolumes' ends included.
    public borrowing func syncBtrfs() throws(SysError) {
        try check(ctr_btrfs_sync(rawValue), "ioctl BTRFS_IOC_SYNC")
    }

    /// Reads every block and checks it by its checksum; mends from a second copy where there is one.
    public borrowing func scrubBtrfs() throws(SysError) -> Btrfs.ScrubResult {
        var progress = btrfs_scrub_progress()
        try check(ctr_btrfs_scrub(rawValue, 1, &progress), "ioctl BTRFS_IOC_SCRUB")
        return Btrfs.ScrubResult(
            bytes: progress.data_bytes_scrubbed + progress.tree_bytes_scrubbed,
            corrected: progress.corrected_errors,
            uncorrectable: progress.uncorrectable_errors + progress.unverified_errors)
    }

    /// Gives free blocks back to what is beneath; returns bytes. The corresponding call is `ioctl(2)` with FITRIM.
    public borrowing func trim() throws(SysError) -> Int64 {
        var trimmed: UInt64 = 0
        try check(ctr_fitrim(rawValue, &trimmed), "ioctl FITRIM")
        return Int64(clamping: trimmed)
    }
}
