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
        let lock = try VerbLock.take(files)
        if try RunningInit.find(files) != nil { return nil }
        try LostVPS.refuse(files)
        // One whose `start` was killed is still being started: the disk can't be mounted twice.
        if let state = try files.stateDirectory(), try Locks.hasSupervisor(state, of: files.name) {
            throw CtrError(.busy, "VPS \(files.name): its supervisor is at work on it, try again")
        }
        guard let config = try files.keptConfig(in: lock.directory) else { throw VPSFiles.unknown(files.name) }
        if config.hasUnfinishedDiskWork { _ = try DiskHold(files, lock) }
        let template = try SealedTemplate(config.template, on: host)
        let spec = try config.spec(
            layers: template.layers, disk: files.diskPath(config), mountPoint: files.path)
        var disk: SharedFD?
        if let wanted = config.disk {
            disk = try files.image(config, in: lock.directory)?.open(wanted).mountRoot()
        }
        let root = try OfflineRoot.mount(spec.root, idMappings: spec.linux.idMappings, disk: disk)
        return OfflineVPS(config: config, root: root, lock: lock, template: template)
    }
}
