internal import Kernel
public import Model
internal import Namespaces
internal import Storage

/// `ctr snapshot mount|unmount`: a snapshot's root below a directory of the host, read only, for programs that back it up.
public enum SnapshotMount {
    /// Before the id in what mountinfo shows as the source.
    private static let mark = "ctr-snapshot:"

    /// - Throws: `cannotCreate` for a directory that is not there, or has a snapshot already.
    public static func mount(_ name: String, of vps: String, at path: String, on host: Host) throws(CtrError) {
        let hold = try DiskHold.take(vps, on: host)
        let snapshot = try hold.snapshot(name)
        let target = try describing("directory \(path.escaped)", code: .cannotCreate) { () throws(SysError) in
            SharedFD(try open(path, [.path, .directory]))
        }
        let point = try describing("directory \(path.escaped)") { () throws(SysError) in try realPath(target) }
        if try mounts().contains(where: { $0.point == point }) {
            throw CtrError(
                .cannotCreate, "directory \(path.escaped): a snapshot is mounted there (ctr snapshot unmount)")
        }
        let template = try SealedTemplate(snapshot.config.template, on: host)
        let root = try OfflineRoot.mountReadOnly(
            layers: template.layers, disk: hold.mount(snapshot.id), mountPoint: hold.files.path,
            source: "\(mark)\(vps)@\(snapshot.id)")
        try describing("mount snapshot \(name) at \(path.escaped)", code: .failed) { () throws(SysError) in
            try root.fd.attach(to: target.fd)
        }
    }

    /// - Throws: `notFound` where none is mounted, `busy` where somebody uses it.
    public static func unmount(_ path: String) throws(CtrError) {
        let real: String
        do throws(SysError) { real = try realPath(SharedFD(open(path, [.path, .directory]))) } catch {
            throw CtrError(.notFound, "directory \(path.escaped)", cause: error)
        }
        guard try mounts().contains(where: { $0.point == real }) else {
            throw CtrError(.notFound, "directory \(path.escaped): no snapshot is mounted there")
        }
        do throws(SysError) { try Kernel.unmount(real) } catch {
            if error.errno == Errno.busy {
                throw CtrError(.busy, "directory \(path.escaped): in use (fuser -vm \(path.escaped) shows by whom)")
            }
            throw CtrError(.io, "unmount \(path.escaped)", cause: error)
        }
    }

    /// - Throws: `busy` where a snapshot is mounted: its reader would lose it.
    static func refuse(_ id: String, of vps: String, named name: String, _ hold: DiskHold) throws(CtrError) {
        guard let found = try mounts().first(where: { $0.source.hasSuffix("@\(id)") }) else { return }
        throw CtrError(
            .busy,
            "snapshot \(name) of VPS \(vps): mounted at \(found.point.escaped) (ctr snapshot unmount \(found.point.escaped))"
        )
    }

    /// Before all snapshots of a VPS go with it.
    /// - Parameter force: they are unmounted: their readers see that they have gone when they have closed their files.
    /// - Throws: `busy` where one is mounted.
    static func endAll(_ files: VPSFiles, in directory: SharedFD, force: Bool) throws(CtrError) {
        // Of damaged files nothing is known: whoever removes those by force has seen that.
        guard let tree = try? files.snapshots(in: directory), !tree.snapshots.isEmpty else { return }
        for mount in try mounts() {
            guard let snapshot = tree.snapshots.first(where: { mount.source.hasSuffix("@\($0.id)") }) else { continue }
            let place = mount.point.escaped
            guard force else {
                throw CtrError(
                    .busy,
                    "VPS \(files.name): its snapshot \(snapshot.name) is mounted at \(place) (ctr snapshot unmount \(place))"
                )
            }
            try describing("unmount \(place)") { () throws(SysError) in try Kernel.unmount(mount.point, detach: true) }
            Message.warn("VPS \(files.name): its snapshot \(snapshot.name) was mounted at \(place), and is no more")
        }
    }

    /// The snapshots that are mounted in this mount namespace: see proc_pid_mountinfo(5).
    private static func mounts() throws(CtrError) -> [(point: String, source: String)] {
        let text = try describing("list of mounts") { () throws(SysError) in
            try open("/proc/self/mountinfo", [.readOnly]).readAll()
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let dash = words.firstIndex(of: "-"), words.count > dash + 2, words[dash + 1] == "overlay",
                words[dash + 2].hasPrefix(mark), words.count > 4
            else { return nil }
            return (unescape(words[4]), String(words[dash + 2]))
        }
    }

    /// `\040` for a space and the like.
    private static func unescape(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func realPath(_ directory: SharedFD) throws(SysError) -> String {
        try open("/", [.path, .directory]).readLink(directory.fd.procPath).description
    }
}
