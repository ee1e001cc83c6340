internal import Kernel
internal import Model
internal import Namespaces

extension HostCheck {
    /// What a VPS sees of itself. Its limits hold whatever it sees.
    static func views() -> CheckSection {
        var section = CheckSection("view from inside")
        section.add(
            "lxcfs", lxcfs(),
            cost:
                "a VPS finds the host's memory, processors, load and uptime in /proc, so free and top show them and "
                + "programs size themselves by them: install the package lxcfs and start its service, or set "
                + "\"lxcfs\": \"start\" in \(Settings.standardPath)"
        )
        return section
    }

    private static func lxcfs() -> Finding {
        let lxcfs: LXCFS
        do { lxcfs = LXCFS(try Settings.load()) } catch { return .no(error.message) }
        if lxcfs.choice == .off { return .no("the settings say \"lxcfs\": \"off\"") }
        let finding = Probe.mounting { () throws(SysError) in
            switch lxcfs.state() {
            case .running: break
            case .absent: return .no("not mounted at \(lxcfs.directory)")
            case .dead(let error): throw error
            }
            let count = try SystemViews(at: lxcfs.directory).count
            let memory = try open("\(lxcfs.directory)/proc/meminfo", [.readOnly]).read(upTo: 64)
            if !memory.starts(with: "MemTotal:".utf8) { return .no("\(lxcfs.directory)/proc/meminfo says nothing") }
            return count == SystemViews.most
                ? .yes(lxcfs.directory) : .partly("only \(count) of \(SystemViews.most) files")
        }
        // The first start is early enough.
        if case .no(let why) = finding, lxcfs.choice == .start, ToolProcess.find(LXCFS.program) != nil {
            return .yes("\(why); a VPS's start starts it")
        }
        return finding
    }
}
