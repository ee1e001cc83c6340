public import Cgroups
internal import Kernel
public import Model

/// All that is known of one VPS.
public struct VPSDetails: Codable, Sendable {
    public var summary: VPSSummary
    public var config: VPSConfig
    public var state: VPSState?
    public var lastRun: LastRun?
    /// What it uses now; nil where it does not run.
    public var usage: CgroupUsage?
    /// nil where it has no interface of its own.
    public var network: NetworkDetails?
    /// All that it has, eth0, which is `network`, included; nil where it has none.
    public var interfaces: [InterfaceDetails]?
}

/// `ctr show`.
public enum Show {
    public static func details(_ name: String, on host: Host) throws(CtrError) -> VPSDetails {
        try Recovery(host: host).sweep(name)
        let files = try VPSFiles(name, host: host)
        guard let config = try files.config(), let summary = try VPSList.summary(files) else {
            throw VPSFiles.unknown(name)
        }
        var details = VPSDetails(summary: summary, config: config)
        if summary.status != .stopped, summary.status != .sealed, let state = try files.state() {
            details.state = state
            if let cgroup = state.cgroup { details.usage = try Cgroup.openWhatIsThere(cgroup).usage() }
        }
        details.interfaces = try InterfaceDetails.all(details.state?.config ?? config, on: host)
        details.network = details.interfaces?.eth0
        if let directory = try files.directory() {
            details.lastRun = try VPSFiles.read("last.json", in: directory, of: name)
        }
        return details
    }
}
