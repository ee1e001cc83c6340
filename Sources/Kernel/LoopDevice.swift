internal import CLinux
internal import Glibc

/// A block device whose blocks are those of a file: see loop(4).
///
/// It is made with LO_FLAGS_AUTOCLEAR: with its last user (a descriptor, a mount) it goes, however that ends, so a crash
/// leaves none behind. It holds the open file that it was given: a flock(2) on that stays as long as the device does.
public struct LoopDevice: Sendable {
    public let fd: SharedFD
    public let number: Int

    public static func path(_ number: Int) -> String { "/dev/loop\(number)" }
    public var path: String { LoopDevice.path(number) }

    /// Takes a device that nobody has for the file. The corresponding calls are `ioctl(2)` with LOOP_CTL_GET_FREE and
    /// LOOP_CONFIGURE; EBUSY in between, where another was faster, is tried again.
    /// - Parameters:
    ///   - file: open for reading and writing.
    ///   - label: what losetup(8) shows, 63 bytes of it.
    public static func attach(_ file: SharedFD, label: String) throws(SysError) -> LoopDevice {
        let control = try Kernel.open("/dev/loop-control", [.readWrite])
        let flags = UInt32(CTR_LO_FLAGS_AUTOCLEAR)
        for attempt in 1... {
            let number = try check(ctr_loop_get_free(control.rawValue), "ioctl LOOP_CTL_GET_FREE")
            let device = SharedFD(try Kernel.open(path(number), [.readWrite]))
            do throws(SysError) {
                let fd = device.fd.rawValue
                try label.withCPath { (name) throws(SysError) in
                    _ = try check(
                        ctr_loop_configure(fd, file.fd.rawValue, flags, name), "ioctl LOOP_CONFIGURE", path(number))
                }
            } catch  where error.errno == EBUSY && attempt < 1000 { continue }
            // The page cache of the file beneath would hold everything twice; where its file system can't, it does.
            _ = ctr_loop_set_direct_io(device.fd.rawValue, 1)
            return LoopDevice(fd: device, number: number)
        }
        fatalError("unreachable")
    }

    /// The device `number`, if it still is one of that file; held open, it stays so.
    public static func find(_ number: Int, of file: FileStatus) throws(SysError) -> LoopDevice? {
        let device: SharedFD
        do throws(SysError) { device = SharedFD(try Kernel.open(path(number), [.readWrite])) } catch
            where [ENXIO, ENOENT].contains(error.errno)
        { return nil }
        var info = loop_info64()
        let result = ctr_loop_status(device.fd.rawValue, &info)
        if result == -Int(ENXIO) { return nil }
        try check(result, "ioctl LOOP_GET_STATUS64", path(number))
        // The file's device as the kernel encodes it: see new_encode_dev() in linux/kdev_t.h.
        let (major, minor) = (UInt64(file.device.major), UInt64(file.device.minor))
        let encoded = minor & 0xff | major << 8 | (minor & ~0xff) << 12
        guard info.lo_inode == file.inode, info.lo_device == encoded else { return nil }
        return LoopDevice(fd: device, number: number)
    }

    /// Takes the size that the file has by now. The corresponding call is `ioctl(2)` with LOOP_SET_CAPACITY.
    public func updateSize() throws(SysError) {
        try check(ctr_loop_set_capacity(fd.fd.rawValue), "ioctl LOOP_SET_CAPACITY", path)
    }
}
