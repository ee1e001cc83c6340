internal import Checkpoint
internal import Kernel
internal import Model

/// The files of a VPS's root that its processes watch by inotify(7).
///
/// The kernel tells a watch's inode and no name, and overlayfs opens no file by its number; so who restores the watch has
/// to be told names. They are looked for before anything stands still.
struct WatchedPaths {
    /// So many names are looked at; one that was not found by then is criu's to complain of.
    private static let limit = 400_000
    /// Bytes that one descriptor's watches are told in: half a million of them.
    private static let text = 64 << 20
    /// Bytes of names that criu is given: they are words of its command line.
    private static let room = 512 << 10
    /// Where servers' configuration is: most watches are found in a few thousand files.
    private static let first = [
        "etc", "usr/share/dbus-1", "usr/lib/systemd", "usr/local", "var", "root", "home", "srv", "opt",
    ]

    private let root: SharedFD
    private let device: DeviceNumber
    private var wanted: Set<UInt64>
    private var seen: Set<UInt64> = []
    private(set) var found: [String] = []

    /// - Parameters:
    ///   - pids: all its processes.
    ///   - first: its first process.
    /// - Returns: absolute paths of the VPS.
    static func find(_ pids: some Sequence<Int32>, first: Int32) throws(CtrError) -> [String] {
        do throws(SysError) {
            let root = SharedFD(try open("/proc/\(first)/root", [.path, .directory]))
            let device = try root.fd.status().device
            var wanted: Set<UInt64> = []
            for pid in pids { wanted.formUnion(watches(of: pid, on: device)) }
            if wanted.isEmpty { return [] }
            var search = WatchedPaths(root: root, device: device, wanted: wanted)
            for path in WatchedPaths.first + ["."] where !search.wanted.isEmpty { search.walk(path) }
            return condensed(search.found)
        } catch { throw CtrError(.failed, "watched files of process \(first)", cause: error) }
    }

    /// Where there are too many, the directories that they are in: criu looks at all that is below. No more than that of a
    /// directory of the root.
    static func condensed(_ paths: [String], room: Int = room) -> [String] {
        var paths = paths
        while paths.reduce(0, { $0 + $1.utf8.count + 32 }) > room {
            var seen: Set<String> = []
            let above = paths.map { (path) -> String in
                guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return path }
                return String(path[..<slash])
            }.filter { seen.insert($0).inserted }
            if above == paths { break }
            paths = above
        }
        return paths
    }

    private init(root: SharedFD, device: DeviceNumber, wanted: Set<UInt64>) {
        (self.root, self.device, self.wanted) = (root, device, wanted)
    }

    /// Inodes on this file system. A process that has just ended has none.
    private static func watches(of pid: Int32, on device: DeviceNumber) -> Set<UInt64> {
        guard let table = try? open("/proc/\(pid)/fd", [.readOnly, .directory]), let entries = try? table.entries()
        else {
            return []
        }
        var inodes: Set<UInt64> = []
        for entry in entries where (try? table.readLink(entry.name).description) == "anon_inode:inotify" {
            let text =
                (try? open("/proc/\(pid)/fdinfo/\(entry.name)", [.readOnly]).readAll(limit: WatchedPaths.text)) ?? []
            for line in text.split(separator: 10) where line.starts(with: "inotify ".utf8) {
                // inotify wd:1 ino:132244 sdev:4a mask:...
                let words = String(decoding: line, as: UTF8.self).split(separator: " ")
                func number(_ key: String) -> UInt64? {
                    words.first { $0.hasPrefix(key) }.flatMap { UInt64($0.dropFirst(key.utf8.count), radix: 16) }
                }
                guard let inode = number("ino:"), let number = number("sdev:"),
                    DeviceNumber(major: UInt32(number >> 20), minor: UInt32(number & 0xfffff)) == device
                else { continue }
                inodes.insert(inode)
            }
        }
        return inodes
    }

    /// Nothing is followed, and no other file system entered.
    private mutating func walk(_ start: String) {
        var rest = [start]
        while let path = rest.popLast(), !wanted.isEmpty, seen.count < WatchedPaths.limit {
            guard
                let directory = try? root.fd.open(
                    path, [.readOnly, .directory, .noFollow],
                    resolve: [.beneath, .noSymlinks, .noMagicLinks, .noCrossDevice]),
                let status = try? directory.status(), status.device == device, seen.insert(status.inode).inserted
            else { continue }
            take(status.inode, path)
            for entry in (try? directory.entries()) ?? [] {
                let below = path == "." ? "\(entry.name)" : "\(path)/\(entry.name)"
                if entry.type == .directory {
                    rest.append(below)
                } else if entry.type == .regular || entry.type == .symlink,
                    let status = try? directory.status(of: entry.name)
                {
                    seen.insert(status.inode)
                    take(status.inode, below)
                }
            }
        }
    }

    private mutating func take(_ inode: UInt64, _ path: String) {
        guard wanted.remove(inode) != nil else { return }
        found.append(path == "." ? "/" : "/\(path)")
    }
}
