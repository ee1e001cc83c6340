internal import Cgroups
internal import Kernel
internal import Model
internal import Namespaces
internal import Network
internal import Storage

/// The directories and locks of a VPS that this process is starting and will supervise.
final class VPSPlace {
    let files: VPSFiles
    let state: SharedFD
    let directory: SharedFD

    private init(files: VPSFiles, state: SharedFD, directory: SharedFD) {
        self.files = files
        self.state = state
        self.directory = directory
    }

    /// Takes a name and makes its directories.
    /// - Throws: `cannotCreate` if a VPS of that name exists.
    static func make(_ wanted: String?, on host: Host) throws(CtrError) -> VPSPlace {
        while true {
            let name: String
            if let wanted { name = wanted } else { name = try randomName() }
            if wanted != nil { try Recovery(host: host).sweep(name) }
            let files = try VPSFiles(name, host: host)
            do throws(SysError) {
                try files.states.fd.makeDirectory(name, mode: 0o700)
            } catch {
                if error.errno != Errno.exists { throw CtrError(.cannotCreate, "VPS \(name)", cause: error) }
                if wanted == nil { continue }
                throw CtrError(
                    .cannotCreate, "VPS \(name): exists already (choose another --name, or ctr destroy \(name))")
            }
            if let place = try fill(files) { return place }
        }
    }

    /// nil if another ctr took the directory, as yet unlocked, for a leftover and removed it.
    private static func fill(_ files: VPSFiles) throws(CtrError) -> VPSPlace? {
        guard let state = try files.stateDirectory() else { return nil }
        try Locks.becomeSupervisor(state, of: files.name)
        do throws(SysError) {
            if try state.fd.status().links == 0 { return nil }
            try files.all.fd.makeDirectory(files.name, mode: 0o700)
            let directory = SharedFD(try files.all.fd.open(files.name, [.directory, .noFollow]))
            return VPSPlace(files: files, state: state, directory: directory)
        } catch {
            try? files.states.fd.removeTree(files.name)
            if error.errno == Errno.exists {
                throw CtrError(
                    .cannotCreate,
                    "VPS \(files.name): exists already (choose another --name, or ctr destroy \(files.name))")
            }
            throw CtrError(.cannotCreate, "VPS \(files.name)", cause: error)
        }
    }

    /// Takes the place of a kept VPS that does not run.
    /// - Throws: `notFound` if there is none, `busy` if it has a supervisor.
    static func reopen(_ files: VPSFiles) throws(CtrError) -> VPSPlace {
        while true {
            guard let directory = try files.directory() else { throw VPSFiles.unknown(files.name) }
            let state = try files.ensureStateDirectory()
            try Locks.becomeSupervisor(state, of: files.name)
            let links = try describing("state of VPS \(files.name)") { () throws(SysError) in
                try state.fd.status().links
            }
            // Another ctr cleared it away before we had the lock.
            if links > 0 { return VPSPlace(files: files, state: state, directory: directory) }
        }
    }

    /// Makes the disk: an image, or a directory whose `upper` is what the guest sees as its root's own files, `/`
    /// included. The image of a VPS that is to be kept is finished when its config.json is there.
    func makeDisk(_ config: VPSConfig) throws(CtrError) {
        if let disk = config.disk, let image = files.image(config, in: directory) {
            try promise(config)
            return try image.make(disk)
        }
        let (directory, ephemeral) = (directory, config.ephemeral)
        try describing("disk of VPS \(files.name)", code: .cannotCreate) { () throws(SysError) in
            var disk = directory
            if !ephemeral { disk = SharedFD(try directory.fd.ensureDirectory("disk", mode: 0o700)) }
            let mask = CurrentProcess.setFileModeMask(0)
            defer { CurrentProcess.setFileModeMask(mask) }
            for name in ["upper", "work"] { try disk.fd.makeDirectory(name, mode: 0o755) }
        }
    }

    /// Of a VPS that is being made by `run`, which asked for some.
    func writeIdentity(_ config: inout VPSConfig, _ template: SealedTemplate) throws(CtrError) {
        if config.userns == .auto { config.idRange = try Settings.load().makeIDPool().allocate(files.path) }
        config.addDue(VPSIdentity.Part.allCases.filter { $0 != .machine })
        config = try IdentityWork.write(config, in: config.mountOffline(files, in: directory, template))
    }

    func write(_ value: VPSState) throws(CtrError) {
        try VPSFiles.write(value, "state.json", in: state, of: files.name, durable: false)
    }

    /// Makes a VPS that is to be kept, stopped: it is there when its config.json is.
    /// - Parameter disk: makes its disk.
    static func create<T>(
        _ config: VPSConfig, on host: Host, disk: (VPSPlace) throws(CtrError) -> T
    ) throws(CtrError) -> T {
        var config = config
        let place = try make(config.name, on: host)
        let result: T
        do throws(CtrError) {
            try place.write(VPSState.now(.creating, config))
            result = try disk(place)
            if config.userns == .auto { config.idRange = try Settings.load().makeIDPool().allocate(place.files.path) }
            _ = try host.claimPorts(config)
            try place.settle(config)
            let all = place.files.all
            try describing("directory of VPS \(config.name)") { () throws(SysError) in try all.fd.sync() }
        } catch {
            place.removeAfterFailure()
            throw error
        }
        try Recovery(host: host).settleStopped(place.files)
        return result
    }

    /// Makes a new VPS one that is there, and kept. Until its config.json is, its disk is a leftover by its name.
    func settle(_ config: VPSConfig) throws(CtrError) {
        try write(config)
        try files.image(config, in: directory)?.finish()
        guard config.diskWork?.verb == .clone else { return }
        try SnapshotData(top: directory, isImage: false, of: files.name).finishClone()
        var finished = config
        finished.diskWork = nil
        try write(finished)
    }

    func write(_ config: VPSConfig) throws(CtrError) {
        try VPSFiles.write(config, "config.json", in: directory, of: files.name, durable: true)
    }

    /// Removes all of it; the start's own failure is what is reported.
    func removeAfterFailure() {
        try? Recovery(host: files.host).removeAll(files)
        // The first start of all may leave nothing either.
        try? Cgroup.prune(host: .detect(), path: files.host.cgroupParent)
    }

    /// Eight letters and digits that no one has yet, most likely.
    private static func randomName() throws(CtrError) -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)
        let bytes = try describing("random name") { () throws(SysError) in try randomBytes(8) }
        return "run-" + String(decoding: bytes.map { letters[Int($0 % 32)] }, as: UTF8.self)
    }
}
