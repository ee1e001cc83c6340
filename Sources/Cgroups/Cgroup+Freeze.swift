internal import Kernel
public import Model

extension Cgroup {
    /// Stops every process in it until ``thaw()``, and returns when all stand still. Where they do not in time (one
    /// may be in an uninterruptible wait), it thaws them and throws `busy`: after an error nothing stays frozen.
    public func freeze(milliseconds: Int = 10_000) throws(CtrError) {
        let freezer = try freezer()
        let deadline = Deadline(milliseconds: milliseconds)
        do throws(SysError) {
            try freezer.setFrozen(true)
            if try waitUntilFrozen(freezer, deadline) { return }
        } catch {
            try? freezer.setFrozen(false)
            throw CtrError(cgroup: freezer.path, cause: error)
        }
        let stuck = (try? processes())?.first { CgroupDirectory.isUninterruptible($0) }
        do throws(SysError) { try freezer.setFrozen(false) } catch {
            throw CtrError(
                .failed,
                "cgroup \(freezer.path): it could not be frozen in \(milliseconds) ms, nor thawed again: \(error)",
                errno: error.errno)
        }
        throw CtrError(
            .busy,
            "cgroup \(freezer.path): not all its processes stood still within \(milliseconds) ms"
                + (stuck.map { "; process \($0) waits in the kernel" } ?? "") + " (thawed again; try later)")
    }

    /// Lets every process go on. Of a cgroup that is not frozen nothing changes.
    public func thaw() throws(CtrError) {
        let freezer = try freezer()
        do throws(SysError) { try freezer.setFrozen(false) } catch {
            throw CtrError(cgroup: freezer.path, cause: error)
        }
    }

    /// Does what is done while it is frozen: SIGINT, SIGTERM, SIGHUP and SIGQUIT, where they end this process, thaw it first.
    public func thawingIfEnded<R>(_ body: () throws(CtrError) -> R) throws(CtrError) -> R {
        let freezer = try freezer()
        let (file, word) = freezer.isUnified ? ("cgroup.freeze", "0") : ("freezer.state", "THAWED")
        let opened: SharedFD
        do throws(SysError) { opened = SharedFD(try freezer.open(file, .writeOnly)) } catch {
            throw CtrError(cgroup: freezer.path, cause: error)
        }
        return try withLastWord(word, to: opened, body)
    }

    /// Whether it is frozen by us; a guest that froze a part of its own tree does not count.
    public func isFrozen() throws(CtrError) -> Bool {
        let freezer = try freezer()
        do throws(SysError) {
            let file = freezer.isUnified ? "cgroup.freeze" : "freezer.self_freezing"
            return try freezer.readText(file)?.trimmed == "1"
        } catch { throw CtrError(cgroup: freezer.path, cause: error) }
    }

    /// Begins to stop every process in it, and returns at once: one that waits in the kernel for a disk stops when it
    /// leaves the kernel.
    public func beginFreeze() throws(CtrError) {
        let freezer = try freezer()
        do throws(SysError) { try freezer.setFrozen(true) } catch {
            throw CtrError(cgroup: freezer.path, cause: error)
        }
    }

    func freezer() throws(CtrError) -> CgroupDirectory {
        if let freezer = unified ?? directory(of: .freezer) { return freezer }
        throw CtrError(.unavailable, "freezing: this cgroup is in no hierarchy that can (cgroup v2, or v1's freezer)")
    }

    func waitUntilFrozen(_ freezer: CgroupDirectory, _ deadline: Deadline) throws(SysError) -> Bool {
        if freezer.isUnified { return try freezer.waitForEvent("frozen 1", deadline) }
        // The state says FREEZING until all stand still, reading it brings it up to date, and nothing announces it. It
        // can stay so for ever: one process waits, unfreezable, for another that stands still already. So those that
        // do are let go on for a moment, again and again.
        while true {
            let part = Deadline(milliseconds: min(20, Int(deadline.remaining)))
            let frozen = try poll(part) { () throws(SysError) in
                try freezer.readText("freezer.state")?.trimmed == "FROZEN"
            }
            if frozen { return true }
            if deadline.hasPassed { return false }
            try freezer.setFrozen(false)
            deadline.sleep(microseconds: 500)
            try freezer.setFrozen(true)
        }
    }
}

extension CgroupDirectory {
    func setFrozen(_ on: Bool) throws(SysError) {
        if isUnified {
            try write("cgroup.freeze", on ? "1" : "0")
        } else {
            try write("freezer.state", on ? "FROZEN" : "THAWED")
        }
    }

    /// Whether a process waits in the kernel where no signal reaches it (state D).
    static func isUninterruptible(_ pid: Int32) -> Bool {
        guard let text = try? Kernel.open("/proc/\(pid)/stat", .readOnly).readAll(),
            let end = text.lastIndex(of: UInt8(ascii: ")")), end + 2 < text.count
        else { return false }
        return text[end + 2] == UInt8(ascii: "D")
    }
}
