public import Kernel
public import Model

/// The sealed templates below `$CTR_ROOT/templates`, each a directory with `template.json`, `rootfs/` and `lock`.
///
/// A template appears whole or not at all and is never written to again. Who uses one holds a shared lock on `lock`;
/// who removes it needs the exclusive one. Directories whose names begin with a dot are work in progress, see ``Staging``.
public struct TemplateStore: Sendable {
    /// The directory that holds the templates.
    public let path: String

    /// - Parameter root: `$CTR_ROOT`, for example `/var/lib/ctr`. Nothing is made before a template is.
    public init(root: String) { path = "\(root)/templates" }

    static let manifestName = "template.json"
    static let rootName = "rootfs"
    static let lockName = "lock"

    /// Opens a template and keeps it from being removed. Throws `notFound`, or `busy` while it is being removed.
    public func open(_ name: String) throws(CtrError) -> OpenTemplate {
        try Name.validate(name, kind: "template")
        let parts: Parts
        do { parts = try openParts(name) } catch {
            switch error.errno {
            case Errno.noEntry: throw unknown(name)
            case Errno.again: throw CtrError(.busy, "template \(name): it is being removed")
            case Errno.access:
                throw CtrError(
                    .failed, "template \(name): permission denied (ctr must be run by root)", errno: error.errno)
            default: throw CtrError(.io, "template \(name)", cause: error)
            }
        }
        do {
            let manifest = try JSONFile.decode(Template.self, parts.json, TemplateStore.manifestName)
            return OpenTemplate(manifest: manifest, directory: parts.directory, lock: parts.lock)
        } catch { throw CtrError(.io, "template \(name) is damaged: \(error.message) (remove it and import it again)") }
    }

    private struct Parts: ~Copyable {
        let directory: FD
        let lock: FD
        let json: [UInt8]
    }

    private func openParts(_ name: String) throws(SysError) -> Parts {
        let directory = try Kernel.open("\(path)/\(name)", [.directory, .noFollow])
        let lock = try directory.open(TemplateStore.lockName, [.readOnly, .noFollow])
        try lock.lock(.shared, wait: false)
        let json = try directory.readFile(TemplateStore.manifestName, limit: JSONFile.limit)
        return Parts(directory: directory, lock: lock, json: json)
    }

    /// What `template.json` of a template says. Throws `notFound` for an unknown one.
    public func show(_ name: String) throws(CtrError) -> Template { try open(name).manifest }

    /// All templates by name.
    /// - Parameter broken: told of each template that cannot be read; one must not hide the others.
    public func list(broken: (String, CtrError) -> Void = { _, _ in }) throws(CtrError) -> [Template] {
        var all: [Template] = []
        for name in try names() {
            do { all.append(try show(name)) } catch {
                // Removed since the directory was read.
                if error.code != .notFound { broken(name, error) }
            }
        }
        return all
    }

    /// Removes a template. Throws `busy` naming the users while anything uses it.
    /// - Parameter users: names what uses the template, asked while nobody new can begin to.
    public func remove(
        _ name: String, users: () throws(CtrError) -> [String] = { () throws(CtrError) in [] }
    ) throws(CtrError) {
        try Name.validate(name, kind: "template")
        sweep()
        let (parent, directory, lock): (SharedFD, SharedFD, SharedFD)
        do {
            parent = SharedFD(try Kernel.open(path, [.directory, .noFollow]))
            directory = SharedFD(try parent.fd.open(name, [.directory, .noFollow]))
            lock = SharedFD(
                try directory.fd.open(TemplateStore.lockName, [.readOnly, .create, .noFollow], mode: 0o600))
        } catch {
            if error.errno == Errno.noEntry { throw unknown(name) }
            throw CtrError(.io, "template \(name)", cause: error)
        }
        do { try lock.fd.lock(.exclusive, wait: false) } catch {
            guard error.errno == Errno.again else { throw CtrError(.io, "template \(name)", cause: error) }
            throw inUse(name, try users())
        }
        let found = try users()
        if !found.isEmpty { throw inUse(name, found) }
        let doomed = Staging.removingPrefix + Staging.uniqueSuffix()
        do { try hide(name, directory, as: doomed, in: parent) } catch {
            if error.errno == Errno.noEntry { throw unknown(name) }
            throw CtrError(.io, "remove template \(name)", cause: error)
        }
        try Staging.delete(doomed, in: parent, store: self)
        withExtendedLifetime(lock) {}
    }

    /// Takes a template out of sight. ENOENT where its name meanwhile stands for another one or none: the lock that we
    /// hold is then of a template that is gone.
    private func hide(_ name: String, _ directory: SharedFD, as doomed: String, in parent: SharedFD) throws(SysError) {
        let guarded = try Staging.guardStore(parent)
        guard try parent.fd.status(of: name).inode == directory.fd.status().inode else {
            throw SysError("rename", Errno.noEntry, name)
        }
        try parent.fd.rename(name, to: parent.fd, doomed, replace: false)
        try parent.fd.sync()
        withExtendedLifetime(guarded) {}
    }

    /// Finishes what crashes left: deletes half-made and half-removed templates that nobody works on. Best effort; what
    /// cannot be deleted now is tried again by the next verb.
    public func sweep() { Staging.sweep(self) }

    // MARK: inside

    /// Names of templates in byte order.
    private func names() throws(CtrError) -> [String] {
        do {
            return try Kernel.open(path, [.directory, .noFollow]).entries().map { $0.name.description }
                .filter { !$0.hasPrefix(".") }.sorted()
        } catch {
            if error.errno == Errno.noEntry { return [] }
            throw CtrError(.io, "list templates", cause: error)
        }
    }

    /// Throws `cannotCreate` where the name is taken.
    public func requireFree(_ name: String) throws(CtrError) {
        try Name.validate(name, kind: "template")
        do {
            _ = try Kernel.open(path, [.directory, .noFollow]).status(of: name)
        } catch {
            if error.errno == Errno.noEntry { return }
            throw CtrError(.io, "template \(name)", cause: error)
        }
        throw CtrError(.cannotCreate, "template \(name): it exists already (remove it first, or choose another name)")
    }

    private func unknown(_ name: String) -> CtrError {
        CtrError(.notFound, "template \(name): not found (see: ctr template list)")
    }

    private func inUse(_ name: String, _ users: [String]) -> CtrError {
        let who = users.isEmpty ? "another ctr" : users.sorted().joined(separator: ", ").escaped
        return CtrError(.busy, "template \(name): in use by \(who) (destroy them first)")
    }
}

/// A template that is kept from being removed for as long as this value lives.
public struct OpenTemplate: ~Copyable, Sendable {
    /// What `template.json` says.
    public let manifest: Template
    /// The template's directory; its layers lie below it under the names of the manifest.
    public let directory: FD
    /// Holds the shared lock. It lives on in a process that inherits it.
    public let lock: FD

    /// Opens the root of a layer, lowest first.
    public borrowing func openLayer(_ index: Int = 0) throws(CtrError) -> FD {
        let name = manifest.layers[index]
        do {
            return try directory.open(name, [.directory, .noFollow], resolve: [.beneath, .noSymlinks])
        } catch { throw CtrError(.io, "template \(manifest.name): layer \(name.escaped)", cause: error) }
    }
}
