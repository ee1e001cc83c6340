internal import Cgroups
internal import Checkpoint
internal import Kernel
internal import Model
internal import Namespaces
internal import Network
internal import Storage

/// The steps of a resume, in the VPS's new supervisor; whoever calls it clears up after a failure.
struct Resuming {
    let place: VPSPlace
    private let checkpoint: SharedFD
    private let record: SuspendRecord
    private let criu: CRIU.Search
    /// Where the checkpoint is on it.
    private let disk: AttachedDisk?

    private var files: VPSFiles { place.files }

    /// - Parameter isTouched: whether the disk has been attached. All that held it is gone when this throws.
    static func attempt(
        _ place: VPSPlace, _ lock: HandedVerbLock, _ isTouched: inout Bool
    ) throws(CtrError) -> WatchedVPS {
        let resuming = try Resuming(place: place, &isTouched)
        isTouched = true
        return try resuming.resumed(holding: lock)
    }

    /// Nothing is touched, unless the checkpoint is on the disk: it is held against its manifest, and this host against
    /// what it needs.
    private init(place: VPSPlace, _ isTouched: inout Bool) throws(CtrError) {
        self.place = place
        criu = try CRIU.search(Settings.load().criu)
        let (directory, name) = (place.directory, place.files.name)
        var opened = CheckpointPlace(parent: directory, isOnDisk: false)
        var attached: AttachedDisk?
        if place.files.isHibernated(in: directory), let config = try place.files.keptConfig(in: directory) {
            try DiskMark.check(place.files, config, in: directory)
            isTouched = true
            DiskMark.remove(in: directory)
            attached = try place.files.attachDisk(config, in: directory)
            if let attached { opened = CheckpointPlace(parent: try attached.openTop(), isOnDisk: true) }
        }
        disk = attached
        do throws(CtrError) {
            let stored = try opened.open(place.files)
            if try Manifest.read(stored)?.version == PackedCheckpoint.format {
                checkpoint = try PackedCheckpoint(files: place.files, directory: directory).unpack()
            } else {
                checkpoint = stored
            }
            guard let manifest = try Manifest.read(checkpoint) else {
                throw CtrError(.config, "checkpoint: damaged: no \(Manifest.name)")
            }
            try manifest.check(checkpoint, contentsOf: { !$0.isMemory })
            try manifest.checkProcessor()
        } catch { throw CtrError(error.code, "resume \(name): \(error.message)") }
        guard var record: SuspendRecord = try VPSFiles.read(CheckpointFiles.record, in: checkpoint, of: name) else {
            throw CtrError(.config, "checkpoint of VPS \(name): damaged: no \(CheckpointFiles.record)")
        }
        guard let stored = try place.files.keptConfig(in: directory), stored.idRange == record.config.idRange,
            stored.template == record.config.template, stored.name == record.config.name
        else {
            throw CtrError(
                .config,
                "checkpoint of VPS \(name): it is of another VPS (its config.json has another name, template or ids)")
        }
        // One of a snapshot may have been another size then.
        record.config.disk = stored.disk
        record.config.takeHostSide(of: stored)
        self.record = record
        if attached == nil { try DiskMark.check(place.files, stored, in: directory) }
    }

    /// After a failure, with all given back: what of the disk has changed was ctr's doing.
    static func markDisk(_ files: VPSFiles, in directory: SharedFD) {
        guard let config = try? files.keptConfig(in: directory), (try? files.hasCheckpoint()) == true else { return }
        try? DiskMark.write(files, config, in: directory)
    }

