public import Kernel
public import Model

/// Where the paths of one side of a copy lead.
///
/// In a VPS the kernel walks them with the VPS's root as `/` (openat2 with RESOLVE_IN_ROOT), whatever its links say and
/// whoever moves things there meanwhile; what was found is used by its descriptor alone. On the host they are the
/// operator's own.
public struct CopyPlace: Sendable {
    let root: SharedFD
    /// Of the VPS, for messages; nil: the host.
    let name: String?
    public let party: CopyParty
    var isGuest: Bool { name != nil }

    /// - Parameters:
    ///   - root: a directory that is `/` to the VPS.
    ///   - name: the VPS's, for messages.
    public static func guest(root: SharedFD, name: String, party: CopyParty) -> CopyPlace {
        CopyPlace(root: root, name: name, party: party)
    }

    /// Paths of this side are absolute. Throws `io`.
    public static func host(party: CopyParty) throws(CtrError) -> CopyPlace {
        let root = try describing("/") { () throws(SysError) in SharedFD(try Kernel.open("/", [.path, .directory])) }
        return CopyPlace(root: root, name: nil, party: party)
    }

    private func open(_ path: String, _ flags: OpenFlags) throws(SysError) -> SharedFD {
        if !isGuest { return SharedFD(try Kernel.open(path, flags.union(.path))) }
        let relative = path.drop { $0 == "/" }
        return SharedFD(
            try root.fd.open(
                relative.isEmpty ? "." : String(relative), flags.union(.path), resolve: [.inRoot, .noMagicLinks]))
    }

    // MARK: the source

    struct Source {
        /// Opened with O_PATH.
        let file: SharedFD
        let status: FileStatus
        /// What it is called at the target; nil: the contents of a directory.
        let name: [UInt8]?
    }

    /// - Parameter follow: also a link at the path's end.
    /// - Throws: `notFound`, or `failed` for what can't be copied: FIFOs, devices, /proc.
    func source(_ path: String, follow: Bool) throws(CtrError) -> Source {
        let parts = path.split(separator: "/")
        let last = parts.last.map(String.init) ?? ""
        let contents = ["", ".", ".."].contains(last)
        let file: SharedFD
        let status: FileStatus
        do {
            // A final slash follows too, and wants a directory: the kernel sees to both.
            file = try open(path, follow ? [] : [.noFollow])
            status = try file.fd.status()
        } catch { throw missing(path, error) }
        if try describing(shown(path), { () throws(SysError) in try file.fd.isOfKernelFileSystem() }) {
            throw CtrError(.failed, "\(shown(path)): belongs to the kernel, as /proc and /sys do")
        }
        switch status.type {
        case .regular, .directory, .symlink: break
        default:
            let hint = status.type == .fifo ? " (- takes a tar archive from standard input)" : ""
            throw CtrError(.failed, "\(shown(path)): \(status.type.name), which can't be copied\(hint)")
        }
        return Source(file: file, status: status, name: contents ? nil : Array(last.utf8))
    }

    // MARK: the target

    struct Target {
        let directory: SharedFD
        /// Below the directory; the root: the directory itself takes the source's contents.
        let path: EntryPath
    }

    /// A directory that is there, for an archive to be unpacked in.
    func directory(_ path: String) throws(CtrError) -> SharedFD {
        let directory: SharedFD
        do { directory = try open(path, [.directory]) } catch { throw missing(path, error, .cannotCreate) }
        return try checked(directory, path)
    }

    /// What a name at the command line means for this source, as docker's and podman's `cp` have it: a directory that is
    /// there is copied into; any other name is what the source will be called.
    func target(_ path: String, for source: Source) throws(CtrError) -> Target {
        let isDirectory = source.status.type == .directory
        var path = path
        let wantsDirectory = path.hasSuffix("/") || path.hasSuffix("/.") || path.isEmpty || path == "."
        if let there = try existing(path, wantsDirectory: wantsDirectory && !isDirectory) {
            if there.type == .directory {
                let directory = try checked(there.file, path)
                return Target(directory: directory, path: source.name.map { EntryPath.root.appending($0) } ?? .root)
            }
            if isDirectory {
                throw CtrError(
                    .cannotCreate, "\(shown(path)): \(there.type.name) is there, and the source is a directory",
                    errno: Errno.notDirectory)
            }
        }
        while path.hasSuffix("/") || path.hasSuffix("/.") { path.removeLast() }
        return try named(path, follow: source.status.type != .symlink)
    }

    private func existing(
        _ path: String, wantsDirectory: Bool
    ) throws(CtrError) -> (file: SharedFD, type: FileType)? {
        do throws(SysError) {
            let file = try open(path, [])
            return (file, try file.fd.status().type)
        } catch {
            if error.errno == Errno.noEntry, !wantsDirectory { return nil }
            throw missing(path, error, .cannotCreate)
        }
    }

    /// The directory and the name that a path ends in. Where the name is a link, that of what it leads to.
    private func named(_ path: String, follow: Bool) throws(CtrError) -> Target {
        var path = path
        for _ in 0..<40 {
            let slash = path.lastIndex(of: "/")
            let above = slash.map { String(path[...$0]) } ?? (isGuest ? "" : "./")
            let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
            if name == ".." || name == "." || name.isEmpty {
                throw CtrError(.cannotCreate, "\(shown(path)): no name for a new file")
            }
            let parent: SharedFD
            do { parent = try open(above, [.directory]) } catch { throw missing(above, error, .cannotCreate) }
            let directory = try checked(parent, above)
            guard follow, let link = try? directory.fd.readLink(name) else {
                return Target(directory: directory, path: EntryPath.root.appending(Array(name.utf8)))
            }
            guard let next = String(validating: link.bytes, as: UTF8.self) else {
                throw CtrError(.failed, "\(shown(path)): a link to a name that is not UTF-8")
            }
            path = next.hasPrefix("/") ? next : above + next
        }
        throw missing(path, SysError("open", Errno.loop))
    }

    private func checked(_ directory: SharedFD, _ path: String) throws(CtrError) -> SharedFD {
        let kernels = try describing(shown(path)) { () throws(SysError) in
            try directory.fd.isOfKernelFileSystem()
        }
        if kernels { throw CtrError(.failed, "\(shown(path)): belongs to the kernel, as /proc and /sys do") }
        return directory
    }

    private func missing(_ path: String, _ cause: SysError, _ code: CtrError.Code = .notFound) -> CtrError {
        let expected = [Errno.noEntry, Errno.notDirectory, Errno.loop, Errno.nameTooLong].contains(cause.errno)
        return CtrError(
            expected ? code : .io, "\(shown(path)): \(SysError.text(cause.errno))", errno: cause.errno)
    }

    /// As the operator would write it.
    private func shown(_ path: String) -> String { (name.map { "\($0):" } ?? "") + path.escaped }
}
