import Model
import Testing

/// `set`: from a configuration to the next, and what of it waits for a restart.
@Suite struct ChangeTests {
    /// What `create` without options makes of a template with an init.
    static let defaults: VPSConfig = {
        var config = VPSConfig(name: "web", template: "t", created: "2026-01-01T00:00:00Z", args: ["/sbin/init"])
        config.env = ["PATH=/bin", "LANG=C"]
        config.terminal = true
        config.stopSignal = "SIGRTMIN+3"
        config.labels = ["of": "template"]
        return config
    }()

    private func options(_ given: [(String, String)]) throws -> VPSOptions {
        var options = VPSOptions()
        for (option, value) in given { try options.set(option, value) }
        return options
    }

    private func changed(
        _ config: VPSConfig = defaults, _ given: (String, String)..., unset: [String] = []
    ) throws -> VPSConfig {
        try config.changed(by: options(given), unset: unset, defaults: Self.defaults)
    }

    /// Each option of `set` with a value that is not the default, and one key of it that --unset takes away.
    static let all: [(option: String, value: String, key: String?)] = [
        ("hostname", "other", nil), ("domain", "example", nil), ("label", "tier=web", "tier"), ("env", "A=b=c", "A"),
        ("description", "text", nil), ("protect", "", nil), ("init", "/bin/run it", nil), ("restart", "always", nil),
        ("onboot", "", nil), ("boot-priority", "-5", nil), ("cpus", "1.5", nil), ("cpu-weight", "200", nil),
        ("cpuset", "0-1", nil), ("memory", "1G", nil), ("memory-high", "512M", nil), ("pids", "100", nil),
        ("io-read-bps", "8:0:1M", "8:0"), ("io-write-bps", "8:0:1M", "8:0"), ("io-read-iops", "8:0:10", "8:0"),
        ("io-write-iops", "8:0:10", "8:0"), ("ulimit", "nofile=10:20", "nofile"), ("mount", "/a:/b:ro", "/b"),
        ("device", "/dev/fuse", "/dev/fuse"), ("cap-add", "SYS_TIME", "cap_sys_time"), ("cap-drop", "MKNOD", "MKNOD"),
        ("seccomp", "unconfined", nil), ("userns", "host", nil), ("net", "host", nil), ("nesting", "", nil),
        ("stop-signal", "TERM", nil),
    ]

    @Test(arguments: all.indices) func everyOptionIsTakenAndTakenBack(_ index: Int) throws {
        let (option, value, key) = Self.all[index]
        let config = try changed(Self.defaults, ("--\(option)", value))
        #expect(config != Self.defaults)
        #expect(try changed(config, unset: [option]) == Self.defaults)
        if let key {
            #expect(try changed(config, unset: ["\(option)=\(key)"]) == Self.defaults)
            #expect(try changed(config, unset: ["\(option)=other"]) == config)
        } else {
            let error = #expect(throws: CtrError.self) { try changed(config, unset: ["\(option)=x"]) }
            #expect(error?.code == .usage && error?.message.contains("no keys") == true)
        }
    }

    @Test func whatTheTemplateSaysComesBack() throws {
        let config = try changed(Self.defaults, ("--env", "LANG=de"), ("--label", "of=me"))
        #expect(config.env == ["PATH=/bin", "LANG=de"])
        let back = try changed(config, unset: ["env", "label"])
        #expect(back.env == ["PATH=/bin", "LANG=C"] && back.labels == ["of": "template"])
        // One entry goes, whoever it is from.
        #expect(try changed(config, unset: ["env=LANG", "label=of"]).env == ["PATH=/bin"])
        #expect(try changed(config, unset: ["label=of"]).labels.isEmpty)
    }

    @Test func sameKeysAreReplacedInTheirPlace() throws {
        let first = try changed(
            Self.defaults, ("--mount", "/a:/m"), ("--mount", "/b:/n"), ("--ulimit", "nofile=1"),
            ("--ulimit", "core=0"), ("--io-read-bps", "1M"), ("--io-read-bps", "8:0:2M"), ("--device", "/dev/fuse"))
        let second = try changed(
            first, ("--mount", "/c:/m:ro"), ("--ulimit", "nofile=2:3"), ("--io-read-bps", "3M"),
            ("--device", "/dev/fuse"), ("--device", "/dev/kvm"))
        #expect(second.mounts.map(\.source) == ["/c", "/b"] && second.mounts[0].readOnly)
        #expect(second.ulimits.map(\.name) == ["nofile", "core"] && second.ulimits[0].hard == 3)
        #expect(second.resources.ioReadBps == [IORate(rate: 3 << 20), IORate(device: "8:0", rate: 2 << 20)])
        #expect(second.devices == ["/dev/fuse", "/dev/kvm"])
        #expect(try changed(second, unset: ["io-read-bps=8:0"]).resources.ioReadBps == [IORate(rate: 3 << 20)])
    }

