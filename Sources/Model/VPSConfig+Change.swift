// `ctr set`: from a configuration to the next.

extension VPSConfig {
    /// This configuration with what `set` was given.
    ///
    /// First `unset`, then the options: `--unset label --label a=b` replaces all labels. Variables and labels are merged by
    /// key, mounts by destination, resource limits by name, disk rates by device; devices and capabilities are added.
    /// - Parameters:
    ///   - options: as given, a profile's included. What only `run` has (name, user ...) changes nothing.
    ///   - unset: `OPTION`, which goes back to its default, or `OPTION=KEY`, which takes one entry away.
    ///   - defaults: what `create` without options makes of the same template.
    /// - Throws: `usage` for an unknown option, a key where there is none, and limits that contradict each other.
    public func changed(
        by options: VPSOptions, unset: [String], defaults: VPSConfig
    ) throws(CtrError) -> VPSConfig {
        var config = self
        for text in unset { try config.reset(text, to: defaults) }
        config.take(options, defaults)
        try config.resources.validate()
        try config.checkNetwork()
        return config
    }

    private mutating func take(_ options: VPSOptions, _ defaults: VPSConfig) {
        hostname = options.hostname ?? hostname
        domain = options.domain ?? domain
        identity = identity.merging(options.identity)
        description = options.description ?? description
        env.merge(options.env, by: OptionKey.name)
        for entry in options.labels { labels[OptionKey.name(entry)] = OptionKey.value(entry) }
        resources.merge(options.resources)
        ulimits.merge(options.ulimits, by: OptionKey.ulimit)
        mounts.merge(options.mounts, by: OptionKey.mount)
        devices.merge(options.devices) { $0 }
        var words = CapabilityWords(added: capAdd, dropped: capDrop)
        words.merge(adding: options.capAdd, dropping: options.capDrop)
        (capAdd, capDrop) = (words.added, words.dropped)
        seccomp = options.seccomp ?? seccomp
        userns = options.userns ?? userns
        network = options.network ?? network
        onNetwork.merge(options.interface)
        take(options.interfaces)
        nesting = options.nesting ?? nesting
        restart = options.restart ?? restart
        onboot = options.onboot ?? onboot
        bootPriority = options.bootPriority ?? bootPriority
        protected = options.protected ?? protected
        if let initCommand = options.initCommand { start(initCommand, defaults) }
        stopSignal = options.stopSignal ?? stopSignal
    }

    /// Another init than the template's has a console, as every init, but not the template's own signal to halt.
    private mutating func start(_ initCommand: [String], _ defaults: VPSConfig) {
        args = initCommand
        terminal = true
        if args != defaults.args, stopSignal == defaults.stopSignal { stopSignal = "SIGTERM" }
    }

    private mutating func reset(_ text: String, to defaults: VPSConfig) throws(CtrError) {
        let option = OptionKey.name(text)
        guard text.contains("=") else { return try reset(option: option, to: defaults) }
        let key = OptionKey.value(text)
        switch option {
        case "env": env.removeAll { OptionKey.name($0) == key }
        case "label": labels[key] = nil
        case "mount": mounts.removeAll { $0.destination == key }
        case "ulimit": ulimits.removeAll { $0.name == key.lowercased() }
        case "device": devices.removeAll { $0 == key }
        case "cap-add": capAdd.removeAll { OptionKey.capability($0) == OptionKey.capability(key) }
        case "cap-drop": capDrop.removeAll { OptionKey.capability($0) == OptionKey.capability(key) }
        case "ip": onNetwork.addresses.removeAll { "\($0.address)" == key || "\($0)" == key }
        case "gateway": onNetwork.gateways.removeAll { "\($0)" == key }
        case "publish": onNetwork.published.removeAll { "\($0)" == key }
        case "interface": furtherInterfaces.removeAll { $0.name == key }
        case "io-read-bps": resources.ioReadBps.removeAll { $0.device == key }
        case "io-write-bps": resources.ioWriteBps.removeAll { $0.device == key }
        case "io-read-iops": resources.ioReadIops.removeAll { $0.device == key }
        case "io-write-iops": resources.ioWriteIops.removeAll { $0.device == key }
        default:
            var other = defaults
            try other.reset(option: option, to: defaults)
            throw CtrError(.usage, "--unset '\(text.escaped)': \(option) has no keys (write --unset \(option))")
        }
    }

