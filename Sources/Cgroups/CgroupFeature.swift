internal import Kernel
internal import Model

/// One thing that cgroups can do for a VPS, and whether this host can.
public struct CgroupFeature: Codable, Equatable, Sendable {
    public enum Support: String, Codable, Sendable { case yes, partly, no }
    /// `memory limit`, `freeze`, ...
    public var name: String
    public var support: Support
    /// By which interface, or what is missing where.
    public var why: String
    /// What it means to be without; nil for `yes`.
    public var cost: String?
}

extension CgroupHost {
    /// What this host's cgroups can do, found out by making a cgroup with every controller, looking at its files, and
    /// removing it again. Where none can be made, what can't be seen is `no` with the reason.
    /// - Parameter parent: as for ``Cgroup/create(host:path:resources:devices:owner:parent:guestControllers:)``.
    public func features(parent: String = "") -> [CgroupFeature] {
        var probe: [CgroupController: Result<CgroupDirectory, CtrError>] = [:]
        var made: [Cgroup] = []
        let enabled = enabledControllers(parent: parent)
        defer {
            for cgroup in made { try? cgroup.remove() }
            // Looking at a controller must not leave it switched on.
            for (path, before) in enabled { disableControllers(in: path, except: before) }
        }
        for controller in CgroupController.allCases {
            do throws(CtrError) {
                if let cgroup = try Cgroup.probe(host: self, controller, parent: parent),
                    let directory = cgroup.directories.first
                {
                    made.append(cgroup)
                    probe[controller] = .success(directory)
                }
            } catch { probe[controller] = .failure(error) }
        }
        return CgroupFeature.Check.all.map { $0.result(host: self, probe[$0.controller]) }
    }

    /// The v2 cgroups from the root to `parent`, the lowest first, with the controllers that they share out.
    private func enabledControllers(parent: String) -> [(path: String, controllers: Set<CgroupController>)] {
        guard let v2, let place = try? CgroupPath(parent: parent, path: "x") else { return [] }
        return place.components.indices.reversed().compactMap { depth in
            let path = ([v2] + place.components[..<depth]).joined(separator: "/")
            let text = try? open("\(path)/cgroup.subtree_control", .readOnly).readAll()
            return text.map { (path, parseControllers($0)) }
        }
    }

    private func disableControllers(in path: String, except kept: Set<CgroupController>) {
        guard let now = try? open("\(path)/cgroup.subtree_control", .readOnly).readAll() else { return }
        for controller in parseControllers(now).subtracting(kept) {
            try? open("\(path)/cgroup.subtree_control", .writeOnly).writeAll(Array("-\(controller)".utf8))
        }
    }
}

extension Cgroup {
    /// A cgroup for looking at one controller; nil where the host has none.
    fileprivate static func probe(
        host: CgroupHost, _ controller: CgroupController, parent: String
    ) throws(CtrError) -> Cgroup? {
        let place = try CgroupPath(parent: parent, path: "ctr-check-\(CurrentProcess.pid)-\(controller)")
        var cgroup = Cgroup(place: place, directories: [], owner: nil)
        do throws(CtrError) {
            switch host.place(of: controller) {
            case .absent: return nil
            case .v1(let mount): try cgroup.add(Need(mount: mount, isUnified: false, controllers: [controller]))
            case .v2:
                guard let mount = host.v2 else { return nil }
                try cgroup.add(Need(mount: mount, isUnified: true, controllers: [controller]))
            }
            if controller == .devices { try cgroup.limitDevices(DeviceAccess(DeviceRule.standard), isNew: true) }
        } catch {
            try? cgroup.remove()
            throw error
        }
        return cgroup
    }
}

extension CgroupFeature {
    private static let writeOnlyFiles: Set<String> = ["devices.allow", "cgroup.kill"]

