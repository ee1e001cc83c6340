internal import Kernel
internal import Model
internal import Namespaces

/// A VPS that does not run, with its root mounted for this process. While it lives nobody can start, change or destroy it.
struct OfflineVPS: ~Copyable {
    let files: VPSFiles
    /// Its root; goes with this process at the latest.
    let root: SharedFD
    private let state: SharedFD
    private let template: SealedTemplate

    /// nil if it runs, or has been started before the lock could be had.
    /// - Throws: `busy` where another verb is at work on it.
    static func open(_ files: VPSFiles, _ config: VPSConfig, on host: Host) throws(CtrError) -> OfflineVPS? {
        let state = try files.ensureStateDirectory()
        do throws(CtrError) { try lock(state, files) } catch {
            if error.code == .busy, try RunningInit.find(files) != nil { return nil }
            throw error
        }
        // One that lost its supervisor runs on with its lock free.
        if try RunningInit.find(files) != nil { return nil }
        do throws(CtrError) {
            let template = try SealedTemplate(config.template, on: host)
            let spec = try config.spec(
                layers: template.layers, disk: files.diskPath(ephemeral: config.ephemeral), mountPoint: files.statePath)
            let root = try OfflineRoot.mount(spec.root, idMappings: spec.linux.idMappings)
            return OfflineVPS(files: files, root: root, state: state, template: template)
        } catch {
            forget(files)
            throw error
        }
    }

    /// Holds off every other verb for as long as `state` stays open.
    private static func lock(_ state: SharedFD, _ files: VPSFiles) throws(CtrError) {
        try Locks.becomeSupervisor(state, of: files.name)
    }

    /// The state directory of a stopped VPS is empty, or was not there at all.
    private static func forget(_ files: VPSFiles) { try? files.states.fd.unlink(files.name, directory: true) }

    deinit { OfflineVPS.forget(files) }
}
