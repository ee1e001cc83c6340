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
        // The page cache of the file beneath would hold everything twice; where its file system can't, it does. With
        // LOOP_SET_DIRECT_IO later the device would stand still first, for 20 ms.
        var flags = UInt32(CTR_LO_FLAGS_AUTOCLEAR | CTR_LO_FLAGS_DIRECT_IO)
        var attempts = 0
        while true {
            let number = try check(ctr_loop_get_free(control.rawValue), "ioctl LOOP_CTL_GET_FREE")
            let device = SharedFD(try Kernel.open(path(number), [.readWrite]))
            do throws(SysError) {
                let fd = device.fd.rawValue
                try label.withCPath { (name) throws(SysError) in
                    _ = try check(
                        ctr_loop_configure(fd, file.fd.rawValue, flags, name), "ioctl LOOP_CONFIGURE", path(number))
                }
            } catch  where error.errno == EBUSY && attempts < 1000 {
                attempts += 1
                continue
            } catch  where error.errno == EINVAL && flags & UInt32(CTR_LO_FLAGS_DIRECT_IO) != 0 {
                flags = UInt32(CTR_LO_FLAGS_AUTOCLEAR)
                continue
            }
            return LoopDevice(fd: device, number: number)
        }
    }

    /// The device that has that file, if any has; held open, it keeps it.
    public static func find(of file: FileStatus) throws(SysError) -> LoopDevice? {
        let block = try Kernel.open("/sys/block", [.directory])
        for entry in try block.entries() {
            let name = entry.name.description
            guard name.hasPrefix("loop"), let number = Int(name.dropFirst(4)),
                (try? block.status(of: "\(name)/loop/backing_file")) != nil
            else { continue }
            if let found = try find(number, of: file) { return found }
        }
        return nil
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
