extension VPSOptions {
    /// Takes one option as a user gave it. This is the one place where the values of `run`, `create` and `set` are
    /// read and checked.
    /// - Parameters:
    ///   - option: with its dashes: `--memory`.
    ///   - value: empty for options without one.
    /// - Throws: `usage`, naming the option and what it takes.
    public mutating func set(_ option: String, _ value: String) throws(CtrError) {
        switch option {
        case "--name":
            try Name.validate(value, kind: "VPS")
            name = value
        case "--user": user = try VPSOptions.text(option, value)
        case "--workdir": workdir = try VPSOptions.absolutePath(option, value)
        case "--hostname": hostname = try VPSOptions.hostName(option, value)
        case "--domain": domain = try VPSOptions.hostName(option, value)
        case "--password-hash": identity.passwordHash = try VPSIdentity.passwordHash(option, value)
        case "--ssh-key": sshKeyFiles.append(try VPSOptions.text(option, value))
        case "--dns": identity.dns.append(try VPSIdentity.nameServer(option, value))
        case "--timezone": identity.timezone = try VPSIdentity.timezone(option, value)
        case "--description": description = try VPSOptions.text(option, value)
        case "--env": env.append(try VPSOptions.keyValue(option, value))
        case "--label": labels.append(try VPSOptions.keyValue(option, value))
        case "--cpus", "--cpu-weight", "--cpuset", "--memory", "--memory-high", "--swap", "--pids", "--io-read-bps",
            "--io-write-bps", "--io-read-iops", "--io-write-iops":
            try resources.set(option, value)
        case "--disk": disk = try DiskChoice.parse(value, option: option)
        case "--thick": thick = true
        case "--no-thick": thick = false
        case "--ulimit": ulimits.append(try Ulimit.parse(value))
        case "--mount": mounts.append(try VPSOptions.mount(option, value))
        case "--device": devices.append(try VPSOptions.device(option, value))
        case "--cap-add": capAdd += try VPSOptions.list(option, value)
        case "--cap-drop": capDrop += try VPSOptions.list(option, value)
        case "--seccomp":
            seccomp = SeccompChoice(text: try VPSOptions.text(option, value))
        case "--userns": userns = try VPSOptions.choice(option, value)
        case "--net":
            guard let choice = NetworkChoice(text: value) else {
                throw CtrError(.usage, "--net '\(value.escaped)': not none, host, nat, routed or bridge=NAME")
            }
            network = choice
        case "--ip", "--gateway", "--mac", "--publish", "--rate-in", "--rate-out": try interface.set(option, value)
        case "--interface": interfaces.merge([try InterfaceOption(value)]) { $0.name }
        case "--stop-signal":
            _ = try SignalName.parse(value, option: option)
            stopSignal = value
        case "--nesting": nesting = true
        case "--no-nesting": nesting = false
        case "--init": initCommand = try VPSOptions.words(option, value)
        case "--restart": restart = try VPSOptions.choice(option, value)
        case "--onboot": onboot = true
        case "--no-onboot": onboot = false
        case "--boot-priority": bootPriority = try VPSOptions.priority(option, value)
        case "--protect": protected = true
        case "--no-protect": protected = false
        case "--profile":
            try Name.validate(value, kind: "profile")
            profile = value
        case "--terminal": terminal = true
        case "--detach": detach = true
        case "--keep": keep = true
        default: throw CtrError(.usage, "\(option.escaped): unknown option")
        }
    }

    /// Options that take no value.
    public static let flags: Set<String> = [
        "--nesting", "--no-nesting", "--onboot", "--no-onboot", "--protect", "--no-protect", "--terminal", "--detach",
        "--keep",
    ]

    /// Text that becomes part of files, environments and messages: no control characters (CVE-2026-23953).
    static func text(_ option: String, _ value: String) throws(CtrError) -> String {
        if value.isEmpty || value.escaped != value || value.utf8.count > 4096 {
            throw CtrError(.usage, "\(option) '\(value.escaped)': empty, too long or with control characters")
        }
        return value
    }

    /// The words of a command, separated by blanks: there is no shell to take quotes off.
    private static func words(_ option: String, _ value: String) throws(CtrError) -> [String] {
        let words = try text(option, value).split(separator: " ").map(String.init)
        if words.isEmpty { throw CtrError(.usage, "\(option) '\(value)': no command") }
        return words
    }

    private static func priority(_ option: String, _ value: String) throws(CtrError) -> Int {
        guard let number = Int(value), (-1000...1000).contains(number) else {
            throw CtrError(.usage, "\(option) '\(value.escaped)': not a whole number from -1000 to 1000")
        }
        return number
    }

    private static func absolutePath(_ option: String, _ value: String) throws(CtrError) -> String {
        guard try text(option, value).hasPrefix("/") else {
            throw CtrError(.usage, "\(option) '\(value)': not an absolute path")
        }
        return value
    }