    private mutating func reset(option: String, to defaults: VPSConfig) throws(CtrError) {
        guard let field = VPSConfig.fields.first(where: { $0.option == option }) else {
            let known = VPSConfig.fields.map(\.option).joined(separator: ", ")
            throw CtrError(.usage, "--unset '\(option.escaped)': not an option that is kept (known are \(known))")
        }
        field.copy(defaults, &self)
        // With the template's init comes what belongs to it.
        if option == "init" { (terminal, stopSignal) = (defaults.terminal, defaults.stopSignal) }
    }

    /// The options that differ between two configurations and that a running VPS does not see before its next start,
    /// with their dashes. A resource limit of setrlimit(2) can be changed in what runs, but not taken away from it.
    public static func needsRestart(from old: VPSConfig, to new: VPSConfig) -> [String] {
        // With another network or MAC all of its interface waits.
        let asItWas = old.network == new.network && old.onNetwork.mac == new.onNetwork.mac
        return fields.filter { field in
            if field.option == "interface" {
                var now = old
                now.takeLiveInterfaces(new)
                return now.furtherInterfaces != new.furtherInterfaces
            }
            if field.option == "ulimit" {
                return !Set(old.ulimits.map(\.name)).isSubset(of: new.ulimits.map(\.name))
            }
            return !(field.live && (asItWas || !field.ofInterface)) && field.differs(old, new)
        }.map { "--\($0.option)" }
    }
}

extension VPSConfig {
    /// One option as the configuration keeps it.
    private struct Field {
        let option: String
        /// Acts on a running VPS, or concerns only what ctr does with it.
        let live: Bool
        let differs: (VPSConfig, VPSConfig) -> Bool
        let copy: (VPSConfig, inout VPSConfig) -> Void

        /// Part of the VPS's interface.
        var ofInterface: Bool { ["ip", "gateway", "publish", "rate-in", "rate-out"].contains(option) }

        init<Value: Equatable>(_ option: String, live: Bool = false, _ path: WritableKeyPath<VPSConfig, Value>) {
            self.option = option
            self.live = live
            differs = { $0[keyPath: path] != $1[keyPath: path] }
            copy = { $1[keyPath: path] = $0[keyPath: path] }
        }
    }

    /// All that `set` may change, named as its options.
    private static var fields: [Field] {
        [
            Field("hostname", \.hostname), Field("domain", \.domain),
            Field("password-hash", \.identityValue.passwordHash), Field("ssh-key", \.identityValue.sshKeys),
            Field("dns", \.identityValue.dns), Field("timezone", \.identityValue.timezone),
            Field("label", live: true, \.labels),
            Field("env", \.env), Field("description", live: true, \.description),
            Field("protect", live: true, \.protected),
            Field("init", \.args), Field("restart", live: true, \.restart), Field("onboot", live: true, \.onboot),
            Field("boot-priority", live: true, \.bootPriority), Field("cpus", live: true, \.resources.cpus),
            Field("cpu-weight", live: true, \.resources.cpuWeight), Field("cpuset", live: true, \.resources.cpuset),
            Field("memory", live: true, \.resources.memory), Field("memory-high", live: true, \.resources.memoryHigh),
            Field("swap", live: true, \.resources.swap), Field("pids", live: true, \.resources.pids),
            Field("io-read-bps", live: true, \.resources.ioReadBps),
            Field("io-write-bps", live: true, \.resources.ioWriteBps),
            Field("io-read-iops", live: true, \.resources.ioReadIops),
            Field("io-write-iops", live: true, \.resources.ioWriteIops), Field("ulimit", live: true, \.ulimits),
            Field("mount", \.mounts), Field("device", \.devices), Field("cap-add", \.capAdd),
            Field("cap-drop", \.capDrop), Field("seccomp", \.seccomp), Field("userns", \.userns),
            Field("net", \.network), Field("ip", live: true, \.onNetwork.addresses),
            Field("gateway", live: true, \.onNetwork.gateways),
            Field("mac", \.onNetwork.mac), Field("publish", live: true, \.onNetwork.published),
            Field("rate-in", live: true, \.onNetwork.rateIn), Field("rate-out", live: true, \.onNetwork.rateOut),
            Field("interface", live: true, \.furtherInterfaces),
            Field("nesting", \.nesting), Field("stop-signal", live: true, \.stopSignal),
        ]
    }
}
