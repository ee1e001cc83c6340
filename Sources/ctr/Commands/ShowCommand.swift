internal import ArgumentParser
internal import Cgroups
internal import Model
internal import Runtime

/// `ctr show`
struct ShowCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show all that is known of a VPS.",
        usage: "ctr show NAME",
        discussion: """
            Its configuration, its state, what it uses, and how it last ended. --json has every detail.

            Example:
              ctr show web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let details = try Show.details(name, on: try globals.host())
        if globals.json {
            try Output.json(details)
        } else {
            let facts = Self.life(details) + Self.command(details.config) + Self.limits(details)
            try Output.print(Table.facts(facts + Self.system(details.config, details.network) + Self.further(details)))
        }
        return 0
    }

    private static func life(_ details: VPSDetails) -> [(String, String?)] {
        let summary = details.summary
        return [
            ("name", summary.name),
            (
                "state",
                summary.status.rawValue + (details.state?.pausedFor == .space ? ": the host's disk is full" : "")
            ), ("template", summary.template),
            ("description", summary.description),
            (
                "labels",
                list(
                    summary.labels.sorted { $0.key < $1.key }.map {
                        "\($0.key)=\($0.value)"
                    })
            ), ("created", summary.created), ("started", summary.started), ("pid", summary.pid.map(String.init)),
            ("restarts", details.state.flatMap { $0.restarts > 0 ? "\($0.restarts)" : nil }),
            ("mode", details.state.flatMap { $0.rescue ? "rescue: a shell instead of its init" : nil }),
            ("ephemeral", summary.ephemeral ? "yes: removed at its end" : nil),
            ("last run", details.lastRun.map(ending)),
        ]
    }

    private static func ending(_ run: LastRun) -> String {
        let status = run.exitStatus.map { ", status \($0)" } ?? ""
        let how =
            switch run.cause {
            case .exit: "ended by itself"
            case .signal: "ended by a signal"
            case .outOfMemory: "killed: out of memory"
            case .operator: "stopped by an operator"
            case .reboot: "rebooted from inside"
            case .poweroff: "halted from inside"
            case .unknown: "ended unseen"
            }
        return "\(how)\(status), at \(run.finished)\(run.scriptFailure.map { "; \($0)" } ?? "")"
    }

    private static func command(_ config: VPSConfig) -> [(String, String?)] {
        [
            ("command", config.args.joined(separator: " ")), ("user", config.user), ("workdir", config.workdir),
            ("terminal", config.terminal ? "yes" : nil), ("environment", list(config.env)),
            ("stop signal", config.stopSignal), ("hostname", config.hostname), ("domain", config.domain),
        ]
    }

    private static func limits(_ details: VPSDetails) -> [(String, String?)] {
        let limits = details.config.resources
        let usage = details.usage
        let memory = limits.memory.map(Size.format)
        return [
            ("memory", used(usage?.memory.map { Size.format($0.current) }, of: memory)),
            (
                "out of memory",
                usage?.memory?.oomKills.flatMap { $0 > 0 ? "\($0) processes killed since its start" : nil }
            ), ("memory high", limits.memoryHigh.map(Size.format)), ("swap", limits.swap.map(Size.format)),
            ("processes", used(usage?.processes.map { "\($0.current)" }, of: limits.pids.map { "\($0)" })),
            ("cpu time", usage?.processor.map { seconds($0.total) }), ("cpus", limits.cpus.map { "\($0)" }),
            ("cpu weight", limits.cpuWeight.map { "\($0)" }), ("cpuset", limits.cpuset),
            ("io read", rates(limits.ioReadBps, limits.ioReadIops)),
            ("io write", rates(limits.ioWriteBps, limits.ioWriteIops)),
        ]
    }

    private static func used(_ used: String?, of limit: String?) -> String? {
        switch (used, limit) {
        case (let used?, let limit?): "\(used) of \(limit)"
        case (let used?, nil): "\(used), no limit"
        case (nil, let limit?): "limit \(limit)"
        case (nil, nil): nil
        }
    }

    /// `12.345 s`
    private static func seconds(_ microseconds: Int64) -> String {
        let thousandths = String(microseconds / 1000 % 1000)
        return "\(microseconds / 1_000_000).\(String(repeating: "0", count: 3 - thousandths.count))\(thousandths) s"
    }

    private static func rates(_ bytes: [IORate], _ operations: [IORate]) -> String? {
        func place(_ rate: IORate) -> String { rate.device.map { " on \($0)" } ?? "" }
        return list(
            bytes.map { "\(Size.format($0.rate))/s\(place($0))" }
                + operations.map { "\($0.rate) operations/s\(place($0))" })
    }

    private static func system(_ config: VPSConfig, _ network: NetworkDetails?) -> [(String, String?)] {
        [
            ("disk", config.disk.map { "\(Size.format($0.size)), \($0.thick ? "thick" : "thin")" } ?? "directory"),
            ("network", config.network.text), ("addresses", list(network?.addresses.map(\.description) ?? [])),
            ("mac", network?.mac.description), ("published", list(network?.published.map(\.description) ?? [])),
            ("received", traffic(network?.received)), ("sent", traffic(network?.sent)),
            ("rate in", config.onNetwork.rateIn.map(bits)), ("rate out", config.onNetwork.rateOut.map(bits)),
            ("user namespace", config.userns.rawValue),
            ("ids", config.idRange.map { "\($0.base) to \($0.base + ($0.count - 1)) of the host" }),
            ("mounts", list(config.mounts.map { "\($0.source):\($0.destination)\($0.readOnly ? ":ro" : "")" })),
            ("devices", list(config.devices)), ("added capabilities", list(config.capAdd)),
            ("dropped capabilities", list(config.capDrop)), ("seccomp", seccomp(config.seccomp)),
            ("nesting", config.nesting ? "yes" : nil),
            ("restart", config.restart == .no ? nil : config.restart.rawValue),
            ("on boot", config.onboot ? "yes, priority \(config.bootPriority)" : nil),
            ("protected", config.protected ? "yes" : nil),
        ]
    }

    /// Those beside eth0.
    private static func further(_ details: VPSDetails) -> [(String, String?)] {
        details.config.furtherInterfaces.flatMap { further in
            let (name, own) = (further.name, further.interface)
            let network = details.interfaces?.first { $0.name == name }?.network
            return [
                (name, "bridge=\(further.bridge)"),
                ("\(name) addresses", list(network?.addresses.map(\.description) ?? [])),
                ("\(name) mac", network?.mac.description), ("\(name) received", traffic(network?.received)),
                ("\(name) sent", traffic(network?.sent)), ("\(name) rate in", own.rateIn.map(bits)),
                ("\(name) rate out", own.rateOut.map(bits)),
            ]
        }
    }

    private static func traffic(_ traffic: NetworkDetails.Traffic?) -> String? {
        traffic.map { traffic in
            let parts = [("IPv4", traffic.ipv4), ("IPv6", traffic.ipv6)].map { name, family in
                "\(Size.format(Int64(clamping: family.bytes))) in \(family.packets) packets of \(name)"
            }
            return "\(parts.joined(separator: ", ")), \(traffic.dropped) packets dropped"
        }
    }

    private static func bits(_ rate: Int64) -> String { "\(Format.decimal(Double(rate) * 8 / 1e6, digits: 3)) Mbit/s" }

    private static func seccomp(_ choice: SeccompChoice) -> String {
        switch choice {
        case .standard: "default"
        case .unconfined: "unconfined"
        case .file(let path): path
        }
    }

    private static func list(_ values: [String]) -> String? { values.isEmpty ? nil : values.joined(separator: ", ") }
}
