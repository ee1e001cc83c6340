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
    public var args: [String]
    public var ephemeral: Bool
    public var labels: [String: String]
    public var description: String?
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

    /// Every VPS. What a crash left is mended first.
    public static func all(on host: Host) throws(CtrError) -> [VPSSummary] {
        var list: [VPSSummary] = []
        for name in try names(on: host) {
            try Recovery(host: host).sweep(name)
            if let summary = try summary(VPSFiles(name, host: host)) { list.append(summary) }
        }
        return list
    }

    /// nil for one that is just being made or removed.
    static func summary(_ files: VPSFiles) throws(CtrError) -> VPSSummary? {
        guard let config = try files.config() else { return nil }
        var summary = VPSSummary(
            name: config.name, template: config.template, status: .stopped, pid: nil, created: config.created,
            started: nil, args: config.args, ephemeral: config.ephemeral, labels: config.labels,
            description: config.description)
        if let running = try RunningInit.find(files) {
            summary.status = running.state.status
            summary.pid = running.state.pid
            summary.started = running.state.started
        }
        return summary
    }
}
