public import Kernel

/// Files of /proc and /sys in which a guest finds its own limits and uptime, not the host's: those of lxcfs(1), a file
/// system that looks at the cgroups of whoever reads. They are cloned before clone3(2), since nothing of the host is
/// left when the guest's own /proc is there to put them on.
public struct SystemViews: Sendable {
    let files: [(path: String, mount: SharedFD)]

    /// What is taken, if lxcfs has it. Not /proc/slabinfo: it is the kernel's and for root alone.
    static let paths = [
        "proc/cpuinfo", "proc/diskstats", "proc/loadavg", "proc/meminfo", "proc/stat", "proc/swaps", "proc/uptime",
        "sys/devices/system/cpu/online",
    ]

    /// The file system's number in statfs(2), which all of FUSE have.
    private static let fuse: UInt64 = 0x6573_5546

    /// Whether a file system of FUSE is mounted at this directory.
    /// - Throws: ENOENT where there is no such directory, ENOTCONN where its server has died.
    public static func isMounted(at directory: String) throws(SysError) -> Bool {
        try open(directory, [.path, .directory]).fileSystemStatus().magic == fuse
    }

    /// Detached copies, read only, of what lxcfs shows at `directory`. It must be root's: nobody else's file system
    /// gets to hear who reads.
    /// - Throws: ENOTCONN where lxcfs has died.
    public init(at directory: String) throws(SysError) {
        let root = try open(directory, [.path, .directory])
        var files: [(path: String, mount: SharedFD)] = []
        for path in SystemViews.paths {
            do throws(SysError) {
                let file = try root.open(path, [.path], resolve: [.beneath, .noSymlinks, .noMagicLinks])
                let mount = try file.cloneMount()
                try mount.setMountAttributes([.readOnly, .noSuid, .noDev, .noExec])
                files.append((path, SharedFD(mount)))
            } catch  where error.errno == Errno.noEntry {}
        }
        self.files = files
    }

    /// In the child: puts them over the guest's own /proc and /sys. What this kernel lacks is left out.
    func attach(in root: borrowing FD) throws(SysError) {
        for file in files {
            do throws(SysError) {
                try file.mount.fd.attach(to: try RootPath.locate(file.path, in: root))
            } catch  where error.errno == Errno.noEntry {}
        }
    }
}
