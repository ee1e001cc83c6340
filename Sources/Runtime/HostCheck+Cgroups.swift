internal import Cgroups
internal import FoundationEssentials
internal import Kernel
internal import Model

extension HostCheck {
    /// What the host's cgroups can do, controller by controller, tried on cgroups of our own.
    static func cgroups() -> CheckSection {
        var section = CheckSection("cgroups")
        let host: CgroupHost
        do throws(CtrError) { host = try CgroupHost.detect() } catch {
            section.add("hierarchies", .no("\(error)"), cost: "no limit of a VPS can be set")
            return section
        }
        section.add(
            "hierarchies", layout(host),
            cost:
                "limits and accounting of VPSs are refused, or less than with cgroup v2 alone (see the "
                + "next lines); mount cgroup2 with all controllers"
        )
        section.add(
            "clone3 with CLONE_INTO_CGROUP", cloneInto(host),
            cost:
                "a VPS's first process joins its cgroup after it was made, which is slower; mount cgroup2 "
                + "(Linux 5.7 or later)"
        )
        // The line above has really been born in one.
        for feature in features(host) where feature.name != "born in the cgroup" {
            let finding: Finding =
                switch feature.support {
                case .yes: .yes(feature.why)
                case .partly: .partly(feature.why)
                case .no: .no(feature.why)
                }
            section.add(
                feature.name, required: feature.name == deviceRules, finding,
                cost: cost(of: feature))
        }
        return section
    }

    private static let deviceRules = "device rules"

    private static func cost(of feature: CgroupFeature) -> String {
        // Every VPS has device rules, and a start without them is refused.
        if feature.name == deviceRules { return "ctr run can't work: which devices a VPS may open can't be said" }
        return feature.cost ?? "the limit is weaker than what is asked for; boot the host with cgroup v2"
    }

    private static func layout(_ host: CgroupHost) -> Finding {
        switch host.layout {
        case .unified: .yes("cgroup v2 at \(host.v2 ?? "")")
        case .hybrid: .partly("hybrid: cgroup v2 at \(host.v2 ?? ""), other controllers in v1")
        case .legacy: .partly("cgroup v1 alone")
        case .none: .no("no cgroup file system is mounted")
        }
    }

    private static func cloneInto(_ host: CgroupHost) -> Finding {
        if CurrentProcess.effectiveUser != 0 { return .no(Probe.needsRoot) }
        guard let mount = host.v2 else { return .no("cgroup v2 is not mounted") }
        do throws(SysError) {
            let keeper = try Keeper { () throws(SysError) in
                let name = "ctr-check-\(CurrentProcess.pid)"
                try open(mount, [.path, .directory]).makeDirectory(name, mode: 0o700)
                return "\(mount)/\(name)"
            } remove: { path in
                let name = String(path.dropFirst(mount.utf8.count + 1))
                // A process in it is gone a moment after it was killed.
                for _ in 0..<100 {
                    do throws(SysError) {
                        return try open(mount, [.path, .directory]).unlink(name, directory: true)
                    } catch {
                        if error.errno != Errno.busy { return }
                        CurrentProcess.sleep(milliseconds: 20)
                    }
                }
            }
            let cgroup = SharedFD(try open(keeper.product, [.path, .directory]))
            let path = "0::/\(keeper.product.dropFirst(mount.utf8.count + 1))"
            return Probe(cgroup: cgroup).run { () throws(SysError) in
                // Seen from a cgroup namespace the path is another, but its end is not.
                let lines = try HostFile.text("/proc/self/cgroup").split(separator: "\n")
                let own = lines.first { $0.hasPrefix("0::") } ?? ""
                let name = path.dropFirst("0::/".utf8.count)
                return own.hasSuffix("/\(name)") ? .yes() : .no("the child is in \(own.dropFirst(3))")
            }
        } catch { return .no("\(error)") }
    }

    /// The tries make cgroups and remove them: in a process that does so to its end, also if this one is killed.
    private static func features(_ host: CgroupHost) -> [CgroupFeature] {
        do throws(SysError) {
            let answer = SharedFD(try MemoryFile.make())
            let keeper = try Keeper { () throws(SysError) in
                let bytes = (try? JSONEncoder().encode(host.features())) ?? Data()
                try answer.fd.writeAll(Array(bytes))
                return ""
            } remove: { _ in
            }
            try answer.fd.seek(.start, 0)
            let bytes = try answer.fd.readAll()
            withExtendedLifetime(keeper) {}
            if let all = try? JSONDecoder().decode([CgroupFeature].self, from: Data(bytes)) { return all }
        } catch {}
        // No child can be made here, which the report says elsewhere.
        return host.features()
    }
}
