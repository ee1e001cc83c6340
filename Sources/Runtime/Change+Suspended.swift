internal import Kernel
internal import Model
internal import Network

// A suspended VPS: what the host does for it is not in its memory, and can be changed. Should another have got its port meanwhile,
// that is the way out.
extension Change {
    static func refuseInside(_ old: VPSConfig, _ new: VPSConfig, _ files: VPSFiles) throws(CtrError) {
        var outside = old
        outside.takeHostSide(of: new)
        if outside == new { return }
        try files.refuseSuspended(hint: "; --publish, --rate-in and --rate-out can be set meanwhile")
    }

    /// Takes effect when it is resumed; where it has been told another network or MAC before, when it is started anew.
    /// - Returns: as ``run(on:)``.
    func changeSuspended(
        _ old: VPSConfig, to new: VPSConfig, _ files: VPSFiles, _ lock: VerbLock
    ) throws(CtrError) -> [String] {
        try Recovery(host: files.host).sweep(name)
        guard let record = try files.suspendRecord(in: lock.directory) else {
            throw CtrError(.config, "checkpoint of VPS \(name): damaged: no \(CheckpointFiles.record)")
        }
        var (before, after) = (record.config, record.config)
        before.takeHostSide(of: old)
        after.takeHostSide(of: new)
        if after != before { _ = try files.host.claimPorts(after) }
        do throws(CtrError) { try write(new, lock) } catch {
            if after != before { _ = try? files.host.claimPorts(before) }
            throw error
        }
        EventLog(files.host).append(.changed, vps: name)
        return VPSConfig.needsRestart(from: after, to: new)
    }
}
