internal import Kernel
public import Model

extension Cgroup {
    /// Whether no process is left in it.
    public func isEmpty() throws(CtrError) -> Bool {
        do throws(SysError) { return try isEmptyNow() } catch { throw CtrError(cgroup: path, cause: error) }
    }

    /// Waits until no process is left in it. False if some still are when the time is over.
    public func waitUntilEmpty(milliseconds: Int) throws(CtrError) -> Bool {
        do throws(SysError) { return try waitUntilEmpty(Deadline(milliseconds: milliseconds)) } catch {
            throw CtrError(cgroup: path, cause: error)
        }
    }

    func waitUntilEmpty(_ deadline: Deadline) throws(SysError) -> Bool {
        if let unified {
            if try unified.waitForEvent("populated 0", deadline) == false { return false }
            // A process joins the hierarchies one after the other.
        }
        return try poll(deadline) { () throws(SysError) in try isEmptyNow() }
    }

    private func isEmptyNow() throws(SysError) -> Bool {
        for directory in directories {
            if directory.isUnified {
                if try directory.hasEvent("populated 1") { return false }
            } else if try directory.read("cgroup.procs")?.isEmpty == false {
                return false
            }
        }
        return true
    }

    /// The processes in it, those in cgroups that the guest made included; numbers of this pid namespace.
    public func processes() throws(CtrError) -> [Int32] {
        do throws(SysError) {
            return try (unified ?? directories.first)?.processes() ?? []
        } catch { throw CtrError(cgroup: path, cause: error) }
    }

    /// Those too that are about to join it: a process joins the hierarchies one after the other.
    public func processesOfAnyHierarchy() throws(CtrError) -> Set<Int32> {
        do throws(SysError) {
            var all: Set<Int32> = []
            for directory in directories { all.formUnion(try directory.processes()) }
            return all
        } catch { throw CtrError(cgroup: path, cause: error) }
    }

    /// For messages.
    var path: String { (unified ?? directories.first)?.path ?? "(in no hierarchy)" }

    /// Asks again and again, more seldom with time; false when the deadline has passed.
    func poll(_ deadline: Deadline, _ condition: () throws(SysError) -> Bool) throws(SysError) -> Bool {
        var pause = 50
        while try !condition() {
            if deadline.hasPassed { return false }
            deadline.sleep(microseconds: pause)
            pause = min(pause * 2, 10_000)
        }
        return true
    }
}

extension CgroupDirectory {
    /// Whether cgroup.events has this line. A cgroup that has gone holds nothing.
    func hasEvent(_ line: String) throws(SysError) -> Bool {
        try readText("cgroup.events")?.split(separator: "\n").contains { $0 == line } ?? false
    }

    /// Waits until cgroup.events has this line, woken by the kernel; false when the deadline has passed. A cgroup that
    /// has gone is reported as true: nothing in it will change any more.
    func waitForEvent(_ line: String, _ deadline: Deadline) throws(SysError) -> Bool {
        let file: SharedFD
        do throws(SysError) { file = SharedFD(try open("cgroup.events", .readOnly)) } catch
            where error.errno == Errno.noEntry
        { return true }
        var poll = Poll()
        poll.add(file.fd, [.priority])
        while true {
            // What is read before the poll arms it, so no change in between is missed.
            do throws(SysError) {
                try file.fd.seek(.start, 0)
                let text = String(decoding: try file.fd.readAll(), as: UTF8.self)
                if text.split(separator: "\n").contains(where: { $0 == line }) { return true }
            } catch  where error.errno == Errno.noDevice { return true }
            if deadline.hasPassed { return false }
            _ = try poll.wait(milliseconds: deadline.remaining)
        }
    }
}
