internal import Kernel
internal import Model

/// From what the operator asked for and what the template says to a VPS's configuration.
struct ConfigBuilder {
    let options: VPSOptions
    let template: Template
    let name: String

    /// - Throws: `config` for settings that can't be read.
    init(options: VPSOptions, template: Template, name: String) throws(CtrError) {
        var options = options
        if options.network == nil { options.network = try Settings.load().net ?? Settings.standardNetwork }
        self.options = options
        self.template = template
        self.name = name
    }

    static let standardPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// - Parameters:
    ///   - command: the words after the template's name; empty means the template's own command.
    ///   - known: what its first process executes, where that is settled.
    func build(command: [String], ephemeral: Bool, args known: [String]? = nil) throws(CtrError) -> VPSConfig {
        try options.resources.validate()
        let words: [String]
        if let known { words = known } else { words = try args(command) }
        var config = VPSConfig(name: name, template: template.name, created: Timestamp.now(), args: words)
        config.ephemeral = ephemeral
        config.env = environment()
        config.user = options.user ?? template.user
        config.workdir = options.workdir ?? template.workdir ?? "/"
        // An init that is left alone wants a console to say what it does.
        config.terminal = options.terminal || (options.detach && config.args == template.initCommand)
        config.hostname = options.hostname ?? name
        config.domain = options.domain
        config.identity = options.identity.isEmpty ? nil : options.identity
        config.resources = options.resources
        config.ulimits = options.ulimits
        config.mounts = options.mounts
        config.devices = options.devices
        config.capAdd = options.capAdd
        config.capDrop = options.capDrop
        config.seccomp = options.seccomp ?? .standard
        config.userns = options.userns ?? .auto
        config.network = options.network ?? .none
        config.onNetwork = options.interface
        config.take(options.interfaces)
        try config.checkNetwork()
        if options.thick == true, options.disk == nil || options.disk == DiskChoice.none {
            throw CtrError(.usage, "--thick: it is for a disk image (--disk SIZE)")
        }
        if case .image(let size) = options.disk { config.disk = DiskConfig(size: size, thick: options.thick ?? false) }
        config.nesting = options.nesting ?? false
        config.restart = options.restart ?? .no
        config.onboot = options.onboot ?? false
        config.bootPriority = options.bootPriority ?? 0
        config.protected = options.protected ?? false
        // Where the template has an init, its signal is for that one; another command expects the usual one.
        let isOwn = template.initCommand == nil || config.args == template.initCommand
        config.stopSignal = options.stopSignal ?? (isOwn ? template.stopSignal : nil) ?? "SIGTERM"
        config.description = options.description
        config.labels = labels()
        return config
    }

    /// The configuration of a VPS that `start` boots: its first process is its init, where it has one.
    func buildServer() throws(CtrError) -> VPSConfig {
        let wanted = options.initCommand ?? template.initCommand
        var config = try build(command: [], ephemeral: false, args: wanted)
        // An init wants a console to say what it does; the output of anything else goes to the log as it is.
        config.terminal = wanted != nil
        return config
    }

    /// What `create` without options makes of a VPS's template.
    /// - Parameter old: its configuration: its command stays where the template has none.
    static func defaults(_ template: Template, like old: VPSConfig) throws(CtrError) -> VPSConfig {
        var options = VPSOptions()
        let words = (template.entrypoint ?? []) + (template.command ?? [])
        if template.initCommand == nil, words.isEmpty { options.initCommand = old.args }
        return try ConfigBuilder(options: options, template: template, name: old.name).buildServer()
    }

    private func args(_ command: [String]) throws(CtrError) -> [String] {
        let words = command.isEmpty ? template.command ?? [] : command
        let args = (template.entrypoint ?? []) + words
        if !args.isEmpty, !args[0].isEmpty { return args }
        if command.isEmpty, let initCommand = template.initCommand { return initCommand }
        throw CtrError(
            .usage,
            "template \(template.name) has no command of its own (say what to run: ctr run \(template.name) COMMAND)")
    }

    /// Nothing of ctr's own environment goes in. Later settings win.
    private func environment() -> [String] {
        var all = [ConfigBuilder.standardPath]
        if options.terminal { all.append("TERM=xterm-256color") }
        for entry in template.env + options.env {
            let key = entry.prefix { $0 != "=" } + "="
            if let index = all.firstIndex(where: { $0.hasPrefix(key) }) {
                all[index] = entry
            } else {
                all.append(entry)
            }
        }
        return all
    }

    private func labels() -> [String: String] {
        options.labels.reduce(into: template.labels ?? [:]) { labels, entry in
            let end = entry.firstIndex(of: "=")!
            labels[String(entry[..<end])] = String(entry[entry.index(after: end)...])
        }
    }
}

extension VPSConfig {
    /// The engine's value of this configuration.
    /// - Parameters:
    ///   - layers: the template's, absolute, lowest first.
    ///   - disk: the VPS's own writable directory; nil: the only layer is written to.
    ///   - mountPoint: an existing directory for the root's mount.
    func spec(layers: [String], disk: String?, mountPoint: String) throws(CtrError) -> Spec {
        var process = ProcessSpec(args: args)
        process.env = env.contains { $0.hasPrefix("HOME=") } || user != nil ? env : env + ["HOME=/root"]
        process.cwd = workdir
        process.terminal = terminal
        process.rlimits = ulimits.map { RLimit(resource: $0.resource, soft: $0.soft, hard: $0.hard) }
        process.oomScoreAdj = oomScoreAdj
        var root = RootSpec(layers: layers, disk: disk, mountPoint: mountPoint)
        root.volatile = ephemeral
        var spec = Spec(process: process, root: root)
        spec.hostname = hostname
        spec.domainname = domain
        spec.mounts = mounts
        spec.linux.namespaces = namespaces
        spec.linux.nesting = nesting
        if let idRange { spec.linux.idMappings = [IDMap(container: 0, host: idRange.base, size: idRange.count)] }
        if userns == .host {
            spec.linux.readonlyPaths.append("/proc/sys")
            // For the host's root alone, which this guest is.
            spec.linux.maskedPaths += ["/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags"]
        }
        spec.linux.devices = try devices.map(VPSConfig.device)
        return spec
    }

    /// The namespaces that it has of its own.
    var namespaces: NamespaceFlags {
        var flags: NamespaceFlags = [.mount, .pid, .uts, .ipc, .cgroup]
        if userns == .auto { flags.insert(.user) }
        if network != .host { flags.insert(.network) }
        return flags
    }

    /// What its device cgroup allows.
    func deviceRules() throws(CtrError) -> [DeviceRule] {
        var rules = DeviceRule.standard
        for path in devices {
            let device = try VPSConfig.device(path)
            rules.append(DeviceRule(device.block ? .block : .character, device.major, device.minor, "rwm"))
        }
        return rules
    }

    static func device(_ path: String) throws(CtrError) -> DeviceSpec {
        let status = try describing("--device \(path)", code: .usage) { () throws(SysError) in
            try open(path, [.path]).status()
        }
        guard status.type == .character || status.type == .block else {
            throw CtrError(.usage, "--device \(path): not a device")
        }
        return DeviceSpec(
            path: path, block: status.type == .block, major: status.node.major, minor: status.node.minor,
            mode: status.permissions & 0o777)
    }
}
