public import Kernel
public import Model
public struct CgroupHost { public static func detect() throws(CtrError) -> CgroupHost { CgroupHost() } }
public struct Cgroup: Sendable {
    public var cloneInto: SharedFD?
    public var joinFiles: [SharedFD] = []
    public var outOfMemoryKills: Int { 0 }
    static let base = "/sys/fs/cgroup/unified/"
    public static func create(host: CgroupHost, path: String, resources: Resources, devices: [DeviceRule]?, owner: UInt32?) throws(CtrError) -> Cgroup {
        do throws(SysError) {
            let root = try Kernel.open(base, [.directory])
            let parent = try root.ensureDirectory(String(path.split(separator: "/")[0]), mode: 0o755)
            let own = try parent.ensureDirectory(String(path.split(separator: "/")[1]), mode: 0o755)
            return Cgroup(cloneInto: SharedFD(own))
        } catch { throw CtrError(.failed, "cgroup", cause: error) }
    }
    public static func open(path: String) throws(CtrError) -> Cgroup {
        do throws(SysError) { return Cgroup(cloneInto: SharedFD(try Kernel.open(base + path, [.directory]))) } catch { throw CtrError(.failed, "cgroup", cause: error) }
    }
    public static func removeIfThere(path: String) throws(CtrError) {
        do throws(SysError) {
            let kill = try Kernel.open(base + path + "/cgroup.kill", .writeOnly)
            try kill.writeAll([49])
            for _ in 0..<100 {
                do throws(SysError) { try Kernel.open(base, [.directory]).unlink(path, directory: true); return } catch where error.errno == Errno.busy { CurrentProcess.sleep(milliseconds: 5) }
            }
        } catch where error.errno == Errno.noEntry {} catch { throw CtrError(.failed, "cgroup", cause: error) }
    }
}
