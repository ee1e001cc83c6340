/// The cgroup mounts among the lines of /proc/self/mountinfo, see proc_pid_mountinfo(5).
///
/// Works on bytes: a host with thousands of mounts has a long table, and this is on the way of every start.
struct CgroupMountTable: Equatable {
    /// Where the unified hierarchy is mounted.
    private(set) var v2: String?
    /// Where the v1 hierarchy of each controller is mounted.
    private(set) var v1 = [CgroupController: String](minimumCapacity: CgroupController.allCases.count)
    private var rest: [UInt8] = []

    /// Whether nothing more can be learned: each controller has its place, and v2 is there.
    var isComplete: Bool {
        v2 != nil && CgroupMountTable.limiting.allSatisfy { v1[$0] != nil }
    }
    private static let limiting: [CgroupController] = [.cpu, .cpuset, .memory, .pids, .io, .devices]

    /// Takes in the next part of the table, which may end within a line.
    mutating func add(_ part: [UInt8]) {
        rest += part
        var start = rest.startIndex
        while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            // Until there is something that could be hidden, lines about other file systems say nothing.
            if !isEmpty || CgroupMountTable.mentionsCgroups(rest[start..<end]) { addLine(rest[start..<end]) }
            start = end + 1
        }
        rest.removeSubrange(..<start)
    }

    private var isEmpty: Bool { v2 == nil && v1.isEmpty }

    /// Whether `cgroup` is anywhere in it.
    private static func mentionsCgroups(_ line: ArraySlice<UInt8>) -> Bool {
        line.withUnsafeBufferPointer { bytes in
            guard bytes.count > 20 else { return false }
            for index in 0..<(bytes.count - 6)
            where bytes[index] == 0x63 && bytes[index + 1] == 0x67 && bytes[index + 2] == 0x72
                && bytes[index + 3] == 0x6f && bytes[index + 4] == 0x75 && bytes[index + 5] == 0x70
            {
                return true
            }
            return false
        }
    }

    // 36 35 98:0 /root /mount/point rw,noatime shared:1 master:2 - type source superoptions
    private mutating func addLine(_ line: ArraySlice<UInt8>) {
        let fields = line.split(separator: UInt8(ascii: " "))
        guard fields.count >= 9,
            let dash = fields[6...].firstIndex(where: { $0.count == 1 && $0.first == UInt8(ascii: "-") }),
            fields.count > dash + 3
        else { return }
        let mount = CgroupMountTable.unescape(fields[4])
        hide(below: mount)
        let type = fields[dash + 1]
        if type.elementsEqual("cgroup2".utf8) {
            if prefers(mount, over: v2) { v2 = mount }
        } else if type.elementsEqual("cgroup".utf8) {
            for option in fields[dash + 3].split(separator: UInt8(ascii: ",")) {
                guard let controller = CgroupController(v1Name: String(decoding: option, as: UTF8.self)) else {
                    continue
                }
                if prefers(mount, over: v1[controller]) { v1[controller] = mount }
            }
        }
    }

    /// A mount covers what is at its place and below.
    private mutating func hide(below mount: String) {
        // Byte by byte: with String.hasPrefix this was the costliest part of reading the table.
        func isHidden(_ path: String) -> Bool {
            if mount == "/" { return true }
            guard path.utf8.starts(with: mount.utf8) else { return false }
            let rest = path.utf8.dropFirst(mount.utf8.count)
            return rest.isEmpty || rest.first == UInt8(ascii: "/")
        }
        if let path = v2, isHidden(path) { v2 = nil }
        if v1.values.contains(where: isHidden) { v1 = v1.filter { !isHidden($0.value) } }
    }

    /// A hierarchy may be mounted more than once; the usual place is the one to use.
    private func prefers(_ mount: String, over known: String?) -> Bool {
        guard let known else { return true }
        return mount.hasPrefix("/sys/fs/cgroup") && !known.hasPrefix("/sys/fs/cgroup")
    }

    /// Blanks and backslashes are written as three octal digits.
    private static func unescape(_ field: ArraySlice<UInt8>) -> String {
        guard field.contains(UInt8(ascii: "\\")) else { return String(decoding: field, as: UTF8.self) }
        var bytes: [UInt8] = []
        var index = field.startIndex
        while index < field.endIndex {
            let digits = field[(index + 1)...].prefix(3)
            if field[index] == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ (48...55).contains($0) }) {
                bytes.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 * 8 + Int($1 - 48) }))
                index += 4
            } else {
                bytes.append(field[index])
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
