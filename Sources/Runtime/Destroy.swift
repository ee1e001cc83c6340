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
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        if try files.keptConfig(in: lock.directory)?.protected == true {
            throw CtrError(.failed, "VPS \(name): protected (ctr set \(name) --no-protect first)")
        }
        if let running = try RunningInit.find(files) {
            guard force else {
                throw CtrError(.failed, "VPS \(name): running (ctr stop \(name) first, or ctr destroy --force \(name))")
            }
            try Ending(files: files).kill(running)
        } else {
            try Ending(files: files).stopWaiting()
        }
        let state = try files.ensureStateDirectory()
        try Locks.becomeSupervisor(state, of: name)
        try Recovery(host: host).removeAll(files)
        EventLog(host).append(.destroyed, vps: name)
        withExtendedLifetime(state) {}
    }
}
