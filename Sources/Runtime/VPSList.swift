internal import Cgroups
internal import Kernel
public import Model

/// One VPS in a list.
public struct VPSSummary: Codable, Sendable {
    public var name: String
    public var template: String
    public var status: VPSStatus
    public var pid: Int32?
    public var created: String
    public var started: String?
    /// Seconds since it was started.
    public var uptime: Int64?
    public var args: [String]
    public var ephemeral: Bool
    public var labels: [String: String]
    public var description: String?
    public var hostname: String
    /// Limits, bytes and processors' worth of time; nil means none.
    public var memory: Int64?
    public var cpus: Double?
    public var pids: Int64?
    public var restart: RestartPolicy
    public var onboot: Bool
    public var bootPriority: Int
    public var protected: Bool

    /// One that is stopped.
    init(_ config: VPSConfig) {
        (name, template, created, args) = (config.name, config.template, config.created, config.args)
        (status, ephemeral, labels) = (config.sealedAs == nil ? .stopped : .sealed, config.ephemeral, config.labels)
        (description, hostname) = (config.description, config.hostname)
        (memory, cpus, pids) = (config.resources.memory, config.resources.cpus, config.resources.pids)
        (restart, onboot, bootPriority) = (config.restart, config.onboot, config.bootPriority)
        protected = config.protected
    }

    /// - Parameter time: RFC 3339.
    mutating func setStarted(_ time: String) {
        started = time
        uptime = TimeText.milliseconds(rfc3339: time).map { max(0, FileTime.now.seconds - $0 / 1000) }
    }
}

/// `ctr list`.
public enum VPSList {
    /// Every name that has a directory, sorted; a leftover of a crash too.
    public static func names(on host: Host) throws(CtrError) -> [String] {
        let all = try host.vpsDirectory()
        let states = try host.stateDirectory()
        let entries = try describing("list of VPSs") { () throws(SysError) in try all.entries() + states.entries() }
        var names: Set<String> = []
        for entry in entries where entry.type == .directory {
            let name = entry.name.description
            if (try? Name.validate(name, kind: "VPS")) != nil { names.insert(name) }
        }
        return names.sorted()
    }

    /// Every VPS. What a crash left is mended first. One whose files are damaged is warned of and left out.
    public static func all(on host: Host) throws(CtrError) -> [VPSSummary] {
        let cgroups = try CgroupHost.detect()
        return try each(on: host) { (name) throws(CtrError) in
            try Recovery(host: host).sweep(name)
            return try summary(VPSFiles(name, host: host), cgroups: cgroups)
        }
    }

    /// One that is damaged must not keep an operator from all others.
    static func each<Value>(
        on host: Host, _ body: (String) throws(CtrError) -> Value?
    ) throws(CtrError) -> [Value] {
        var values: [Value] = []
        for name in try names(on: host) {
            do throws(CtrError) {
                if let value = try body(name) { values.append(value) }
            } catch {
                if error.code != .config, error.code != .io { throw error }
                Message.warn("\(error.message) (left out; ctr destroy --force \(name) removes it)")
            }
        }
        return values
    }

    /// Those that are to run from the host's boot on, in groups of one priority, the highest first.
    public static func onBoot(on host: Host) throws(CtrError) -> [[String]] {
        let marked = try each(on: host) { (name) throws(CtrError) -> VPSConfig? in
            try Recovery(host: host).sweep(name)
            guard let config = try VPSFiles(name, host: host).config(), config.onboot, config.sealedAs == nil else {
                return nil
            }
            return config
        }
        let groups = Dictionary(grouping: marked, by: \.bootPriority)
        return groups.sorted { $0.key > $1.key }.map { $0.value.map(\.name) }
    }

    /// nil for one that is just being made or removed.
    static func summary(_ files: VPSFiles, cgroups: CgroupHost? = nil) throws(CtrError) -> VPSSummary? {
        guard let config = try files.config() else { return nil }
        var summary = VPSSummary(config)
        if let running = try RunningInit.find(files) {
            summary.status = running.state.status
            summary.pid = running.state.pid
            summary.setStarted(running.state.started)
            if let place = try files.stateDirectory(), StopIntent.isRecorded(place) { summary.status = .stopping }
        } else if let state = try files.state(), let place = try files.stateDirectory(),
            try Locks.hasSupervisor(place, of: files.name)
        {
            // Being made, started, started again, or cleared away.
            summary.status = state.pid == 0 || state.status == .resuming ? state.status : .stopping
        } else if try LostVPS.find(files, cgroups: cgroups) != nil {
            summary.status = .lost
        } else if try files.hasCheckpoint() {
            let directory = try files.directory()
            summary.status = directory.map { files.isHibernated(in: $0) } == true ? .hibernated : .suspended
        }
        return summary
    }
}
