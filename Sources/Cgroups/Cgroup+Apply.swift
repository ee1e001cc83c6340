internal import Kernel
public import Model

extension Cgroup {
    /// Changes the limits of a running VPS to exactly these: what is nil has no limit any more. All or nothing: after
    /// an error the values are those before.
    ///
    /// A limit on a v1 controller that was not in use gets a directory there, and the processes move into it: keep the
    /// new ``record``.
    ///
    /// Throws `busy` for memory that is in use and can't be reclaimed, `unavailable` for what the host can't do.
    public mutating func apply(_ resources: Resources, host: CgroupHost) throws(CtrError) {
        try resources.validate()
        let plan = try LimitPlan(resources, host: host)
        let before = directories
        var undo: [LimitSetting] = []
        do throws(CtrError) {
            try addMissing(plan, host: host)
            for setting in try ordered(plan) {
                if let old = try replace(setting) { undo.append(old) }
            }
            // Last: a new directory is already limited when the processes come.
            for directory in directories[before.count...] { try moveProcesses(into: directory) }
            try showQuota(plan)
        } catch {
            for old in undo.reversed() { try? write(old) }
            for directory in directories[before.count...] {
                try? moveOut(of: directory)
                try? directory.removeEmpty()
            }
            directories = before
            throw error
        }
    }

    /// Replaces the device rules of a running VPS. What is open stays open.
    public func apply(devices: [DeviceRule]) throws(CtrError) {
        try limitDevices(DeviceAccess(devices), isNew: false)
    }

    private mutating func addMissing(_ plan: LimitPlan, host: CgroupHost) throws(CtrError) {
        for need in try Cgroup.needs(host: host, plan: plan, devices: false) {
            let known = directories.firstIndex { $0.isUnified == need.isUnified && $0.path == place.path(need.mount) }
            guard let known else {
                // Only for a limit; what is merely counted is not worth moving processes.
                if !need.isUnified, !need.controllers.isDisjoint(with: plan.limiting) { try add(need) }
                continue
            }
            let missing = need.controllers.subtracting(directories[known].controllers)
            if need.isUnified {
                try directories[known].enableControllers(
                    missing.filter { !$0.isBuiltIntoV2 }, mount: need.mount, place)
            } else if missing.contains(.cpuset) {
                try directories[known].fillCPUSet(mount: need.mount, place)
            }
            directories[known].controllers.formUnion(missing)
        }
    }

    /// The settings in an order in which the kernel takes them.
    private func ordered(_ plan: LimitPlan) throws(CtrError) -> [LimitSetting] {
        var settings = plan.settings
        try addIOResets(&settings)
        // v1 wants memory <= memory and swap after each single write: where the new limit of memory is above the old
        // one of both, that one goes first.
        guard let memory = directory(of: .memory), !memory.isUnified,
            let first = settings.firstIndex(where: { $0.file == "memory.limit_in_bytes" }),
            let second = settings.firstIndex(where: { $0.file == "memory.memsw.limit_in_bytes" })
        else { return settings }
        let text = try describing("cgroup \(memory.path)") { () throws(SysError) in
            try memory.readText("memory.memsw.limit_in_bytes")
        }
        let both = text.flatMap { Int64($0.trimmed) } ?? .max
        let wanted = settings[first].isReset ? Int64.max : Int64(settings[first].value) ?? .max
        if wanted > both { settings.swapAt(first, second) }
        return settings
    }

    /// Devices that have a rate now and are to have none.
    private func addIOResets(_ settings: inout [LimitSetting]) throws(CtrError) {
        guard let io = directory(of: .io) else { return }
        func devices(_ file: String) throws(CtrError) -> [Substring] {
            try describing("cgroup \(io.path)") { () throws(SysError) in try io.readText(file) ?? "" }
                .split(separator: "\n").compactMap { $0.split(separator: " ").first }
        }
        let files = io.isUnified ? ["io.max"] : LimitPlan.v1RateFiles
        for file in files {
            for device in try devices(file)
            where !settings.contains(where: { $0.file == file && $0.value.hasPrefix("\(device) ") }) {
                let none = io.isUnified ? "\(device) rbps=max wbps=max riops=max wiops=max" : "\(device) 0"
                settings.append(
                    LimitSetting(controller: .io, file: file, value: none, option: "disk rates", isReset: true))
            }
        }
    }