    /// - Parameter lock: criu holds it too, for as long as it works: nobody takes what it makes for a leftover.
    func resumed(holding lock: HandedVerbLock) throws(CtrError) -> WatchedVPS {
        var config = record.config
        var state = try VPSState.now(.resuming, config)
        state.started = record.started
        state.restarts = record.restarts
        state.ready = record.ready
        state.ownClock = true
        try place.write(state)
        let template = try SealedTemplate(config.template, on: files.host)
        let isolation = try Isolation(&config, place: place)
        var cgroup = isolation.cgroup
        guard config == record.config else {
            throw CtrError(
                .failed,
                "VPS \(files.name): its host ids \(record.config.idRange.map { "from \($0.base)" } ?? "") are in use")
        }
        try RestoredBounds.widen(&cgroup, config, in: place.directory)
        state.cgroup = cgroup.record
        if let tree: CgroupTree = try VPSFiles.read(CheckpointFiles.cgroups, in: checkpoint, of: files.name) {
            try cgroup.make(tree)
        }
        DiskMark.remove(in: place.directory)
        var disk = disk
        if disk == nil { disk = try files.attachDisk(config, in: place.directory) }
        state.loop = disk?.number
        try place.write(state)
        let output = config.terminal ? nil : try VPSOutput()
        let locks = [try lock.shared(), place.state]
        let root = try disk?.mountRoot()
        let kept = try keptRemaps(root)
        kept.prepare()
        let terminal = try restore(config, template, root, output, locks)
        guard let running = try RunningInit.find(files) else {
            throw CtrError(.failed, "resume \(files.name): its first process has ended at once")
        }
        let watched = try WatchedVPS(
            resumed: ProcessHandle.of(running.state.pid), running.state, in: place, cgroup: cgroup,
            template: template, terminal: terminal, output: output)
        kept.remove()
        // Where the step was killed that does it, or could not.
        do throws(CtrError) { try files.host.openPorts(config, pid: running.state.pid, ifClosed: true) } catch {
            EventLog(files.host).append(.networkFailed, vps: files.name, detail: ["reason": .text(error.message)])
        }
        // To whoever asked for it inside.
        HostPath.answer("resumed", to: running.state)
        CheckpointFiles.putAside(in: place.directory)
        files.dropStale(in: place.directory)
        return watched
    }

    /// - Parameter root: what the VPS writes to, of one with an image.
    private func keptRemaps(_ root: SharedFD?) throws(CtrError) -> KeptRemaps {
        let (checkpoint, directory) = (checkpoint, place.directory)
        return try describing("disk of VPS \(files.name)") { () throws(SysError) in
            let images = SharedFD(try checkpoint.fd.open(CheckpointFiles.images, [.directory, .noFollow]))
            return try KeptRemaps(Remaps.read(images), root: root, in: directory)
        }
    }

    /// Makes the processes anew.
    /// - Returns: the master of its console's terminal.
    private func restore(
        _ config: VPSConfig, _ template: SealedTemplate, _ disk: SharedFD?, _ output: VPSOutput?,
        _ locks: [SharedFD]
    ) throws(CtrError) -> SharedFD? {
        let name = files.name
        try describing("state of VPS \(name)") { () throws(SysError) in
            // Nothing of ours, or of the operator, for processes that are not ours.
            try CurrentProcess.joinNewSessionKeyring()
        }
        let spec = try config.spec(layers: template.layers, disk: files.diskPath(config), mountPoint: files.statePath)
        let script = try CheckpointScript.write(files, in: place.state)
        let log = try files.ensureLog(place.directory)
        var console: SharedFD?
        let needed = [
            files.host.root, files.host.state, criu.path, LXCFS(try Settings.load()).directory,
            CheckpointScript.program,
        ]
        var restoring = RestoreRoot(spec: spec, disk: disk, needed: needed)
        restoring.hierarchies = try CgroupHost.usualPlaces() ?? [:]
        try restoring.with { (yard) throws(CtrError) in
            try fillDev(yard)
            let images = try describing("checkpoint of VPS \(name)") { () throws(SysError) in
                SharedFD(try checkpoint.fd.open(CheckpointFiles.images, [.directory, .noFollow]))
            }
            var options = RestoreOptions(images: images, work: log, root: yard.root)
            options.script = script
            options.cgroups = yard.cgroups
            options.mounts = try mounts(yard)
            options.files = try openFiles(yard, output)
            options.held = locks
            options.withoutNetwork = config.hasInterface
            _ = CheckpointStep.takeFailure(place.state)
            let check = try MemoryCheck(of: checkpoint, in: place.state)
            do throws(CtrError) { try criu.result().restore(options, environment: Settings.variables) } catch {
                CheckpointScript.cancel(in: place.state)
                console = yard.terminal?.master
                // Killed in its last moments: the processes go on without it.
                if try !files.hasCheckpoint() { return }
                let reason = CheckpointStep.takeFailure(place.state)
                let damage = check.end(in: place.state)
                endChildren()
                HalfResumed(files: files).end()
                let why = damage ?? reason ?? error
                throw CtrError(why.code, "resume \(name): \(why.message); its checkpoint stays as it is")
            }
            _ = check.end(in: place.state)
            console = yard.terminal?.master
        }
        CheckpointScript.cancel(in: place.state)
        try files.setStatus(.running)
        return console
    }

