public import Kernel
internal import Model

/// Small files in the root of a VPS that does not run, by paths as the VPS means them.
///
/// All that is there is hostile: the kernel walks each path with the root as `/` (openat2 with RESOLVE_IN_ROOT), the last
/// name is never followed when it is written, and only regular files of a bounded size are read. What is made belongs to the
/// VPS's root user, or to whom it belonged before.
public struct GuestFiles {
    private let root: SharedFD
    /// The VPS's root user as the host numbers it.
    private let owner: UInt32
    private let vps: String

    /// More than any file has that is changed here.
    private static let limit = 4 << 20

    /// - Parameters:
    ///   - root: a directory that is `/` to the VPS.
    ///   - owner: 0 without a user namespace.
    public init(root: SharedFD, owner: UInt32, of vps: String) {
        self.root = root
        self.owner = owner
        self.vps = vps
    }

    /// - Returns: nil where there is none, or not a regular file.
    func read(_ path: String) throws(CtrError) -> String? {
        try bytes(of: path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Its lines as they are, whatever bytes are in them, without their line feeds.
    func lines(_ path: String) throws(CtrError) -> [[UInt8]]? {
        guard let bytes = try bytes(of: path) else { return nil }
        var lines = bytes.split(separator: 10, omittingEmptySubsequences: false).map { Array($0) }
        if lines.last == [] { lines.removeLast() }
        return lines
    }

    private func bytes(of path: String) throws(CtrError) -> [UInt8]? {
        try step(path) { () throws(SysError) -> [UInt8]? in
            do throws(SysError) {
                let file = try root.fd.open(
                    relative(path), [.readOnly, .nonBlocking, .noControllingTerminal], resolve: GuestFiles.walk)
                guard try file.status().type == .regular else { return nil }
                return try file.readAll(limit: GuestFiles.limit)
            } catch  where GuestFiles.absent.contains(error.errno) { return nil }
        }
    }

    /// Whether anything has this name; links are followed.
    func exists(_ path: String) -> Bool {
        (try? root.fd.open(relative(path), [.path], resolve: GuestFiles.walk)) != nil
    }

    /// Puts a file of this text in the place of whatever has the name, a directory excepted.
    /// - Parameters:
    ///   - mode: of a new one; one that is there keeps its own, and its owner.
    ///   - directoryMode: of a directory that is made for it; nil: without its directory nothing is done.
    func write(_ path: String, _ text: String, mode: UInt32 = 0o644, directoryMode: UInt32? = nil) throws(CtrError) {
        try write(path, bytes: Array(text.utf8), mode: mode, directoryMode: directoryMode)
    }

    /// ``write(_:_:mode:directoryMode:)`` of lines.
    func write(_ path: String, lines: [[UInt8]], mode: UInt32 = 0o644) throws(CtrError) {
        try write(path, bytes: Array(lines.joined(separator: [10])) + [10], mode: mode, directoryMode: nil)
    }

    private func write(_ path: String, bytes: [UInt8], mode: UInt32, directoryMode: UInt32?) throws(CtrError) {
        guard let directory = try directory(of: path, mode: directoryMode) else { return }
        let name = GuestFiles.name(path)
        try acting(path) { () throws(SysError) in
            let old = try? directory.fd.status(of: name)
            let kept = old?.type == .regular ? old : nil
            let temporary = ".\(name).ctr"
            try? directory.fd.unlink(temporary)
            do throws(SysError) {
                let file = try directory.fd.open(
                    temporary, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o600)
                try file.writeAll(bytes)
                if let kept { try file.changeOwner(uid: kept.uid, gid: kept.gid) }
                try file.changeMode(kept.map { $0.permissions & 0o777 } ?? mode)
                try directory.fd.rename(temporary, to: name)
            } catch {
                try? directory.fd.unlink(temporary)
                throw error
            }
        }
    }

    /// Puts a symbolic link in the place of whatever has the name, a directory excepted.
    func link(_ path: String, to target: String) throws(CtrError) {
        guard let directory = try directory(of: path, mode: nil) else { return }
        let name = GuestFiles.name(path)
        try acting(path) { () throws(SysError) in
            let temporary = ".\(name).ctr"
            try? directory.fd.unlink(temporary)
            try directory.fd.symlink(temporary, to: target)
            try directory.fd.rename(temporary, to: name)
        }
    }

    /// Nothing there is no error.
    func remove(_ path: String) throws(CtrError) {
        guard let directory = try directory(of: path, mode: nil) else { return }
        let name = GuestFiles.name(path)
        try acting(path) { () throws(SysError) in try directory.fd.removeTree(name) }
    }

    /// Names in a directory, links followed; none where there is none.
    func names(in path: String) throws(CtrError) -> [String] {
        try step(path) { () throws(SysError) -> [String] in
            do throws(SysError) {
                return try root.fd.open(relative(path), [.directory], resolve: GuestFiles.walk).entries()
                    .map(\.name.description)
            } catch  where GuestFiles.absent.contains(error.errno) { return [] }
        }
    }

    func sync() throws(CtrError) { try step("/") { () throws(SysError) in try root.fd.openHere().syncFileSystem() } }

    // MARK: inside

    private static let walk: Resolve = [.inRoot, .noMagicLinks]
    private static let absent = [Errno.noEntry, Errno.notDirectory, Errno.loop, Errno.access]

    private func relative(_ path: String) -> String {
        let rest = path.drop { $0 == "/" }
        return rest.isEmpty ? "." : String(rest)
    }

    private static func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "." }

    private func directory(of path: String, mode: UInt32?) throws(CtrError) -> SharedFD? {
        let parent = String(path.dropLast(GuestFiles.name(path).utf8.count))
        let open = { () throws(SysError) -> SharedFD in
            SharedFD(try root.fd.open(relative(parent), [.directory], resolve: GuestFiles.walk))
        }
        do throws(SysError) { return try open() } catch {
            if mode == nil, GuestFiles.absent.contains(error.errno) { return nil }
            if mode == nil || error.errno != Errno.noEntry { throw failure(path, error) }
        }
        let above = String(parent.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/x")
        guard let upper = try directory(of: above, mode: 0o755) else { return nil }
        let name = GuestFiles.name(parent)
        try acting(parent) { () throws(SysError) in
            do throws(SysError) { try upper.fd.makeDirectory(name, mode: mode ?? 0o755) } catch
                where error.errno == Errno.exists
            {}
        }
        return try step(path, open)
    }

    private func acting(_ path: String, _ body: () throws(SysError) -> Void) throws(CtrError) {
        let owner = owner
        try step(path) { () throws(SysError) in
            let mask = CurrentProcess.setFileModeMask(0)
            defer { CurrentProcess.setFileModeMask(mask) }
            try Kernel.Identity.acting(asUser: owner, group: owner, body)
        }
    }

    private func step<T>(_ path: String, _ body: () throws(SysError) -> T) throws(CtrError) -> T {
        do throws(SysError) { return try body() } catch { throw failure(path, error) }
    }

    private func failure(_ path: String, _ error: SysError) -> CtrError {
        CtrError(
            .io, "VPS \(vps): \(path) inside it (a part of its identity; ctr start --rescue \(vps) leaves that out)",
            cause: error)
    }
}
