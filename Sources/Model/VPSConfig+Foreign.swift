extension VPSConfig {
    /// What this configuration, which came from outside, would open of the host; such options are taken out of it.
    /// - Returns: what was taken out, as an operator would write it: `--mount /srv:/data`.
    public mutating func closeToHost() -> [String] {
        var closed = mounts.map { "--mount \($0.source.escaped):\($0.destination.escaped)" }
        closed += devices.map { "--device \($0.escaped)" } + capAdd.map { "--cap-add \($0.escaped)" }
        if seccomp != .standard { closed.append("--seccomp \(seccomp.text.escaped)") }
        if userns != .auto { closed.append("--userns \(userns.rawValue)") }
        let isWalled = network == .none || network == .nat
        if !isWalled { closed.append("--net \(network.text.escaped)") }
        closed += furtherInterfaces.map { "--interface \($0.text.escaped)" }
        closed += onNetwork.published.map { "--publish \($0)" }
        if nesting { closed.append("--nesting") }
        if let oomScoreAdj { closed.append("an OOM score of \(oomScoreAdj)") }
        mounts = []
        devices = []
        capAdd = []
        seccomp = .standard
        userns = .auto
        if !isWalled {
            network = .none
            interface = nil
        }
        interfaces = nil
        onNetwork.published = []
        nesting = false
        oomScoreAdj = nil
        return closed
    }

    /// Holds every value against what its option takes.
    /// - Throws: `badInput`.
    public func validateForeign() throws(CtrError) {
        do throws(CtrError) {
            var options = VPSOptions()
            try Name.validate(template, kind: "template")
            try options.set("--hostname", hostname)
            try options.set("--workdir", workdir)
            try options.set("--stop-signal", stopSignal)
            for (option, value) in [("--user", user), ("--domain", domain), ("--description", description)] {
                if let value { try options.set(option, value) }
            }
            if let identity {
                if let hash = identity.passwordHash { try options.set("--password-hash", hash) }
                if let zone = identity.timezone { try options.set("--timezone", zone) }
                if !identity.sshKeys.isEmpty {
                    _ = try VPSIdentity.keys(identity.sshKeys.joined(separator: "\n"), "ssh-key")
                }
            }
            for entry in env { try options.set("--env", entry) }
            for (key, value) in labels { try options.set("--label", "\(key)=\(value)") }
            for limit in ulimits {
                guard try Ulimit.parse("\(limit.name)=\(limit.soft):\(limit.hard)").resource == limit.resource else {
                    throw CtrError(.usage, "--ulimit \(limit.name.escaped): another resource's number")
                }
            }
            for name in capDrop { try options.set("--cap-drop", name) }
            try options.set("--boot-priority", "\(bootPriority)")
            try resources.validate()
            try checkNetwork()
            let rates = resources.ioReadBps + resources.ioWriteBps + resources.ioReadIops + resources.ioWriteIops
            let isDevice = { (text: String) in
                let parts = text.split(separator: ":", omittingEmptySubsequences: false)
                return parts.count == 2 && parts.allSatisfy { UInt32($0) != nil && $0.first != "+" }
            }
            if rates.contains(where: { !($0.device.map(isDevice) ?? true) }) {
                throw CtrError(.usage, "a disk rate of something that is no device's number")
            }
            if rates.contains(where: { $0.rate <= 0 }) { throw CtrError(.usage, "a disk rate that is not above 0") }
            if let disk {
                let isOdd = disk.size % DiskConfig.granularity != 0 || disk.size < DiskConfig.minimumSize
                if isOdd || disk.size > 1 << 50 { throw CtrError(.usage, "--disk \(disk.size): no size of a disk") }
            }
            if args.isEmpty || args[0].isEmpty || args.count > 4096
                || args.contains(where: { $0.utf8.contains(0) || $0.utf8.count >= 128 << 10 })
            {
                throw CtrError(.usage, "its command is empty, too long, or has a NUL in it")
            }
        } catch { throw CtrError(.badInput, "the configuration in the archive: \(error.message)") }
    }
}