    /// A host or domain name of hostname(7): labels of letters, digits and `-`, 64 bytes in all (the kernel's bound).
    private static func hostName(_ option: String, _ value: String) throws(CtrError) -> String {
        let labels = value.split(separator: ".", omittingEmptySubsequences: false)
        let good = labels.allSatisfy { label in
            !label.isEmpty && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { $0 == 45 || (48...57).contains($0) || (97...122).contains($0 | 32) }
        }
        guard good, value.utf8.count <= 64 else {
            throw CtrError(.usage, "\(option) '\(value.escaped)': not a host name (letters, digits and '-', up to 64)")
        }
        return value
    }

    /// `KEY=VALUE`; the value may be anything but NUL.
    private static func keyValue(_ option: String, _ value: String) throws(CtrError) -> String {
        guard let end = value.firstIndex(of: "="), end != value.startIndex, !value.utf8.contains(0) else {
            throw CtrError(.usage, "\(option) '\(value.escaped)': not KEY=VALUE")
        }
        return value
    }

    private static func list(_ option: String, _ value: String) throws(CtrError) -> [String] {
        let names = value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        if names.contains("") { throw CtrError(.usage, "\(option) '\(value.escaped)': an empty name") }
        return names
    }

    /// `SRC:DST[:ro|rw]`.
    private static func mount(_ option: String, _ value: String) throws(CtrError) -> MountSpec {
        let parts = try text(option, value).split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let mode = parts.count == 3 ? parts[2] : "rw"
        guard (2...3).contains(parts.count), parts[0].hasPrefix("/"), parts[1].hasPrefix("/"), parts[1] != "/",
            mode == "ro" || mode == "rw"
        else { throw CtrError(.usage, "\(option) '\(value)': not SRC:DST[:ro] with absolute paths") }
        let components = parts[1].split(separator: "/")
        if components.contains("..") || components.contains(".") {
            throw CtrError(.usage, "\(option) '\(value)': the path inside may not contain '.' or '..'")
        }
        if let first = components.first, first == "proc" || first == "sys" {
            throw CtrError(
                .usage, "\(option) '\(value)': /\(first) of a VPS is the kernel's, nothing can be mounted there")
        }
        return MountSpec(source: parts[0], destination: "/" + components.joined(separator: "/"), readOnly: mode == "ro")
    }

    private static func device(_ option: String, _ value: String) throws(CtrError) -> String {
        let components = try text(option, value).split(separator: "/", omittingEmptySubsequences: false)
        guard components.count >= 3, components[0].isEmpty, components[1] == "dev",
            components.dropFirst(2).allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." })
        else { throw CtrError(.usage, "\(option) '\(value)': not a path below /dev") }
        return value
    }

    private static func choice<C: RawRepresentable<String>>(_ option: String, _ value: String) throws(CtrError) -> C {
        if let choice = C(rawValue: value) { return choice }
        let choices =
            switch C.self {
            case is RestartPolicy.Type: "no, on-failure or always"
            default: "auto or host"
            }
        throw CtrError(.usage, "\(option) '\(value.escaped)': not \(choices)")
    }
}

extension Resources {
    fileprivate mutating func set(_ option: String, _ value: String) throws(CtrError) {
        switch option {
        case "--cpus":
            guard let number = Double(value), number.isFinite else {
                throw CtrError(.usage, "--cpus '\(value.escaped)': not a number")
            }
            cpus = number
        case "--cpu-weight": cpuWeight = Int(try Resources.count(option, value))
        case "--cpuset": cpuset = value
        case "--memory": memory = try Size.parse(value, option: option)
        case "--memory-high": memoryHigh = try Size.parse(value, option: option)
        case "--swap": swap = value == "0" ? 0 : try Size.parse(value, option: option)
        case "--pids": pids = try Resources.count(option, value)
        case "--io-read-bps": ioReadBps.append(try Resources.rate(option, value))
        case "--io-write-bps": ioWriteBps.append(try Resources.rate(option, value))
        case "--io-read-iops": ioReadIops.append(try Resources.rate(option, value))
        default: ioWriteIops.append(try Resources.rate(option, value))
        }
        try validate(option)
    }

    /// Values that depend on each other are checked when all are there.
    private func validate(_ option: String) throws(CtrError) {
        if option == "--swap" || option == "--memory-high" { return }
        var alone = self
        alone.swap = nil
        alone.memoryHigh = nil
        try alone.validate()
    }

    private static func count(_ option: String, _ value: String) throws(CtrError) -> Int64 {
        guard let number = Int64(value), number > 0, value.utf8.allSatisfy({ (48...57).contains($0) }) else {
            throw CtrError(.usage, "\(option) '\(value.escaped)': not a positive whole number")
        }
        return number
    }

    /// `RATE` or `MAJOR:MINOR:RATE`, the rate a size.
    private static func rate(_ option: String, _ value: String) throws(CtrError) -> IORate {
        let parts = value.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 1 { return IORate(rate: try Size.parse(value, option: option)) }
        guard parts.count == 3, UInt32(parts[0]) != nil, UInt32(parts[1]) != nil else {
            throw CtrError(.usage, "\(option) '\(value.escaped)': not [MAJOR:MINOR:]RATE")
        }
        return IORate(device: "\(parts[0]):\(parts[1])", rate: try Size.parse(parts[2], option: option))
    }
}
