internal import Kernel
internal import Model
internal import Namespaces
internal import Storage

/// A kept VPS that does not run, with its root mounted for this process alone. While it lives nobody can start, change or
/// destroy the VPS.
struct OfflineVPS: ~Copyable {
    let config: VPSConfig
    /// Its root: see ``Namespaces/OfflineRoot``. Goes with this process at the latest.
    let root: SharedFD
    private let lock: VerbLock
    private let template: SealedTemplate

    /// nil if it runs.
    /// - Throws: `notFound`, `busy` where another verb is at work on it.
    static func open(_ files: VPSFiles, on host: Host) throws(CtrError) -> OfflineVPS? {
        try open(files, VerbLock.take(files), on: host)
    }

    /// With the VPS's lock held.
    static func open(_ files: VPSFiles, _ lock: VerbLock, on host: Host) throws(CtrError) -> OfflineVPS? {
        if try RunningInit.find(files) != nil { return nil }
        try LostVPS.refuse(files)
        // One whose `start` was killed is still being started: the disk can't be mounted twice.
        if let state = try files.stateDirectory(), try Locks.hasSupervisor(state, of: files.name) {
            throw CtrError(.busy, "VPS \(files.name): its supervisor is at work on it, try again")
        }
        guard let config = try files.keptConfig(in: lock.directory) else { throw VPSFiles.unknown(files.name) }
        try config.refuseSealed()
        try files.refuseSuspended()
        if config.hasUnfinishedDiskWork { _ = try DiskHold(files, lock) }
        let template = try SealedTemplate(config.template, on: host)
        let root = try config.mountOffline(files, in: lock.directory, template)
        let done = try IdentityWork.write(config, in: root)
        if done != config {
            try VPSFiles.write(done, "config.json", in: lock.directory, of: files.name, durable: true)
        }
        return OfflineVPS(config: done, root: root, lock: lock, template: template)
    }
}
