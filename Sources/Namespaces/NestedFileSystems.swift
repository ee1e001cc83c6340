internal import Kernel
internal import Model

/// What containers inside a VPS need of its mounts (`--nesting`).
///
/// The kernel mounts a new /proc or /sys in a further user namespace only where a whole one can be seen already
/// (mnt_already_visible in its fs/namespace.c): masks and the views of lxcfs on those of the VPS are in the way. So there
/// is a second one of each, without anything on top, in a directory of root's. Nobody gets to see more than the VPS's root
/// could by unmounting a mask.
struct NestedFileSystems {
    let spec: Spec

    static let directory = ".ctr"

    func mount(in root: borrowing FD) throws(SysError) {
        guard spec.linux.nesting, spec.linux.namespaces.contains(.user) else { return }
        let dev = try RootPath.locateFixed("dev", in: root)
        try dev.makeDirectory(NestedFileSystems.directory, mode: 0o700)
        let place = try dev.open(NestedFileSystems.directory, [.path, .directory, .noFollow])
        var types: [(type: String, attributes: MountAttributes)] = [("proc", [])]
        // The kernel mounts sysfs only for the owner of the network namespace. As read-only as the VPS's own.
        if spec.linux.namespaces.contains(.network) { types.append(("sysfs", .readOnly)) }
        for (type, attributes) in types {
            try place.makeDirectory(type, mode: 0o555)
            let mount = try FileSystemContext(type).mount(attributes.union([.noSuid, .noDev, .noExec]))
            try mount.attach(to: try place.open(type, [.path, .directory, .noFollow]))
        }
    }
}
