public import Kernel
public import Model

/// Tells a supervisor when its VPS meets a limit: descriptors for its ``Poll``, and what was met since the last look.
///
///     let watch = try LimitWatch(cgroup)
///     loop:
///         watch.add(to: &poll)                              each turn: which descriptors it waits on changes
///         let ready = try poll.wait()
///         if let hits = try watch.changes(ready) { ... }    nil: nothing was met
///     at the end: try watch.changes()                       what came last of all
///
/// What wakes: on v2 every change of memory.events (an oom kill, and also memory.max and memory.high met) and of
/// pids.events; on v1 want of memory alone (an eventfd on memory.oom_control). A failed fork on v1 (nothing there can be
/// waited for), inside a cgroup of the guest's own before Linux 6.10, and v1's kill for want of the *host's* memory
/// wake nobody; the next look counts them.
///
/// While nothing is met nothing wakes. A VPS whose file cache fills its memory meets memory.max all the time, and the
/// kernel would say so a hundred times a second: after each wake-up the watch is deaf to the files and looks by a clock,
/// at first after 10 ms, then ever more seldom, at most every 5 s, until it finds nothing new. The clock is needed on v1
/// in any case, where the kernel signals just before it chooses a victim: who looks at once finds no kill.
public final class LimitWatch {
    private enum Source {
        /// Says by POLLPRI that it has changed since it was read; by POLLERR too, and for ever, when it has gone.
        case file(SharedFD)
        /// v1's signal that memory is wanted.
        case counter(EventCounter)
    }

    private let cgroup: Cgroup
    private var sources: [Source] = []
    private let clock: AlarmClock
    /// Milliseconds until the next look by the clock; 0 while it listens to the sources.
    private var pause = 0
    /// Milliseconds by the clock in which nothing came.
    private var idle = 0
    private static let shortest = 10
    private static let longest = 5000
    /// How long nothing must come until it listens again: a v1 kill may take its time after the signal.
    private var patience: Int { watchesV1 ? 1000 : 0 }
    private var watchesV1 = false

    /// Where the descriptors of the last ``add(to:)`` are in its poll.
    private var polled: [Int] = []
    /// As the kernel had counted at the last look.
    private var last = LimitHits()
    /// All that was met: what the kernel had counted at the beginning, and what came since.
    public private(set) var total = LimitHits()

    /// Begins to watch; what was met before is in ``total`` and will not be reported.
    /// - Parameter earlier: the ``total`` of a watch that this one takes over from: what was met since is reported.
    ///
    /// A host that lacks a controller, or a kernel without a file, is watched for the rest.
    public init(_ cgroup: Cgroup, since earlier: LimitHits? = nil) throws(CtrError) {
        self.cgroup = cgroup
        do throws(SysError) { clock = try AlarmClock() } catch { throw CtrError(.io, "limit watch", cause: error) }
        do throws(SysError) {
            if let memory = cgroup.directory(of: .memory) {
                if memory.isUnified { try watch("memory.events", of: memory) } else { try watchV1(memory) }
            }
            if let pids = cgroup.directory(of: .pids), pids.isUnified {
                try watch("pids.events", of: pids)
                // Before Linux 6.10: where the process lives.
                if try pids.read("pids.events.local") == nil {
                    try watch("pids.events", of: pids.child(Cgroup.payload))
                }
            }
            // After the files are armed, so that nothing is missed in between.
            if let earlier { last = earlier } else { last = try cgroup.countHits() }
            total = last
        } catch { throw CtrError(cgroup: cgroup.path, cause: error) }
    }

    private func watch(_ name: String, of directory: CgroupDirectory) throws(SysError) {
        do throws(SysError) {
            let file = SharedFD(try directory.open(name, .readOnly))
            // Reading arms it.
            _ = try file.fd.readAll()
            sources.append(.file(file))
        } catch  where error.errno == Errno.noEntry || error.errno == Errno.noDevice {}
    }

    private func watchV1(_ directory: CgroupDirectory) throws(SysError) {
        do throws(SysError) {
            let counter = try EventCounter()
            try counter.register(
                directory.open("memory.oom_control", .readOnly),
                control: directory.open("cgroup.event_control", .writeOnly))
            sources.append(.counter(counter))
            watchesV1 = true
        } catch  where error.errno == Errno.noEntry || error.errno == Errno.noDevice {}
    }

    /// Adds what to wait for now to a poll that is made anew each turn.
    public func add(to poll: inout Poll) {
        if pause > 0 {
            polled = [poll.add(clock.fd, .readable)]
            return
        }
        polled = sources.map { source in
            switch source {
            case .file(let file): poll.add(file.fd, .priority)
            case .counter(let counter): poll.add(counter.fd, .readable)
            }
        }
    }

    /// What was met since the last look, if the poll says that there may be something; nil for nothing.
    /// - Parameter ready: what `wait` returned of the poll to which this was added.
    public func changes(_ ready: [Poll.Events]) throws(CtrError) -> LimitHits? {
        if polled.allSatisfy({ ready[$0].isEmpty }) { return nil }
        do throws(SysError) {
            let byClock = pause > 0
            if byClock { _ = try clock.takeRing() }
            // First: what comes after the counts are read wakes again.
            let wasSignalled = try arm()
            let hits = try look()
            try rest(byClock: byClock, isActive: wasSignalled || hits != nil)
            return hits
        } catch { throw CtrError(cgroup: cgroup.path, cause: error) }
    }

    /// What was met since the last look; nil for nothing. A cgroup that has gone meets nothing any more.
    public func changes() throws(CtrError) -> LimitHits? {
        do throws(SysError) { return try look() } catch { throw CtrError(cgroup: cgroup.path, cause: error) }
    }

    // MARK: -

    /// Makes the sources wait for the next change; true if v1 signalled.
    private func arm() throws(SysError) -> Bool {
        var wasSignalled = false
        var kept: [Source] = []
        for source in sources {
            switch source {
            case .counter(let counter): if try counter.take() > 0 { wasSignalled = true }
            case .file(let file):
                do throws(SysError) {
                    try file.fd.seek(.start, 0)
                    _ = try file.fd.readAll()
                } catch  where error.errno == Errno.noDevice { continue }
            }
            kept.append(source)
        }
        sources = kept
        return wasSignalled
    }

    private func look() throws(SysError) -> LimitHits? {
        let now = try cgroup.countHits()
        let hits = now.since(last)
        last = now.filled(from: last)
        if hits.isEmpty { return nil }
        total = total.adding(hits)
        return hits
    }

    /// Sets the clock for the next look, or listens again.
    private func rest(byClock: Bool, isActive: Bool) throws(SysError) {
        if !byClock {
            pause = LimitWatch.shortest
            idle = 0
        } else {
            idle = isActive ? 0 : idle + pause
            pause = !isActive && idle >= patience ? 0 : min(pause * 2, LimitWatch.longest)
        }
        try clock.set(milliseconds: pause)
    }
}