    /// A feature by the file that offers it.
    fileprivate struct Check {
        var name: String
        var controller: CgroupController
        /// nil: v2 (v1) has no such thing.
        var v2: String?
        var v1: String?
        var cost: String
        /// What v1 does less well, if so.
        var v1Flaw: String?

        static let all = [
            Check(
                name: "memory limit", controller: .memory, v2: "memory.max", v1: "memory.limit_in_bytes",
                cost: "--memory is refused; a VPS can use up the host's memory"),
            Check(
                name: "memory throttling", controller: .memory, v2: "memory.high", v1: nil,
                cost: "--memory-high is refused"),
            Check(
                name: "swap limit", controller: .memory, v2: "memory.swap.max", v1: "memory.memsw.limit_in_bytes",
                cost: "--swap is refused; a VPS can use up the host's swap"),
            Check(
                name: "process limit", controller: .pids, v2: "pids.max", v1: "pids.max",
                cost: "--pids is refused; a fork bomb in a VPS hits the host"),
            Check(
                name: "processor quota", controller: .cpu, v2: "cpu.max", v1: "cpu.cfs_quota_us",
                cost: "--cpus is refused"),
            Check(
                name: "processor weight", controller: .cpu, v2: "cpu.weight", v1: "cpu.shares",
                cost: "--cpu-weight is refused"),
            Check(
                name: "processor set", controller: .cpuset, v2: "cpuset.cpus", v1: "cpuset.cpus",
                cost: "--cpuset is refused"),
            Check(
                name: "disk rates", controller: .io, v2: "io.max", v1: "blkio.throttle.read_bps_device",
                cost: "--io-* options are refused",
                v1Flaw:
                    "cgroup v1 does not hold back writes that go through the page cache, only direct and synchronous ones"
            ),
            Check(
                name: "device rules", controller: .devices, v2: "", v1: "devices.allow",
                cost: "device access is guarded by the user namespace alone"),
            Check(
                name: "freeze", controller: .freezer, v2: "cgroup.freeze", v1: "freezer.state",
                cost: "pause, suspend and snapshots of running VPSs are refused"),
            Check(
                name: "kill at once", controller: .freezer, v2: "cgroup.kill", v1: nil,
                cost: "the processes of a VPS are killed one by one, which is slower"),
            Check(
                name: "born in the cgroup", controller: .freezer, v2: "cgroup.procs", v1: nil,
                cost: "processes join after they have been made, which is slower"),
            Check(
                name: "processor time", controller: .cpuacct, v2: "cpu.stat", v1: "cpuacct.usage",
                cost: "stats show no processor time"),
            Check(
                name: "pressure", controller: .freezer, v2: "cpu.pressure", v1: nil,
                cost: "stats show no pressure"),
        ]

        func result(host: CgroupHost, _ probe: Result<CgroupDirectory, CtrError>?) -> CgroupFeature {
            func no(_ why: String) -> CgroupFeature { CgroupFeature(name: name, support: .no, why: why, cost: cost) }
            let directory: CgroupDirectory
            switch probe {
            case nil: return no(host.absence(of: controller))
            case .failure(let error): return no(error.message)
            case .success(let found): directory = found
            }
            guard let file = directory.isUnified ? v2 : v1 else {
                return no("cgroup v1 has nothing like it, and \(controller) is not in v2 here")
            }
            let interface = directory.isUnified ? "cgroup v2" : "cgroup v1"
            if file.isEmpty {
                return CgroupFeature(name: name, support: .yes, why: "\(interface), BPF program", cost: nil)
            }
            do throws(SysError) {
                // A pressure file is there, and reading it refused, where measuring is off.
                let access: OpenFlags = CgroupFeature.writeOnlyFiles.contains(file) ? .writeOnly : .readOnly
                let opened = try directory.open(file, access)
                if access == .readOnly { _ = try opened.readAll() }
            } catch  where error.errno == Errno.noEntry {
                return no("\(interface): this kernel has no \(file)")
            } catch { return no("\(interface): \(error)") }
            if !directory.isUnified, let v1Flaw {
                return CgroupFeature(name: name, support: .partly, why: "cgroup v1, \(file): \(v1Flaw)", cost: nil)
            }
            return CgroupFeature(name: name, support: .yes, why: "\(interface), \(file)", cost: nil)
        }
    }
}