    @Test func theLaterWordOnACapabilityHolds() throws {
        let first = try changed(Self.defaults, ("--cap-drop", "NET_RAW,MKNOD"), ("--cap-add", "SYS_TIME"))
        let second = try changed(first, ("--cap-add", "cap_net_raw"), ("--cap-drop", "CAP_SYS_TIME"))
        #expect(second.capAdd == ["cap_net_raw"])
        #expect(second.capDrop == ["MKNOD", "CAP_SYS_TIME"])
    }

    @Test func unsetComesFirst() throws {
        let config = try changed(Self.defaults, ("--label", "a=1"), ("--memory", "1G"), ("--swap", "1G"))
        let next = try changed(config, ("--label", "b=2"), unset: ["label", "label=of"])
        #expect(next.labels == ["b": "2"])
        #expect(try changed(config, unset: ["swap", "memory"]).resources == Resources())
    }

    @Test func anInitHasWhatBelongsToIt() throws {
        let config = try changed(Self.defaults, ("--init", "/bin/sleep 10"))
        #expect(config.args == ["/bin/sleep", "10"] && config.terminal && config.stopSignal == "SIGTERM")
        #expect(try changed(config, unset: ["init"]) == Self.defaults)
        let own = try changed(Self.defaults, ("--stop-signal", "INT"))
        #expect(try changed(own, ("--init", "/x")).stopSignal == "INT")
        #expect(
            try changed(Self.defaults, ("--init", "/x"), ("--stop-signal", "SIGRTMIN+3")).stopSignal == "SIGRTMIN+3")
    }

    @Test(arguments: ["memroy", "name", "", "=x", "profile", "--memory", "memroy=1", "template", "\u{1b}[2J"])
    func unknownOptions(_ text: String) {
        let error = #expect(throws: CtrError.self) { try changed(unset: [text]) }
        #expect(error?.code == .usage && error?.message.contains("known are") == true)
        #expect(error?.message.contains("\u{1b}") == false)
    }

    @Test func limitsThatContradictEachOther() throws {
        let config = try changed(Self.defaults, ("--memory", "1G"), ("--swap", "1G"))
        for (given, unset) in [([], ["memory"]), ([("--memory-high", "2G")], [])] as [([(String, String)], [String])] {
            let error = #expect(throws: CtrError.self) {
                try config.changed(by: options(given), unset: unset, defaults: Self.defaults)
            }
            #expect(error?.code == .usage)
        }
    }

    /// What a running VPS sees at once, or what only ctr looks at.
    static let live: Set<String> = [
        "label", "description", "protect", "restart", "onboot", "boot-priority", "cpus", "cpu-weight", "cpuset",
        "memory",
        "memory-high", "pids", "io-read-bps", "io-write-bps", "io-read-iops", "io-write-iops", "ulimit", "stop-signal",
    ]

    @Test(arguments: all.indices) func whatWaitsForARestart(_ index: Int) throws {
        let (option, value, _) = Self.all[index]
        let config = try changed(Self.defaults, ("--\(option)", value))
        let late = VPSConfig.needsRestart(from: Self.defaults, to: config)
        #expect(late == (Self.live.contains(option) ? [] : ["--\(option)"]))
        #expect(VPSConfig.needsRestart(from: config, to: config).isEmpty)
    }

    @Test func aLimitThatIsTakenAwayWaits() throws {
        let config = try changed(Self.defaults, ("--ulimit", "nofile=10"), ("--ulimit", "core=0"))
        let raised = try changed(config, ("--ulimit", "nofile=20"))
        #expect(VPSConfig.needsRestart(from: config, to: raised).isEmpty)
        let less = try changed(config, unset: ["ulimit=core"])
        #expect(VPSConfig.needsRestart(from: config, to: less) == ["--ulimit"])
    }

    // MARK: options over options

    @Test func optionsOverOptions() throws {
        let base = try options(Self.all.map { ("--\($0.option)", $0.value) } + [("--no-protect", ""), ("--user", "a")])
        #expect(base.overridden(by: VPSOptions()) == base)
        #expect(VPSOptions().overridden(by: base) == base)
        let later = try options([
            ("--memory", "2G"), ("--protect", ""), ("--env", "A=2"), ("--env", "B=3"), ("--mount", "/z:/b"),
            ("--cap-drop", "CAP_SYS_TIME"), ("--user", "b"), ("--terminal", ""), ("--name", "x"),
        ])
        let both = base.overridden(by: later)
        #expect(both.resources.memory == 2 << 30 && both.resources.cpus == 1.5)
        #expect(both.protected == true && both.user == "b" && both.terminal && both.name == "x")
        #expect(both.env == ["A=2", "B=3"])
        #expect(both.mounts == [MountSpec(source: "/z", destination: "/b", readOnly: false)])
        #expect(both.capAdd == [] && both.capDrop == ["MKNOD", "CAP_SYS_TIME"])
        #expect(both.hostname == "other" && both.nesting == true)
    }
}
