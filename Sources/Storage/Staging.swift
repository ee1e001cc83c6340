internal import FoundationEssentials
internal import Kernel
internal import Model

/// A template on its way into or out of the store: a directory `.importing-ID` or `.removing-ID` beside the templates.
///
/// Its `lock` file is locked by the process that works on it, so a lock that can be had tells that the owner is dead.
/// Making and locking a directory, publishing it and judging others happen under the store's own lock, `.lock`, held
/// for moments only: without it, a directory that is not locked yet would look dead.
struct Staging: ~Copyable {
    static let importingPrefix = ".importing-"
    static let removingPrefix = ".removing-"

    private let store: TemplateStore
    private let parent: SharedFD
    private let name: String
    private let lock: SharedFD
    /// The new template's directory.
    let directory: SharedFD
    /// The directory of its root file system.
    let rootfs: SharedFD

    /// Makes an empty `.importing-ID` with `rootfs` (0755, root's), locked by this process.
    init(_ store: TemplateStore) throws(CtrError) {
        let parent = try Staging.prepare(store)
        let name = Staging.importingPrefix + Staging.uniqueSuffix()
        let (directory, lock, rootfs): (SharedFD, SharedFD, SharedFD)
        do throws(SysError) {
            let guarded = try Staging.guardStore(parent)
            directory = SharedFD(try parent.fd.makeAndOpen(name, mode: 0o700))
            lock = SharedFD(try Staging.takeLock(directory))
            rootfs = SharedFD(try directory.fd.makeAndOpen(TemplateStore.rootName, mode: 0o755))
            withExtendedLifetime(guarded) {}
        } catch { throw CtrError(.cannotCreate, "make a template's directory in \(store.path)", cause: error) }
        self.store = store
        self.parent = parent
        self.name = name
        self.lock = lock
        self.directory = directory
        self.rootfs = rootfs
    }

    /// The host's path of the directory.
    var path: String { "\(store.path)/\(name)" }

    /// Makes the template visible under its name, whole and on the disk. Throws `cannotCreate` where the name was taken
    /// meanwhile.
    consuming func publish(_ manifest: Template) throws(CtrError) {
        let json = try JSONFile.encode(manifest)
        let (directory, parent, lock, name) = (directory, parent, lock, name)
        do {
            try directory.fd.replaceFile(TemplateStore.manifestName, json, mode: 0o600)
            try directory.fd.syncFileSystem()
            let guarded = try Staging.guardStore(parent)
            try lock.fd.lock(.unlock, wait: true)
            try parent.fd.rename(name, to: parent.fd, manifest.name, replace: false)
            try parent.fd.sync()
            withExtendedLifetime(guarded) {}
        } catch {
            try? Staging.delete(name, in: parent, store: store)
            if error.errno == Errno.exists {
                throw CtrError(.cannotCreate, "template \(manifest.name): it exists already")
            }
            throw CtrError(.io, "template \(manifest.name): write it to the disk", cause: error)
        }
    }

    /// Deletes everything made so far.
    consuming func discard() {
        // What cannot be deleted now is swept by the next verb.
        try? Staging.delete(name, in: parent, store: store)
    }

    // MARK: leftovers

    /// Deletes directories whose owner is dead.
    static func sweep(_ store: TemplateStore) {
        guard let parent = try? SharedFD(Kernel.open(store.path, [.directory, .noFollow])),
            let entries = try? parent.fd.entries()
        else { return }
        for entry in entries {
            let name = entry.name.description
            guard name.hasPrefix(importingPrefix) || name.hasPrefix(removingPrefix) else { continue }
            guard let lock = try? lockIfDead(name, parent) else { continue }
            try? delete(name, in: parent, store: store)
            withExtendedLifetime(lock) {}
        }
    }

    /// The lock of a directory whose owner is dead; EAGAIN while one lives.
    private static func lockIfDead(_ name: String, _ parent: SharedFD) throws(SysError) -> SharedFD {
        let guarded = try guardStore(parent)
        let directory = SharedFD(try parent.fd.open(name, [.directory, .noFollow]))
        let lock = SharedFD(try takeLock(directory))
        withExtendedLifetime(guarded) {}
        return lock
    }

    /// Deletes a directory that is ours: its `lock` last, so that it stays ours to the end.
    static func delete(_ name: String, in parent: SharedFD, store: TemplateStore) throws(CtrError) {
        try describing("delete \(store.path)/\(name)") { () throws(SysError) in
            let directory: FD
            do throws(SysError) { directory = try parent.fd.open(name, [.directory, .noFollow]) } catch {
                if error.errno == Errno.noEntry { return }
                throw error
            }
            for entry in try directory.entries() where entry.name != Path(TemplateStore.lockName) {
                try directory.removeTree(entry.name)
            }
            let guarded = try guardStore(parent)
            do throws(SysError) { try directory.unlink(TemplateStore.lockName) } catch
                where error.errno == Errno.noEntry
            {}
            try parent.fd.unlink(name, directory: true)
            withExtendedLifetime(guarded) {}
        }
    }

    // MARK: steps

    /// The store's directory, made with those above it where they are missing: 0700, root's.
    private static func prepare(_ store: TemplateStore) throws(CtrError) -> SharedFD {
        guard store.path.hasPrefix("/") else {
            throw CtrError(.usage, "root directory '\(store.path.escaped)': not an absolute path")
        }
        do throws(SysError) {
            var made = ""
            for part in store.path.split(separator: "/") {
                made += "/" + part
                do throws(SysError) {
                    try Kernel.open("/", [.directory]).makeDirectory(String(made.dropFirst()), mode: 0o700)
                } catch  where error.errno == Errno.exists {}
            }
            let parent = SharedFD(try Kernel.open(store.path, [.directory, .noFollow]))
            let status = try parent.fd.status()
            // Setuid files lie below: nobody but root may come near.
            if status.permissions & 0o077 != 0 || status.uid != 0 {
                throw SysError("the directory must be root's with mode 0700", Errno.perm, store.path)
            }
            return parent
        } catch { throw CtrError(.cannotCreate, "prepare \(store.path)", cause: error) }
    }

    /// Takes the store's own lock, held until the result goes away.
    static func guardStore(_ parent: SharedFD) throws(SysError) -> SharedFD {
        let file = try parent.fd.open(".lock", [.readOnly, .create, .noFollow], mode: 0o600)
        try file.lock(.exclusive, wait: true)
        return SharedFD(file)
    }

    private static func takeLock(_ directory: SharedFD) throws(SysError) -> FD {
        let file = try directory.fd.open(TemplateStore.lockName, [.readOnly, .create, .noFollow], mode: 0o600)
        try file.lock(.exclusive, wait: false)
        return file
    }

    static func uniqueSuffix() -> String { String(UInt64.random(in: .min ... .max), radix: 16) }
}

extension FD {
    fileprivate borrowing func makeAndOpen(_ name: String, mode: UInt32) throws(SysError) -> FD {
        try makeDirectory(name, mode: mode)
        let made = try open(name, [.directory, .noFollow])
        try made.changeMode(mode)  // whatever the umask
        return made
    }
}
