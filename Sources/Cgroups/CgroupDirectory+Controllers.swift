internal import Kernel
internal import Model

extension CgroupDirectory {
    /// Makes sure that these v2 controllers are at work in this directory: enables in the cgroups above, from the root
    /// of the mount down, those that are not. What is enabled stays so, for the next cgroup.
    ///
    /// systemd, which disables at the root what none of its units wants, can't take away a controller that is enabled
    /// in a child's cgroup.subtree_control: the kernel refuses that. So there is no fight over the root's file.
    func enableControllers(
        _ controllers: Set<CgroupController>, mount: String, _ place: CgroupPath
    ) throws(CtrError) {
        if controllers.isEmpty { return }
        do throws(SysError) {
            let active = parseControllers(try read("cgroup.controllers") ?? [])
            if controllers.isSubset(of: active) { return }
        } catch { throw CtrError(cgroup: path, cause: error) }
        var above = mount
        for name in place.components {
            try CgroupDirectory.enable(controllers, in: above)
            above += "/\(name)"
        }
    }

    /// Lets the children of a cgroup have these controllers.
    private static func enable(_ controllers: Set<CgroupController>, in path: String) throws(CtrError) {
        let file: SharedFD
        do throws(SysError) { file = SharedFD(try Kernel.open("\(path)/cgroup.subtree_control", .writeOnly)) } catch {
            throw CtrError(cgroup: path, cause: error)
        }
        // One by one, so that an error is about one controller. This runs once after boot, not at each start.
        for controller in controllers.sorted(by: { $0.rawValue < $1.rawValue }) {
            do throws(SysError) { try file.fd.writeAll(Array("+\(controller)".utf8)) } catch {
                throw CtrError(.unavailable, refusal(of: controller, path, error), errno: error.errno)
            }
        }
    }

    private static func refusal(of controller: CgroupController, _ path: String, _ error: SysError) -> String {
        let why =
            switch error.errno {
            case Errno.busy:
                "processes live in that cgroup itself, and a cgroup with processes can't share controllers out (start"
                    + " ctr in a cgroup that is delegated to it, with its own processes in a child)"
            case Errno.noEntry:
                "it is not in cgroup.controllers there (enable it in the cgroup above, or have it delegated)"
            case Errno.access, Errno.perm, Errno.readOnly:
                "\(SysError.text(error.errno)) (ctr needs root and a cgroup that it may change)"
            default: SysError.text(error.errno)
            }
        return "cgroup controller \(controller) can't be enabled in \(path)/cgroup.subtree_control: \(why)"
    }

    /// A v1 cpuset takes no process before it has processors and memory nodes; a new one has neither. Gives this one,
    /// and those above that ctr made, what their parents have.
    func fillCPUSet(mount: String, _ place: CgroupPath) throws(CtrError) {
        do throws(SysError) {
            var directory = try Kernel.open(mount, [.path, .directory])
            for name in place.components {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let mine = try directory.open("\(name)/\(file)", .readOnly).readAll()
                    if mine.contains(where: { $0 > 32 }) { continue }
                    let value = try directory.open(file, .readOnly).readAll()
                    try directory.open("\(name)/\(file)", .writeOnly).writeAll(value)
                }
                directory = try directory.open(name, [.path, .directory])
            }
        } catch { throw CtrError(cgroup: path, cause: error) }
    }

    /// Takes a cpuset's own processors away: it gets those of the cgroup above. On v2 that is an empty list, but not
    /// while processes are in it (ENOSPC); on v1 an empty one is never right.
    func resetCPUs() throws(SysError) {
        if isUnified {
            do throws(SysError) { return try write("cpuset.cpus", "\n") } catch  where error.errno == Errno.noSpace {}
        }
        let above = isUnified ? "cpuset.cpus.effective" : "cpuset.cpus"
        let value = try parent.fd.open(above, .readOnly).readAll()
        try write("cpuset.cpus", String(decoding: value, as: UTF8.self))
    }

    /// Gives a v2 directory to a guest's root: what the kernel says may be given away, and nothing that limits.
    func giveAway(to owner: UInt32?) throws(SysError) {
        guard let owner else { return }
        try parent.fd.changeOwner(of: name, uid: owner, gid: owner)
        for file in CgroupDirectory.delegatedFiles() {
            // The others are those of a controller, which may not be at work here.
            if !file.hasPrefix("cgroup."), controllers.isEmpty { continue }
            do throws(SysError) {
                try parent.fd.changeOwner(of: "\(name)/\(file)", uid: owner, gid: owner)
            } catch  where error.errno == Errno.noEntry {}
        }
    }

    /// The files that belong to whom a cgroup is delegated. See "Delegation" in the kernel's cgroup-v2 document.
    private static func delegatedFiles() -> [Substring] {
        let text = try? Kernel.open("/sys/kernel/cgroup/delegate", .readOnly).read(upTo: 4096)
        let known = text.map { String(decoding: $0, as: UTF8.self).split(separator: "\n") } ?? []
        return known.isEmpty ? ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] : known
    }
}

extension Cgroup {
    /// The guest's own root cgroup, below the one with the limits.
    func makePayload(_ controllers: Set<CgroupController>) throws(CtrError) {
        guard let unified else { return }
        var payload = unified.child(Cgroup.payload)
        payload.controllers = controllers
        do throws(SysError) {
            if !controllers.isEmpty {
                let words = controllers.map { "+\($0)" }.sorted()
                try unified.write("cgroup.subtree_control", words.joined(separator: " "))
            }
            try payload.parent.fd.makeDirectory(payload.name, mode: 0o755)
            try payload.giveAway(to: owner)
        } catch { throw CtrError(cgroup: payload.path, cause: error) }
    }
}
