internal import Kernel
internal import Model

extension Resources {
    /// These limits, with the disk that holds the VPS's files in each rate that names none.
    func onDisk(of directory: SharedFD) throws(CtrError) -> Resources {
        let all = [ioReadBps, ioWriteBps, ioReadIops, ioWriteIops].joined()
        guard all.contains(where: { $0.device == nil }) else { return self }
        let device = try DiskDevice.holding(directory)
        func filled(_ rates: [IORate]) -> [IORate] { rates.map { IORate(device: $0.device ?? device, rate: $0.rate) } }
        var resources = self
        resources.ioReadBps = filled(ioReadBps)
        resources.ioWriteBps = filled(ioWriteBps)
        resources.ioReadIops = filled(ioReadIops)
        resources.ioWriteIops = filled(ioWriteIops)
        return resources
    }
}

/// The disk, not the partition, on which a file lies: what the kernel's rates are for. See sysfs-block in the kernel's
/// ABI documentation.
enum DiskDevice {
    /// `MAJOR:MINOR`.
    /// - Throws: `unavailable` for a file system on no one disk (btrfs, tmpfs, a network).
    static func holding(_ file: SharedFD) throws(CtrError) -> String {
        do throws(SysError) {
            let device = try file.fd.status().device
            let block = "/sys/dev/block/\(device.major):\(device.minor)"
            let disk = (try? open("\(block)/partition", [.path])) == nil ? block : "\(block)/.."
            let text = try open("\(disk)/dev", [.readOnly]).read(upTo: 64)
            return String(decoding: text.prefix { $0 != 10 }, as: UTF8.self)
        } catch {
            throw CtrError(
                .unavailable,
                "limits of the disk: the VPS's files lie on a file system that is not on one disk (name the device: --io-read-bps MAJOR:MINOR:RATE)",
                errno: error.errno)
        }
    }
}
