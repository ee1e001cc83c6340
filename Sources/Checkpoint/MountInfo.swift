internal import Kernel
public import Model

/// The mounts that a process sees: see proc_pid_mountinfo(5).
public struct MountInfo: Sendable, Equatable {
    public var id: Int
    /// `0:67`
    public var device: String
    /// What of that file system is mounted.
    public var root: String
    /// As the process sees it.
    public var place: String
    /// `ext4`, `fuse.lxcfs`
    public var type: String

    /// A guest may have made very many.
    private static let limit = 8 << 20

    public static func of(_ pid: Int32) throws(CtrError) -> [MountInfo] {
        let bytes = try describing("mounts of process \(pid)") { () throws(SysError) in
            try open("/proc/\(pid)/mountinfo", [.readOnly]).readAll(limit: limit)
        }
        return bytes.split(separator: 10).compactMap(MountInfo.init)
    }

    // 36 35 98:0 /root /mount/point rw,noatime shared:1 - type source superoptions
    init?(_ line: ArraySlice<UInt8>) {
        let fields = line.split(separator: 32)
        guard fields.count >= 9, let id = Int(String(decoding: fields[0], as: UTF8.self)),
            let dash = fields[6...].firstIndex(where: { $0.elementsEqual("-".utf8) }), fields.count > dash + 1
        else { return nil }
        self.id = id
        device = String(decoding: fields[2], as: UTF8.self)
        root = MountInfo.unescape(fields[3])
        place = MountInfo.unescape(fields[4])
        type = String(decoding: fields[dash + 1], as: UTF8.self)
    }

    /// Blanks and backslashes are written as three octal digits.
    private static func unescape(_ field: ArraySlice<UInt8>) -> String {
        var bytes: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ (48...55).contains($0) }) {
                bytes.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 * 8 + Int($1 - 48) }))
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
