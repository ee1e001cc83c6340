internal import Kernel
internal import Model

/// The bound on what the images of all VPSs together may promise: setting `overcommit`, a ratio to what the file system
/// that holds them has.
enum Overcommit {
    /// Call it when the new promise can be seen by others, in state.json or config.json: of two that are made at once,
    /// and fit only one by one, none slips through.
    /// - Parameters:
    ///   - name: the VPS that promises.
    ///   - size: bytes that it is to have in all.
    /// - Throws: `cannotCreate` past the bound.
    static func check(_ name: String, promises size: Int64, _ host: Host) throws(CtrError) {
        guard let bound = try Settings.load().overcommit else { return }
        let others = try VPSList.each(on: host) { (other) throws(CtrError) -> Int64? in
            guard other != name, let disk = try VPSFiles(other, host: host).config()?.disk else { return nil }
            return max(disk.size, disk.resizingTo ?? 0)
        }
        let promised = others.reduce(0, +)
        let root = try host.vpsDirectory()
        let physical = try describing("space of \(host.root)") { () throws(SysError) in
            try root.fileSystemStatus().size
        }
        if Double(promised) + Double(size) <= Double(physical) * bound { return }
        throw CtrError(
            .cannotCreate,
            "disk of VPS \(name): \(Size.format(size)) can't be promised: other disks were promised "
                + "\(Size.format(promised)), the host has \(Size.format(physical)), and the setting overcommit allows "
                + "\(bound) times that (take less, shrink or destroy others, or raise it; see ctr storage)")
    }
}

extension VPSPlace {
    /// To be called before an image is made for a new VPS.
    func promise(_ config: VPSConfig) throws(CtrError) {
        guard let disk = config.disk else { return }
        if disk.thick { try SpaceReserve.check("disk of VPS \(files.name)", takes: disk.size, files.host) }
        guard try Settings.load().overcommit != nil else { return }
        try write(VPSState.now(.creating, config))
        try Overcommit.check(files.name, promises: disk.size, files.host)
    }
}
