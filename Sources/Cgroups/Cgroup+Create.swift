internal import Kernel
public import Model

extension Cgroup {
    /// Makes a cgroup with its limits, in those hierarchies only in which something is to be limited, counted or done.
    /// All or nothing: after an error nothing of it is there (directories above it may stay).
    ///
    /// - Parameter path: below `parent`: `ctr/NAME`. Directories above the last are made as needed and kept.
    /// - Parameter devices: what may be opened or made; nil: no rule at all.
    /// - Parameter owner: the kernel's user and group id of the guest's root, to whom the inner v2 directory is
    ///   delegated; nil: the host's root.
    /// - Parameter parent: where to begin below each hierarchy's root, for a host that delegates a subtree.
    /// - Parameter guestControllers: v2 controllers that the guest may distribute further within its own tree. Those
    ///   that this host has in v1, or not at all, are passed over: no guest is promised any.
    ///
    /// Throws `unavailable` for what the host can't do, `cannotCreate` where a cgroup of this name holds processes,
    /// `usage` for values that make no sense.
    public static func create(
        host: CgroupHost, path: String, resources: Resources = Resources(), devices: [DeviceRule]? = nil,
        owner: UInt32? = nil, parent: String = "", guestControllers: Set<CgroupController> = [.memory, .pids]
    ) throws(CtrError) -> Cgroup {
        try resources.validate()
        let place = try CgroupPath(parent: parent, path: path)
        let plan = try LimitPlan(resources, host: host)
        let access = try devices.map { (rules) throws(CtrError) in try DeviceAccess(rules) }
        var cgroup = Cgroup(place: place, directories: [], owner: owner)
        do throws(CtrError) {
            for need in try needs(host: host, plan: plan, devices: access != nil, guest: guestControllers) {
                try cgroup.add(need)
            }
            for setting in plan.settings where !setting.isReset { try cgroup.write(setting) }
            if let access { try cgroup.limitDevices(access, isNew: true) }
            try cgroup.makePayload(guestControllers.intersection(host.v2Controllers))
            if plan.limiting.contains(.cpu) { try cgroup.showQuota(plan) }
        } catch {
            for directory in cgroup.directories.reversed() { try? directory.removeEmpty() }
            throw error
        }
        return cgroup
    }

    /// A directory to be made: in which hierarchy, for which controllers.
    struct Need: Equatable {
        var mount: String
        var isUnified: Bool
        var controllers: Set<CgroupController>
    }

    /// Where directories are needed: memory and pids always, for their counts and for limits that come later; v2
    /// wherever it is, for freeze, kill, events and processor time; and every hierarchy of v1: where a VPS had no
    /// cgroup of its own, its cgroup namespace would begin at the host's root, and its root could mount that
    /// hierarchy and read the host's names there.
    static func needs(
        host: CgroupHost, plan: LimitPlan, devices: Bool, guest: Set<CgroupController> = []
    ) throws(CtrError) -> [Need] {
        var wanted = plan.limiting.union([.memory, .pids, .freezer, .cpuacct])
        if devices { wanted.insert(.devices) }
        wanted.formUnion(host.v1.keys.filter { host.place(of: $0) != .v2 })
        wanted.formUnion(guest.filter { host.place(of: $0) == .v2 })
        var needs: [Need] = []
        if let mount = host.v2 { needs.append(Need(mount: mount, isUnified: true, controllers: [])) }
        // In the enumeration's order, so that the same host gives the same list.
        for controller in CgroupController.allCases where wanted.contains(controller) {
            switch host.place(of: controller) {
            case .v2: needs[0].controllers.insert(controller)
            case .v1(let mount):
                if let index = needs.firstIndex(where: { $0.mount == mount && !$0.isUnified }) {
                    needs[index].controllers.insert(controller)
                } else {
                    needs.append(Need(mount: mount, isUnified: false, controllers: [controller]))
                }
            case .absent:
                if controller == .devices {
                    throw CtrError(.unavailable, "device rules: \(host.absence(of: .devices))")
                }
            }
        }
        // Those whose controllers v2 has as well, as the freezer: only to be in them.
        for controller in CgroupController.allCases {
            guard let mount = host.v1[controller], !needs.contains(where: { $0.mount == mount }) else { continue }
            needs.append(Need(mount: mount, isUnified: false, controllers: []))
        }
        return needs
    }

    /// Makes one directory and readies its controllers.
    mutating func add(_ need: Need) throws(CtrError) {
        let directory = try CgroupDirectory.make(
            mount: need.mount, place, controllers: need.controllers, isUnified: need.isUnified)
        directories.append(directory)
        if need.isUnified {
            try directory.enableControllers(need.controllers.filter { !$0.isBuiltIntoV2 }, mount: need.mount, place)
        } else if need.controllers.contains(.cpuset) {
            try directory.fillCPUSet(mount: need.mount, place)
        }
    }

    func write(_ setting: LimitSetting) throws(CtrError) {
        guard let directory = directory(of: setting.controller) else { return }
        do throws(SysError) {
            try directory.put(setting)
        } catch  where error.errno == Errno.noEntry && setting.isReset {
            return
        } catch {
            throw refusal(of: setting, in: directory, error)
        }
    }

    /// Says in the operator's words why the kernel did not take a limit.
    func refusal(of setting: LimitSetting, in directory: CgroupDirectory, _ error: SysError) -> CtrError {
        let what = "\(setting.option) (\(setting.value.trimmed) in \(directory.path)/\(setting.file))"
        switch (setting.controller, error.errno) {
        case (_, Errno.noEntry):
            return CtrError(
                .unavailable, "\(what): this kernel does not offer it (it lacks the option, or it is off at boot)",
                errno: error.errno)
        case (.memory, Errno.busy):
            let file =
                directory.isUnified
                ? "memory.current" : setting.file.replacingSuffix("limit_in_bytes", "usage_in_bytes")
            let usage = (try? directory.readText(file)).flatMap { Int64($0.trimmed) }
            return CtrError(
                .busy,
                "\(what): \(usage.map { "\(Size.format($0)) is" } ?? "more is") in use and could not be reclaimed"
                    + " (stop something in the VPS, or choose a higher limit)", errno: error.errno)
        case (.cpuset, Errno.invalid), (.cpuset, Errno.range), (.cpuset, Errno.access):
            let file = directory.isUnified ? "cpuset.cpus.effective" : "cpuset.effective_cpus"
            let online = (try? directory.parent.fd.open(file, .readOnly).readAll()).map {
                String(decoding: $0, as: UTF8.self).trimmed
            }
            return CtrError(
                .usage, "\(what): this host can't run it there (it has the processors \(online ?? "of /proc/cpuinfo"))",
                errno: error.errno)
        case (.io, Errno.noDevice), (.io, Errno.invalid):
            return CtrError(.usage, "\(what): no such block device, or not a whole disk", errno: error.errno)
        default:
            return CtrError(cgroup: what, cause: error)
        }
    }
}

extension String {
    func replacingSuffix(_ old: String, _ new: String) -> String {
        hasSuffix(old) ? String(dropLast(old.count)) + new : self
    }

    /// Without blanks and line ends around it, as the kernel's files have them.
    var trimmed: String {
        let isBlank = { (byte: UInt8) in byte == 32 || (9...13).contains(byte) }
        guard let first = utf8.firstIndex(where: { !isBlank($0) }), let last = utf8.lastIndex(where: { !isBlank($0) })
        else { return "" }
        return String(self[first...last])
    }
}
