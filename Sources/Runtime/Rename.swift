internal import Kernel
public import Model
internal import Namespaces
internal import Network

/// `ctr rename`: another name for a stopped VPS. Its directory's name is its name, so one rename(2) does it; what else
/// carries the name follows, and is put right by whoever reads it where a crash came between.
public struct Rename: Sendable {
    public var name: String
    public var newName: String

    public init(name: String, newName: String) {
        self.name = name
        self.newName = newName
    }

    /// - Throws: `cannotCreate` where the new name is taken, `failed` for one that runs.
    public func run(on host: Host) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        let new = try VPSFiles(newName, host: host)
        guard try files.config() != nil else { throw VPSFiles.unknown(name) }
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        try refuseRunning(files)
        try files.refuseSuspended()
        guard let config = try files.keptConfig(in: lock.directory) else { throw VPSFiles.unknown(name) }
        if name == newName { return }
        if try new.directory() != nil { throw CtrError(.cannotCreate, "VPS \(newName): exists already") }
        // Nobody makes or mends one of the new name meanwhile.
        let state = try new.ensureStateDirectory()
        try Locks.becomeSupervisor(state, of: newName)
        defer { try? new.states.fd.removeTree(newName) }
        let (all, from, to) = (files.all, name, newName)
        let inode = try describing("VPS \(name)") { () throws(SysError) in try lock.directory.fd.status().inode }
        try host.network().prepareRename(name, inode: inode, to: newName)
        do throws(SysError) {
            try all.fd.rename(from, to: all.fd, to, replace: false)
            try all.fd.sync()
        } catch {
            try? host.network().finishRename(to: newName)
            if error.errno == Errno.exists {
                throw CtrError(.cannotCreate, "VPS \(newName): exists already", errno: error.errno)
            }
            throw CtrError(.cannotCreate, "rename VPS \(name) to \(newName)", cause: error)
        }
        try Settings.load().makeIDPool().rename(files.path, to: new.path)
        try host.network().finishRename(to: newName)
        var changed = config
        changed.name = newName
        if config.hostname == name {
            changed.hostname = newName
            changed.addDue([.names])
        }
        try VPSFiles.write(changed, "config.json", in: lock.directory, of: newName, durable: true)
        EventLog(host).append(.renamed, vps: name, detail: ["to": .text(newName)])
    }

    private func refuseRunning(_ files: VPSFiles) throws(CtrError) {
        let runs = try RunningInit.find(files) != nil
        let waits = try files.stateDirectory().map { (state) throws(CtrError) in
            try Locks.hasSupervisor(state, of: files.name)
        }
        try LostVPS.refuse(files)
        if runs || waits == true { throw CtrError(.failed, "VPS \(name): running (ctr stop \(name) first)") }
        try Recovery(host: files.host).sweep(name)
    }
}