    /// Writes a setting; returns the one that takes it back, nil where nothing changed.
    private func replace(_ setting: LimitSetting) throws(CtrError) -> LimitSetting? {
        guard let directory = directory(of: setting.controller) else { return nil }
        var old = setting
        do throws(SysError) {
            guard let text = try directory.readText(setting.file) else {
                if setting.isReset { return nil }
                throw SysError("open", Errno.noEntry, setting.file)
            }
            old.value = setting.controller == .io ? rates(text, setting) : text.trimmed
            if old.value == setting.value.trimmed { return nil }
            if setting.file == "memory.max" { try directory.makeRoom(setting) }
            try directory.put(setting)
        } catch { throw refusal(of: setting, in: directory, error) }
        if old.value.isEmpty { old.value = "\n" }
        return old
    }

    /// What was set for the device that a setting is about.
    private func rates(_ text: String, _ setting: LimitSetting) -> String {
        let device = setting.value.prefix { $0 != " " }
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(device) ") }
        let none = setting.file == "io.max" ? "\(device) rbps=max wbps=max riops=max wiops=max" : "\(device) 0"
        return line.map(String.init) ?? none
    }

    // MARK: processes

    private func moveProcesses(into directory: CgroupDirectory) throws(CtrError) {
        guard let source = directories.first(where: { $0.path != directory.path }) else { return }
        do throws(SysError) {
            // Again while there are any: children of processes not yet moved are born in the old place.
            for _ in 0..<100 {
                let there = Set(try directory.processes())
                let missing = try source.processes().filter { !there.contains($0) }
                if missing.isEmpty { return }
                try directory.take(missing)
            }
            throw SysError("write", Errno.again, directory.path)
        } catch { throw CtrError(cgroup: directory.path, cause: error) }
    }

    private func moveOut(of directory: CgroupDirectory) throws(SysError) {
        let root = try Kernel.open(CgroupDirectory.split(directory.path).above, [.path, .directory])
        let above = CgroupDirectory(
            controllers: [], isUnified: false, parent: SharedFD(root), name: ".", path: directory.path)
        try above.take(directory.processes())
    }
}

extension CgroupDirectory {
    func put(_ setting: LimitSetting) throws(SysError) {
        if setting.file == "cpuset.cpus", setting.value.trimmed.isEmpty { return try resetCPUs() }
        try write(setting.file, setting.value)
    }

    fileprivate func take(_ pids: [Int32]) throws(SysError) {
        let file = try open("cgroup.procs", .writeOnly)
        for pid in pids {
            do throws(SysError) { try file.writeAll(Array("\(pid)".utf8)) } catch  where error.errno == Errno.noProcess
            {}
        }
    }

    /// v2 takes any memory.max and, where it can't reclaim enough, kills processes until it is met. Nobody who types a
    /// number means that: reclaims first, and EBUSY where the usage stays above.
    fileprivate func makeRoom(_ setting: LimitSetting) throws(SysError) {
        guard let limit = Int64(setting.value), let usage = try memoryInUse(), usage > limit else { return }
        // Linux 5.19. EAGAIN: it got less than was asked for.
        do throws(SysError) { try write("memory.reclaim", "\(usage - limit)") } catch {
            let known = [Errno.again, Errno.noEntry, Errno.interrupted].contains(error.errno)
            if !known { throw error }
        }
        if let left = try memoryInUse(), left > limit { throw SysError("write", Errno.busy, "\(path)/\(setting.file)") }
    }

    private func memoryInUse() throws(SysError) -> Int64? {
        try readText("memory.current").flatMap { Int64($0.trimmed) }
    }
}
