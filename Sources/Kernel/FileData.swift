internal import CLinux
internal import Glibc

// Positions, sizes and copies of an open file's data.
extension FD {
    /// From where `lseek(2)` counts.
    public enum Whence: Sendable {
        case start, current, end
        /// The next data, or the next hole, at or after the offset. ENXIO past the last.
        case data, hole
    }

    /// Moves the file offset and returns it, in bytes. The corresponding call is `lseek(2)`.
    @discardableResult
    public borrowing func seek(_ whence: Whence, _ offset: Int64) throws(SysError) -> Int64 {
        let from =
            switch whence {
            case .start: SEEK_SET
            case .current: SEEK_CUR
            case .end: SEEK_END
            case .data: Int32(CTR_SEEK_DATA)
            case .hole: Int32(CTR_SEEK_HOLE)
            }
        return Int64(try check(ctr_ret(lseek(rawValue, Int(offset), from)), "lseek"))
    }

    /// The start of the next data at or after `offset`; nil where only a hole follows.
    public borrowing func nextData(_ offset: Int64) throws(SysError) -> Int64? {
        do throws(SysError) { return try seek(.data, offset) } catch  where error.errno == ENXIO { return nil }
    }

    /// Sets the size in bytes; what is added is a hole. The corresponding call is `ftruncate(2)`.
    public borrowing func truncate(_ size: Int64) throws(SysError) {
        try check(ctr_ret(Int(ftruncate(rawValue, Int(size)))), "ftruncate")
    }

    /// Reserves space on the disk for a range. The corresponding call is `posix_fallocate(3)`.
    public borrowing func allocate(_ offset: Int64, _ size: Int64) throws(SysError) {
        try check(-Int(posix_fallocate(rawValue, Int(offset), Int(size))), "fallocate")
    }

    /// Reads at an offset, as much as the kernel gives; 0 is the end. The corresponding call is `pread(2)`.
    public borrowing func read(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(SysError) -> Int {
        let number = rawValue
        return try checkRetrying("pread") { ctr_ret(pread(number, buffer.baseAddress, buffer.count, Int(offset))) }
    }

    /// Writes all of the buffer, in as many calls as it takes.
    public borrowing func writeAll(_ buffer: UnsafeRawBufferPointer) throws(SysError) {
        var rest = buffer[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            rest = rest.dropFirst(try write(part))
        }
    }

    /// Copies at most `count` bytes between regular files at both files' offsets, sharing extents where the file system
    /// can; returns the number, 0 at the end. The corresponding call is `copy_file_range(2)`.
    public borrowing func copyRange(to target: borrowing FD, count: Int) throws(SysError) -> Int {
        let number = rawValue
        let other = target.rawValue
        return try checkRetrying("copy_file_range") { ctr_copy_file_range(number, nil, other, nil, count) }
    }

    /// Makes another file's bytes share this one's blocks where they are alike; 0 where they are not.
    /// The corresponding call is `ioctl(2)` with FIDEDUPERANGE, which takes so much at a time as it likes.
    /// - Returns: bytes.
    public borrowing func shareRange(with other: borrowing FD, offset: Int64, count: Int64) throws(SysError) -> Int64 {
        Int64(
            try check(
                ctr_dedupe_range(rawValue, other.rawValue, offset, min(count, 16 << 20)), "ioctl FIDEDUPERANGE"))
    }

    /// Has what is written of a range of this file go to the disk from now on, without waiting for it; a hint, of which nothing
    /// is promised. The corresponding call is `sync_file_range(2)` with SYNC_FILE_RANGE_WRITE.
    /// - Parameter size: 0: to the end.
    public borrowing func startWriting(_ offset: Int64 = 0, _ size: Int64 = 0) {
        _ = ctr_start_writing(rawValue, offset, size)
    }

    /// Gives the space of a range back, which reads as zeros from then on; the size stays. The corresponding call is
    /// `fallocate(2)` with FALLOC_FL_PUNCH_HOLE.
    public borrowing func punch(_ offset: Int64, _ size: Int64) throws(SysError) {
        try check(ctr_punch(rawValue, offset, size), "fallocate")
    }

    /// Hands all bytes of this file over in pieces, from its start; the offset is put back there.
    public borrowing func forEachPiece(_ body: (UnsafeRawBufferPointer) -> Void) throws(SysError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
        defer { buffer.deallocate() }
        try seek(.start, 0)
        while true {
            let count = try read(into: buffer)
            if count == 0 { break }
            body(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
        }
        try seek(.start, 0)
    }

    /// Writes everything of this file's whole file system to the disk. The corresponding call is `syncfs(2)`.
    public borrowing func syncFileSystem() throws(SysError) {
        try check(ctr_syncfs(rawValue), "syncfs")
    }
}

extension FD {
    /// Opens this directory, of which the descriptor may only be a name (O_PATH, a mount), for work in it.
    public borrowing func openHere() throws(SysError) -> FD { try open(".", [.directory]) }

    /// Opens anew, with other flags, the very file that this descriptor names: no name is looked up again, so nobody can
    /// put something else in its place. The corresponding call is `open(2)` on /proc/self/fd.
    public borrowing func reopen(_ flags: OpenFlags) throws(SysError) -> FD {
        try Kernel.open(procPath, flags)
    }
}
