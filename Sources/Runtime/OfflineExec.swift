internal import Kernel
public import Model
internal import Namespaces

/// `ctr exec --offline`: a command on the disk of a VPS that does not run, in isolation as when it does.
public struct OfflineExec: Sendable {
    public var exec: Exec

    public init(_ exec: Exec) { self.exec = exec }

    /// Runs until the command ends; the VPS is stopped before and after.
    /// - Returns: its status as a shell reports it.
    public func run(on host: Host) throws(CtrError) -> Int32 {
        let signals = try Supervisor.queue()
        let files = try VPSFiles(exec.name, host: host)
        guard let known = try files.config() else { throw VPSFiles.unknown(exec.name) }
        try Isolation.guardProgram(known.userns)
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        let runs = try RunningInit.find(files) != nil
        if known.ephemeral || runs {
            throw CtrError(.failed, "exec --offline \(exec.name): the VPS runs (leave --offline out)")
        }
        try LostVPS.refuse(files)
        try Ending(files: files).stopWaiting()
        try known.refuseSealed()
        try files.refuseSuspended()
        if known.hasUnfinishedDiskWork { _ = try DiskHold(files, lock) }
        try IdentityWork.finish(files, known, lock)
        guard var config = try files.keptConfig(in: lock.directory) else { throw VPSFiles.unknown(exec.name) }
        config.env = exec.environment(config)
        config.args = exec.command
        config.user = exec.user
        config.workdir = exec.workdir ?? "/"
        config.terminal = exec.terminal
        let vps = try start(config, files, host)
        let relay = try vps.process.terminal.map { (terminal) throws(CtrError) in try Relay.user(of: terminal) }
        return try vps.supervise(signals: signals, relay: relay)
    }

    private func start(_ config: VPSConfig, _ files: VPSFiles, _ host: Host) throws(CtrError) -> RunningVPS {
        let place = try VPSPlace.reopen(files)
        // Before there is somebody to write.
        if config.disk != nil { SpaceGuard.ensure(on: host) }
        do throws(CtrError) {
            var starting = Starting(
                place: place, template: try SealedTemplate(config.template, on: host), config: config)
            starting.rescue = true
            starting.endsWithUs = true
            return try starting.started(streams: Streams())
        } catch {
            try? Recovery(host: host).settleStopped(files)
            throw error
        }
    }
}
