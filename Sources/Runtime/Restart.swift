public import Model

/// `ctr restart`: stop and start under one lock, so that no other verb comes between.
public struct Restart: Sendable {
    public var name: String
    /// Seconds between asking init to halt and killing.
    public var timeout: Int

    public init(name: String, timeout: Int = 10) {
        self.name = name
        self.timeout = timeout
    }

    /// One that is stopped is started.
    public func run(on host: Host) throws(CtrError) {
        let files = try VPSFiles(name, host: host)
        guard let config = try files.config() else { throw VPSFiles.unknown(name) }
        if config.ephemeral { throw CtrError(.failed, "VPS \(name): ephemeral, it can't be started again") }
        let (lock, _) = try StartAtWork.lock(files, patience: StartAtWork.patience, force: false)
        defer { withExtendedLifetime(lock) {} }
        _ = try Stop(name: name, timeout: timeout).run(files, lock)
        _ = try Start(name: name).run(files, lock)
    }
}