    /// What criu has begun to make before it joined its cgroup.
    private func endChildren() {
        for child in (try? ProcFiles.children(of: CurrentProcess.pid)) ?? [] {
            if let handle = try? ProcessHandle(pid: child) { handle.killChild() }
        }
    }

    private func mounts(_ yard: RestoreYard) throws(CtrError) -> [(key: String, path: String)] {
        var all = [("mnt[dev]", yard.dev), ("mnt[pts]", yard.pts)]
        if let console = yard.console { all.append(("mnt[console]", console)) }
        for (index, path) in yard.mounts.enumerated() { all.append(("mnt[mount\(index)]", path)) }
        if !record.views.isEmpty {
            let lxcfs = LXCFS(try Settings.load())
            guard lxcfs.views() != nil else {
                throw CtrError(
                    .unavailable,
                    "resume \(files.name): lxcfs is not running, and the VPS was started with it (start lxcfs)")
            }
            for (name, place) in record.views.sorted(by: { $0.key < $1.key }) {
                all.append(("mnt[\(name)]", lxcfs.directory + place))
            }
        }
        return all
    }

    private func openFiles(
        _ yard: RestoreYard, _ output: VPSOutput?
    ) throws(CtrError) -> [(key: String, file: SharedFD)] {
        var all: [(key: String, file: SharedFD)] = []
        if let key = record.terminal, let terminal = yard.terminal { all.append((key, terminal.peer)) }
        if let output {
            let streams = try output.streams().descriptors
            if let key = record.input { all.append((key, streams[0])) }
            if let key = record.output { all.append((key, streams[1])) }
        }
        return all
    }

    /// /dev as it was, devices included: they are made by the host's root, as at a start, and no others than at a start.
    private func fillDev(_ yard: RestoreYard) throws(CtrError) {
        let (checkpoint, places) = (checkpoint, record.devPlaces)
        try describing("/dev of VPS \(files.name)") { () throws(SysError) in
            let archive = SharedFD(try checkpoint.fd.open(CheckpointFiles.devices, [.readOnly, .noFollow]))
            let tool = try ToolProcess(
                "tar",
                [
                    "--extract", "--numeric-owner", "--same-owner", "--same-permissions", "--xattrs", "--warning=none",
                    "--directory", yard.dev,
                ], stdin: .file(archive), stderr: .null)
            guard try tool.wait().succeeded else { throw SysError("tar", Errno.io, "/dev") }
            let dev = try open(yard.dev, [.directory])
            for (path, isDirectory) in places.sorted(by: { $0.key < $1.key }) {
                do throws(SysError) {
                    _ = try dev.open(path, [.path, .noFollow], resolve: [.beneath, .noSymlinks, .noMagicLinks])
                } catch  where error.errno == Errno.noEntry {
                    // Below a directory of the archive, or of this loop.
                    guard !path.contains("/") else { throw error }
                    if isDirectory {
                        try dev.makeDirectory(path, mode: 0o755)
                    } else {
                        _ = try dev.open(path, [.create, .exclusive, .writeOnly], mode: 0o600)
                    }
                }
            }
        }
        try DeviceNodes(allowed: record.config).check(yard.dev)
    }
}

extension ProcessHandle {
    /// A child of ours that has not been reaped, so the number is its own.
    fileprivate static func of(_ pid: Int32) throws(CtrError) -> ProcessHandle {
        do throws(SysError) { return try ProcessHandle(pid: pid) } catch {
            throw CtrError(.failed, "process \(pid)", cause: error)
        }
    }
}
