public import Kernel
public import Model

/// The root of a VPS that does not run, for work on its files: template layers and disk as the VPS would see them, with
/// its ids, and nothing mounted over them: no /dev, /run, /tmp, and no `--mount`.
public enum OfflineRoot {
    /// Mounts it where nobody else sees it: the returned descriptor is the only way there, and with the last descriptor
    /// the mount goes, however this process ends.
    ///
    /// It can be walked by openat2(2) with RESOLVE_IN_ROOT, and attached by `FD.attach(to:)` in a private mount namespace.
    /// What is made in it must be made with the ids of the VPS (``Kernel/BorrowedIdentity``). The caller must be root, have
    /// one thread, and hold the lock of the VPS: overlayfs does not know of a second mount of the same disk. The calling
    /// process's mount namespace and ids are the same afterwards.
    /// - Parameters:
    ///   - root: `mountPoint` is an existing directory of the host; before Linux 6.13 it covers the layers for a moment, in a
    ///     namespace of its own.
    ///   - idMappings: empty: the host's ids.
    ///   - disk: see ``Launch/disk``.
    public static func mount(_ root: RootSpec, idMappings: [IDMap], disk: SharedFD? = nil) throws(CtrError) -> SharedFD
    {
        try requireOneThread()
        var spec = Spec(process: ProcessSpec(args: []), root: root)
        spec.linux.idMappings = idMappings
        let userns = try spec.makeMappingNamespace()
        let place = try HostPlace.leave()
        let mounted: SharedFD
        do throws(CtrError) {
            mounted = try RootBuilder(spec: spec, userns: userns, layersByPath: false, disk: disk).buildDetached()
        } catch {
            place.comeBackAfterFailure()
            throw error
        }
        try place.comeBack()
        return mounted
    }

    /// The root as it was at some moment, for readers on the host: read only, without effect of set-user-id programs and
    /// devices, owners by the VPS's own numbers. Attached nowhere.
    /// - Parameters:
    ///   - layers: the template's, lowest first.
    ///   - disk: a detached mount that holds `upper`.
    ///   - mountPoint: see ``mount(_:idMappings:disk:)``.
    ///   - source: what mountinfo shows as the source.
    public static func mountReadOnly(
        layers: [String], disk: SharedFD, mountPoint: String, source: String
    ) throws(CtrError) -> SharedFD {
        try requireOneThread()
        let place = try HostPlace.leave()
        let mounted: SharedFD
        do throws(CtrError) {
            mounted = try describing("root of \(source)", step: "mount root") { () throws(SysError) in
                let point = try open(mountPoint, [.path, .directory])
                // A part of a mount can be copied where it is attached.
                try disk.fd.attach(to: point)
                var lowers = [SharedFD(try disk.fd.open("upper", [.path, .directory, .noFollow]).cloneMount())]
                for path in layers.reversed() { lowers.append(SharedFD(try cloneMount(path))) }
                for lower in lowers { try lower.fd.setMountAttributes([.readOnly, .noSuid, .noDev]) }
                var overlay = OverlayMount(lowers: lowers, disk: nil, volatile: false)
                overlay.source = source
                return SharedFD(try overlay.mount(attachingLayersTo: point))
            }
        } catch {
            place.comeBackAfterFailure()
            throw error
        }
        try place.comeBack()
        return mounted
    }
}
