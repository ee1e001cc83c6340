internal import Kernel
public import Model

/// `ctr destroy`: removes a VPS and all its data.
public struct Destroy: Sendable {
    public var name: String
    /// Also a running one.
    public var force: Bool

    public init(name: String, force: Bool) {
        self.name = name
        self.force = force
    }

    public func run(on host: Host) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        guard try files.directory() != nil else {
            // Of what a crash left the directory may have gone already.
            guard try files.stateDirectory() != nil else { throw VPSFiles.unknown(name) }
            try Recovery(host: host).sweep(name)
            return
        }
        let lock = force ? try StartAtWork.lock(files, patience: 0, force: true).lock : try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        try check(files, lock)
        try SnapshotMount.endAll(files, in: lock.directory, force: force)
        if let running = try RunningInit.find(files) {
            guard force else {
                throw CtrError(.failed, "VPS \(name): running (ctr stop \(name) first, or ctr destroy --force \(name))")
            }
            try Ending(files: files).kill(running)
        } else {
            if let lost = try LostVPS.find(files) {
                if !force { try LostVPS.refuse(files) }
                try lost.end()
            }
            if !force { try refuseWaiting(files) }
            try Ending(files: files).stopWaiting()
            // Its supervisor was faster.
            if let running = try RunningInit.find(files) { try Ending(files: files).kill(running) }
        }
        let state = try files.ensureStateDirectory()
        try Locks.becomeSupervisor(state, of: name)
        try Recovery(host: host).removeAll(files)
        EventLog(host).append(.destroyed, vps: name)
        withExtendedLifetime(state) {}
    }

    /// With --force also what is too damaged to be read goes.
    private func check(_ files: VPSFiles, _ lock: VerbLock) throws(CtrError) {
        let config: VPSConfig?
        do throws(CtrError) { config = try files.keptConfig(in: lock.directory) } catch {
            if force, error.code == .config { return }
            throw error
        }
        if config?.protected == true {
            throw CtrError(.failed, "VPS \(name): protected (ctr set \(name) --no-protect first)")
        }
        if config == nil, !force, try files.state() == nil, try !Leftover.isOne(files) {
            throw CtrError(.failed, "VPS \(name): it has no config.json (ctr destroy --force \(name) removes its data)")
        }
    }

    /// One that is just being started, or waits to be started again, is not stopped.
    private func refuseWaiting(_ files: VPSFiles) throws(CtrError) {
        guard let state = try files.state(), [.starting, .restarting].contains(state.status),
            let place = try files.stateDirectory(), try Locks.hasSupervisor(place, of: name)
        else { return }
        throw CtrError(
            .failed, "VPS \(name): \(state.status.rawValue) (ctr stop \(name) first, or ctr destroy --force \(name))")
    }
}
