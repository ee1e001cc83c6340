internal import Kernel
internal import Model
internal import Namespaces
internal import Storage

/// Writing a VPS's identity into its files: due from `create`, `clone` or `set` on (config.json says so) until who first opens
/// its disk has done it. A crash in between makes it be done again, before anything of the VPS has run.
enum IdentityWork {
    /// On a root that nobody else has mounted.
    /// - Returns: the configuration with nothing due.
    static func write(_ config: VPSConfig, in root: SharedFD) throws(CtrError) -> VPSConfig {
        guard let due = config.identityDue else { return config }
        let files = GuestFiles(root: root, owner: config.idRange?.base ?? 0, of: config.name)
        for note in try IdentityWriter(config, in: files).write(due) { Message.warn("VPS \(config.name): \(note)") }
        var done = config
        done.identityDue = nil
        return done
    }

    /// Of a kept VPS that is about to start, with its lock held.
    static func finish(_ files: VPSFiles, _ config: VPSConfig, _ lock: VerbLock) throws(CtrError) {
        if config.identityDue == nil { return }
        // It does it on its way.
        _ = try OfflineVPS.open(files, lock, on: files.host)
    }
}

extension VPSConfig {
    /// Its root with nothing of it running: see ``Namespaces/OfflineRoot``.
    /// - Parameter directory: the VPS's own.
    func mountOffline(
        _ files: VPSFiles, in directory: SharedFD, _ template: SealedTemplate
    ) throws(CtrError) -> SharedFD {
        var spec = try spec(layers: template.layers, disk: files.diskPath(self), mountPoint: files.path)
        // The mark of a volatile one would keep it from being mounted again.
        spec.root.volatile = false
        var mounted: SharedFD?
        if let disk { mounted = try files.image(self, in: directory)?.open(disk).mountRoot() }
        return try OfflineRoot.mount(spec.root, idMappings: spec.linux.idMappings, disk: mounted)
    }

    /// What the template can't do is refused before anything is made.
    func checkIdentity(_ template: SealedTemplate) throws(CtrError) {
        guard let identity else { return }
        try IdentityWriter.check(
            identity, in: GuestFiles(root: template.openLayer(), owner: 0, of: name))
    }
}

extension VPSOptions {
    /// With the keys of the files that were named.
    /// - Throws: `badInput` for a file that holds something else, `notFound`.
    func readingKeys() throws(CtrError) -> VPSOptions {
        if sshKeyFiles.isEmpty { return self }
        var options = self
        options.sshKeyFiles = []
        for path in sshKeyFiles {
            let what = "--ssh-key \(path.escaped)"
            let bytes: [UInt8]
            do throws(SysError) {
                let file = try open(path, [.readOnly, .nonBlocking, .noControllingTerminal])
                guard try file.status().type == .regular else { throw SysError("read", Errno.invalid, path) }
                bytes = try file.readAll(limit: 1 << 20)
            } catch {
                let isMissing = error.errno == Errno.noEntry
                throw CtrError(isMissing ? .notFound : .badInput, what, cause: error)
            }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw CtrError(.badInput, "\(what): not a public key of ssh")
            }
            options.identity.sshKeys += try VPSIdentity.keys(text, what)
        }
        return options
    }
}
