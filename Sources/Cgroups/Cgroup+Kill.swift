internal import Kernel
public import Model

extension Cgroup {
    /// Kills every process in it, also a frozen one and those that fork meanwhile, and waits until none is left.
    /// Throws `busy`, naming them, if some still are after this time.
    public func kill(milliseconds: Int = 10_000) throws(CtrError) {
        let deadline = Deadline(milliseconds: milliseconds)
        do throws(SysError) {
            // cgroup.kill is there since Linux 5.14.
            if let unified, try unified.killAtOnce() {
                if try waitUntilEmpty(deadline) { return }
            } else if try killOneByOne(deadline) {
                return
            }
        } catch { throw CtrError(cgroup: path, cause: error) }
        let left = try processes()
        throw CtrError(.busy, "cgroup \(path): \(describe(left)) did not end within \(milliseconds) ms")
    }

    /// Rounds of: hold still, kill all that are there, go on. A frozen process can't fork, so that one round does where
    /// there is a freezer; a new round finds those that joined meanwhile.
    private func killOneByOne(_ deadline: Deadline) throws(SysError) -> Bool {
        let freezer = unified ?? directory(of: .freezer)
        var pause = 100
        while true {
            if let freezer {
                try freezer.setFrozen(true)
                // A bound of its own: what can't be frozen can be killed all the same.
                _ = try waitUntilFrozen(freezer, Deadline(milliseconds: min(100, Int(deadline.remaining))))
            }
            do throws(SysError) { try signalAll() } catch {
                try? freezer?.setFrozen(false)
                throw error
            }
            try freezer?.setFrozen(false)
            if try isEmptyQuickly() { return true }
            if deadline.hasPassed { return false }
            deadline.sleep(microseconds: pause)
            pause = min(pause * 2, 20_000)
        }
    }

    private func isEmptyQuickly() throws(SysError) -> Bool {
        try waitUntilEmpty(Deadline(milliseconds: 5))
    }

    /// A number may have gone to another process between reading it and opening it; but whoever is listed after the
    /// pidfd was opened is the process behind it, or that process has ended and the signal meets nobody.
    private func signalAll() throws(SysError) {
        for directory in directories {
            var handles: [(pid: Int32, fd: SharedProcess)] = []
            // In parts, so that the number of open files stays small.
            for part in try directory.processes().chunks(of: 256) {
                handles.removeAll()
                for pid in part {
                    do throws(SysError) { handles.append((pid, SharedProcess(try ProcessHandle(pid: pid)))) } catch
                        where error.errno == Errno.noProcess
                    {}
                }
                let there = Set(try directory.processes())
                for handle in handles where there.contains(handle.pid) {
                    do throws(SysError) { try handle.fd.process.signal(Signal.kill) } catch
                        where error.errno == Errno.noProcess
                    {}
                }
            }
        }
    }
}

/// A process handle in a collection.
private final class SharedProcess {
    let process: ProcessHandle
    init(_ process: consuming ProcessHandle) { self.process = process }
}

extension Array {
    fileprivate func chunks(of size: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
    }
}

extension CgroupDirectory {
    /// False on a kernel without cgroup.kill.
    fileprivate func killAtOnce() throws(SysError) -> Bool {
        do throws(SysError) { try write("cgroup.kill", "1") } catch {
            if error.errno == Errno.noEntry || error.errno == Errno.notSupported { return false }
            throw error
        }
        return true
    }
}
