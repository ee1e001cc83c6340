internal import Kernel
public import Model
internal import Namespaces
public import Storage

/// One of the two ends of `ctr cp`.
public enum CopyEnd: Sendable, Equatable {
    /// A file of the host, by an absolute path.
    case host(String)
    /// A tar archive on standard input or output: `-`.
    case archive
    case guest(name: String, path: String)

    /// Reads `FILE`, `-` or `NAME:PATH`. What begins with `/` or `.`, or has no colon, is a file of the host.
    /// - Throws: `usage`.
    public init(_ word: String) throws(CtrError) {
        if word == "-" {
            self = .archive
        } else if let colon = word.firstIndex(of: ":"), !word.hasPrefix("/"), !word.hasPrefix(".") {
            let name = String(word[..<colon])
            do { try Name.validate(name, kind: "VPS") } catch {
                throw CtrError(.usage, "\(error.message) (a file of this name is ./\(word.escaped))")
            }
            self = .guest(name: name, path: String(word[word.index(after: colon)...]))
        } else {
            if word.isEmpty { throw CtrError(.usage, "cp: a file without a name") }
            // The path's end has a meaning: "dir/." is what is in the directory.
            self = .host(try Caller.absolutePath(word == "." ? "./." : word))
        }
    }
}

/// `ctr cp`: copies files between the host and a VPS, running or stopped.
public struct Copy: Sendable {
    public var source: CopyEnd
    public var target: CopyEnd
    /// Numbers of owners stay, as seen inside the VPS.
    public var archive = false
    /// Links of the host are followed.
    public var follow = false

    public init(from source: CopyEnd, to target: CopyEnd) {
        self.source = source
        self.target = target
    }

    public func run(on host: Host, progress: @escaping TemplateProgress) throws(CtrError) {
        var copy = TreeCopy(archive: archive, follow: follow, progress: progress)
        if case .guest(let name, _) = target {
            // The guard can make the VPS stand still, not us.
            try SpaceReserve.keep("copy into VPS \(name)", half: false, host)
            copy.room = { (target) throws(CtrError) in
                try SpaceReserve.keep("copy into VPS \(name)", half: false, host, writtenTo: target)
            }
        }
        switch (source, target) {
        case (.guest(let name, let path), .host(let file)):
            try with(name, path, on: host, progress) { (place) throws(CtrError) in
                try copy.run(from: place, path, to: try Copy.hostPlace(), file)
            }
        case (.guest(let name, let path), .archive):
            if Caller.isTerminal(.output) {
                throw CtrError(.usage, "cp to -: a tar archive is nothing for a terminal (send it to a file or a pipe)")
            }
            let output = try stream(1)
            try with(name, path, on: host, progress) { (place) throws(CtrError) in
                try copy.pack(from: place, path, to: output)
            }
        case (.host(let file), .guest(let name, let path)):
            try with(name, path, on: host, progress) { (place) throws(CtrError) in
                try copy.run(from: try Copy.hostPlace(), file, to: place, path)
            }
        case (.archive, .guest(let name, let path)):
            if Caller.isTerminal(.input) {
                throw CtrError(.usage, "cp from -: wants a tar archive on standard input, which is a terminal")
            }
            let input = try stream(0)
            try with(name, path, on: host, progress) { (place) throws(CtrError) in
                try copy.unpack(input, to: place, path)
            }
        case (.guest, .guest):
            throw CtrError(.usage, "cp: both are VPSs (copy by way of a file, or ctr cp A:X - | ctr cp - B:Y)")
        default:
            throw CtrError(.usage, "cp: neither is a VPS (NAME:PATH names a file of one)")
        }
    }

    private static func hostPlace() throws(CtrError) -> CopyPlace {
        // Of this process, which acts for the caller.
        try .host(party: .host(user: CurrentProcess.effectiveUser, group: CurrentProcess.effectiveGroup))
    }

    private func stream(_ number: Int32) throws(CtrError) -> SharedFD {
        try describing("standard stream") { () throws(SysError) in SharedFD(try FD.standard(number)) }
    }

    /// Runs `body` with the root of the VPS.
    private func with(
        _ name: String, _ path: String, on host: Host, _ progress: TemplateProgress,
        _ body: (CopyPlace) throws(CtrError) -> Void
    ) throws(CtrError) {
        do throws(CtrError) {
            let files = try VPSFiles(name, host: host)
            if try reachRunning(files, body) { return }
            guard let config = try files.config() else { throw VPSFiles.unknown(name) }
            // One that was not kept has ended, and with it all that it was.
            if config.ephemeral { throw VPSFiles.unknown(name) }
            if let offline = try OfflineVPS.open(files, on: host) {
                remarkOnMounts(path, offline.config, progress)
                try body(.guest(root: offline.root, name: name, party: .guest(offline.config.idRange)))
                _ = consume offline
            } else if try !reachRunning(files, body) {
                throw CtrError(.busy, "VPS \(name): was started and has ended meanwhile, try again")
            }
        } catch {
            // Unknown names and wrong usage speak for themselves.
            if error.message.hasPrefix("VPS ") { throw error }
            var error = error
            error.message = "cp: \(error.message)"
            throw error
        }
    }

    /// - Returns: false if it does not run.
    private func reachRunning(
        _ files: VPSFiles, _ body: (CopyPlace) throws(CtrError) -> Void
    ) throws(CtrError) -> Bool {
        let inside = try InsideLock.enter(files)
        defer { withExtendedLifetime(inside) {} }
        guard let running = try RunningInit.find(files) else { return false }
        let root = try running.openRoot(of: files.name)
        try body(.guest(root: root, name: files.name, party: .guest(running.state.config.idRange)))
        // The root lives as long as our descriptor of it, but if it was started again that one is another.
        if running.handle.hasEnded {
            throw CtrError(.failed, "VPS \(files.name): has ended during the copy, which may be incomplete, try again")
        }
        return true
    }

    /// Of a stopped VPS only the disk is there.
    private func remarkOnMounts(_ path: String, _ config: VPSConfig, _ progress: TemplateProgress) {
        let place = "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/") + "/"
        let covered = ["/dev", "/run", "/tmp"] + config.mounts.map(\.destination)
        guard let mount = covered.first(where: { place.hasPrefix($0 + "/") }) else { return }
        progress(.note("\(mount.escaped): the VPS is stopped; when it runs something else is mounted there"))
    }
}

extension RunningInit {
    /// The root directory of the VPS's first process, as it sees it.
    /// - Throws: `failed` if it ended meanwhile.
    func openRoot(of name: String) throws(CtrError) -> SharedFD {
        let pid = handle.pid
        do throws(SysError) {
            let root = SharedFD(try open("/proc/\(pid)/root", [.path, .directory]))
            try root.fd.requireOther(than: open("/", [.path, .directory]).status())
            // It lives, so its number named no one else when the path was walked.
            if !handle.hasEnded { return root }
        } catch {
            if error.errno != Errno.noEntry, error.errno != Errno.noProcess {
                throw CtrError(.io, "root of VPS \(name)", cause: error)
            }
        }
        throw CtrError(.failed, "VPS \(name): has just ended, try again")
    }
}
