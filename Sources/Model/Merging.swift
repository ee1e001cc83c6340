// How lists of options come together: what has the same key is replaced in its place, all else is added at the end. The
// same for an option that is given twice, for a profile under a command line, and for `set` on what there is.
extension Array {
    /// Adds `later`, an element with the same key taking the place of the one that is there.
    mutating func merge(_ later: [Element], by key: (Element) -> String) {
        for element in later {
            let name = key(element)
            if let index = firstIndex(where: { key($0) == name }) { self[index] = element } else { append(element) }
        }
    }
}

enum OptionKey {
    /// Of `KEY=VALUE`.
    static func name(_ entry: String) -> String { String(entry.prefix { $0 != "=" }) }
    static func value(_ entry: String) -> String { String(entry.drop { $0 != "=" }.dropFirst()) }
    static func mount(_ mount: MountSpec) -> String { mount.destination }
    static func ulimit(_ limit: Ulimit) -> String { limit.name }
    /// One rate for each device; the VPS's own disk has none.
    static func rate(_ rate: IORate) -> String { rate.device ?? "" }
    /// As capabilities(7) has it: `SYS_TIME`, `cap_sys_time` and `CAP_SYS_TIME` are one.
    static func capability(_ name: String) -> String {
        let upper = name.uppercased()
        return upper.hasPrefix("CAP_") ? upper : "CAP_\(upper)"
    }
}

extension Resources {
    /// Takes the values that `later` has.
    mutating func merge(_ later: Resources) {
        cpus = later.cpus ?? cpus
        cpuWeight = later.cpuWeight ?? cpuWeight
        cpuset = later.cpuset ?? cpuset
        memory = later.memory ?? memory
        memoryHigh = later.memoryHigh ?? memoryHigh
        swap = later.swap ?? swap
        pids = later.pids ?? pids
        ioReadBps.merge(later.ioReadBps, by: OptionKey.rate)
        ioWriteBps.merge(later.ioWriteBps, by: OptionKey.rate)
        ioReadIops.merge(later.ioReadIops, by: OptionKey.rate)
        ioWriteIops.merge(later.ioWriteIops, by: OptionKey.rate)
    }
}

/// Capabilities added and dropped: the later word on each of them holds.
struct CapabilityWords {
    var added: [String]
    var dropped: [String]

    mutating func merge(adding: [String], dropping: [String]) {
        func differ(_ words: [String]) -> (String) -> Bool {
            let keys = Set(words.map(OptionKey.capability))
            return { !keys.contains(OptionKey.capability($0)) }
        }
        // What one command line both adds and drops stays in both lists: who reads them knows which wins.
        added = added.filter(differ(dropping))
        dropped = dropped.filter(differ(adding))
        added.merge(adding, by: OptionKey.capability)
        dropped.merge(dropping, by: OptionKey.capability)
    }
}

extension VPSOptions {
    /// These, and over them those that were given later: how a profile and a command line come together.
    public func overridden(by later: VPSOptions) -> VPSOptions {
        var all = self
        all.overrideStart(by: later)
        all.hostname = later.hostname ?? hostname
        all.domain = later.domain ?? domain
        all.identity = VPSIdentity?.some(identity).merging(later.identity) ?? VPSIdentity()
        all.sshKeyFiles = later.sshKeyFiles.isEmpty ? sshKeyFiles : later.sshKeyFiles
        all.description = later.description ?? description
        all.env.merge(later.env, by: OptionKey.name)
        all.labels.merge(later.labels, by: OptionKey.name)
        all.resources.merge(later.resources)
        all.ulimits.merge(later.ulimits, by: OptionKey.ulimit)
        all.mounts.merge(later.mounts, by: OptionKey.mount)
        all.devices.merge(later.devices) { $0 }
        var words = CapabilityWords(added: capAdd, dropped: capDrop)
        words.merge(adding: later.capAdd, dropping: later.capDrop)
        (all.capAdd, all.capDrop) = (words.added, words.dropped)
        all.seccomp = later.seccomp ?? seccomp
        all.userns = later.userns ?? userns
        all.network = later.network ?? network
        all.interface.merge(later.interface)
        all.interfaces.merge(later.interfaces) { $0.name }
        all.nesting = later.nesting ?? nesting
        return all
    }

    /// What concerns its start and its life.
    private mutating func overrideStart(by later: VPSOptions) {
        name = later.name ?? name
        user = later.user ?? user
        workdir = later.workdir ?? workdir
        stopSignal = later.stopSignal ?? stopSignal
        initCommand = later.initCommand ?? initCommand
        restart = later.restart ?? restart
        onboot = later.onboot ?? onboot
        bootPriority = later.bootPriority ?? bootPriority
        protected = later.protected ?? protected
        profile = later.profile ?? profile
        terminal = terminal || later.terminal
        detach = detach || later.detach
        keep = keep || later.keep
    }
}
