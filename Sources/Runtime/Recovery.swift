internal import Cgroups
internal import Kernel
public import Model
internal import Namespaces
internal import Network

/// Finishes or undoes what a crash left of VPSs. Every step may be interrupted and done again.
public struct Recovery: Sendable {
    let host: Host

    public init(host: Host) { self.host = host }

    /// Looks at every VPS, at id ranges whose VPS is gone, and at cgroups that no VPS is in; returns the names of those that were mended.
    public func sweepAll() throws(CtrError) -> [String] {
        let mended = try VPSList.each(on: host) { (name) throws(CtrError) in
            var mended = try sweep(name)
            if try mendDisk(name) { mended = true }
            if try mendNetwork(name) { mended = true }
            return mended ? name : nil
        }
        _ = try Settings.load().makeIDPool().reclaim()
        _ = try host.network().reclaim()
        try Cgroup.prune(host: .detect(), path: host.cgroupParent)
        SpaceGuard.ensure(on: host)
        return mended
    }

    /// Finishes or undoes what a verb that was killed left of its work on the disk.
    private func mendDisk(_ name: String) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        guard let directory = try files.directory(), try files.keptConfig(in: directory)?.hasUnfinishedDiskWork == true,
            let lock = try VerbLock.attempt(files)
        else { return false }
        try DiskHold.mend(files, lock)
        return true
    }

    /// Gives back what a stopped VPS has by a `set` that was killed, or by one that was for its next start, and not by its
    /// configuration.
    private func mendNetwork(_ name: String) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        guard let directory = try files.directory(), try files.keptConfig(in: directory)?.interfaces != nil,
            let lock = try VerbLock.attempt(files), let config = try files.keptConfig(in: lock.directory),
            try !files.hasCheckpoint(), try RunningInit.find(files) == nil, try LostVPS.find(files) == nil
        else { return false }
        return try withExtendedLifetime(lock) { () throws(CtrError) in try host.network().releaseOthers(than: config) }
    }

    /// Mends one VPS if its supervisor is dead. One that has a supervisor, or that another verb is making or removing,
    /// is left to it.
    /// - Returns: whether there was something to mend.
    @discardableResult
    public func sweep(_ name: String) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        if try files.stateDirectory() == nil {
            // Most kept VPSs that are stopped end here, without a write.
            guard let directory = try files.directory() else { return false }
            if try VPSFiles.read("config.json", in: directory, of: name) as VPSConfig? != nil {
                return try dropLeftovers(files)
            }
        }
        // Its supervisor may have been killed over that.
        if let directory = try files.directory() { CheckpointFiles.removeAside(in: directory) }
        switch try mendUnlessSupervised(files) {
        case .supervised: return try mendRunning(files)
        case .orphaned:
            _ = try dropStaleCheckpoint(files)
            return try adopt(files)
        case .mended:
            EventLog(host).append(.recovered, vps: name)
            _ = try dropLeftovers(files)
            return true
        case .fine: return try dropLeftovers(files)
        }
    }

    /// Of a VPS that does not run: what a verb, or a supervisor, was killed over that wrote, packed or unpacked its memory.
    private func dropLeftovers(_ files: VPSFiles) throws(CtrError) -> Bool {
        guard let directory = try files.directory(),
            CheckpointFiles.large.contains(where: { (try? directory.fd.status(of: $0)) != nil }),
            let lock = try VerbLock.attempt(files), try RunningInit.find(files) == nil,
            // That needs it, and begins with it anew.
            try files.keptConfig(in: directory)?.hasUnfinishedDiskWork == false
        else { return false }
        for name in CheckpointFiles.large { SlowRemoval.remove(checkpoint: name, in: lock.directory) }
        return true
    }

    /// Gives it another supervisor. That this fails hinders no verb: those that follow try again.
    private func adopt(_ files: VPSFiles) throws(CtrError) -> Bool {
        do throws(CtrError) {
            _ = try SupervisorRequest.adopt(files.name).spawn(on: host)
            EventLog(host).append(.supervisorLost, vps: files.name)
        } catch {
            // It has ended meanwhile, or another verb was first.
            guard try RunningInit.find(files) != nil else { return try mendUnlessSupervised(files) == .mended }
            if error.code != .busy { Message.warn("VPS \(files.name): runs without a supervisor: \(error.message)") }
        }
        return true
    }

    private enum Finding { case supervised, orphaned, mended, fine }

    private func mendUnlessSupervised(_ files: VPSFiles) throws(CtrError) -> Finding {
        // Who makes or removes a VPS holds its state directory's lock, so that nobody else does at the same time.
        let state = try files.ensureStateDirectory()
        guard try acquire(state, files) else { return .supervised }
        defer { withExtendedLifetime(state) {} }
        return try mend(files)
    }

    /// A VPS with a supervisor, which a verb that was killed may have left half stopped or half paused.
    private func mendRunning(_ files: VPSFiles) throws(CtrError) -> Bool {
        guard let place = try files.stateDirectory() else { return false }
        if try dropStaleCheckpoint(files) { return true }
        let isPaused = try files.state()?.status == .paused
        guard isPaused || StopIntent.isStale(place), let lock = try? VerbLock.attempt(files) else { return false }
        defer { withExtendedLifetime(lock) {} }
        return try takeBackHalfDone(files, place)
    }

    /// Of a VPS that runs, which has none: criu was killed when it had been written, before the processes were ended, or the
    /// supervisor of a resume when they had gone on.
    private func dropStaleCheckpoint(_ files: VPSFiles) throws(CtrError) -> Bool {
        guard try files.hasStale(), let lock = try VerbLock.attempt(files) else { return false }
        return try dropStaleCheckpoint(files, lock)
    }

    /// With the VPS's lock held: nobody is writing or reading one.
    @discardableResult
    func dropStaleCheckpoint(_ files: VPSFiles, _ lock: VerbLock) throws(CtrError) -> Bool {
        guard try files.hasStale(), let place = try files.stateDirectory(), let running = try RunningInit.find(files)
        else { return false }
        CheckpointScript.cancel(in: place)
        MemoryCheck.clear(in: place)
        KilledDump.undo(running.state)
        files.dropStale(in: lock.directory)
        return true
    }

    /// With the VPS's lock held: that it is to stop, or stands still, is true no more.
    @discardableResult
    func takeBackHalfDone(_ files: VPSFiles, _ place: SharedFD) throws(CtrError) -> Bool {
        var mended = false
        if StopIntent.isStale(place) {
            try StopIntent.takeBack(place, of: files.name)
            mended = true
        }
        guard let running = try RunningInit.find(files), let record = running.state.cgroup,
            let cgroup = try? Cgroup.open(record), let isFrozen = try? cgroup.isFrozen()
        else { return mended }
        switch (running.state.status, isFrozen) {
        case (.paused, false):
            try files.setStatus(.running)
            mended = true
        case (.paused, true) where running.state.pausedFor == .copy:
            // Whoever copied its disk, and had this lock, was killed.
            try cgroup.thaw()
            try files.setStatus(.running)
            mended = true
        case (.running, true):
            // By the guard of the host's space, while another verb was at work on it.
            try cgroup.thaw()
            mended = true
        default: break
        }
        return mended
    }

    /// Takes the lock unless a living ctr has it. The child of one that was killed holds a copy until the kernel has
    /// ended it too: that is waited for.
    private func acquire(_ state: SharedFD, _ files: VPSFiles) throws(CtrError) -> Bool {
        let half = HalfResumed(files: files)
        for turn in 0..<1250 {
            if turn >= 50, try !half.isLettingGo() { break }
            if try Locks.attempt(state, of: files.name) { return true }
            // What criu has begun to make holds copies too, and does not end by itself.
            if turn == 10 { _ = try half.endIfCutOff() }
            if try files.state()?.hasSupervisor == true { return false }
            CurrentProcess.sleep(milliseconds: 4)
        }
        return false
    }

    private func mend(_ files: VPSFiles) throws(CtrError) -> Finding {
        // Nobody knows it, but it lives: it is neither a leftover nor stopped.
        if try LostVPS.find(files) != nil { return .fine }
        guard let directory = try files.directory(),
            try VPSFiles.read("config.json", in: directory, of: files.name) as VPSConfig? != nil
        else {
            guard try Leftover.isOne(files) else { return .fine }
            try removeAll(files)
            return .mended
        }
        guard try files.state() != nil else {
            try markDisk(files, directory)
            try settleStopped(files)
            return .fine
        }
        try settleResume(files)
        // It may live on without its supervisor.
        if try RunningInit.find(files) != nil { return .orphaned }
        try markDisk(files, directory)
        try settleStopped(files)
        return .mended
    }

    /// A resume whose supervisor was killed: its processes go on if its checkpoint has been used, and else they are none.
    private func settleResume(_ files: VPSFiles) throws(CtrError) {
        guard let state = try files.state(), state.status == .resuming, let place = try files.stateDirectory() else {
            return
        }
        CheckpointScript.cancel(in: place)
        if try files.hasCheckpoint() { return HalfResumed(files: files).end() }
        guard state.pid > 0 else { return }
        do throws(CtrError) { try host.openPorts(state.config, pid: state.pid, ifClosed: true) } catch {
            Message.warn(
                "VPS \(files.name): it went on after a resume, and its network could not be opened: \(error.message)")
        }
        try files.setStatus(.running)
    }

    /// Of one that is suspended, whose resume was killed when it had touched the disk: before it is forgotten that there was
    /// one. What has changed by now was ctr's doing.
    private func markDisk(_ files: VPSFiles, _ directory: SharedFD) throws(CtrError) {
        guard try files.hasCheckpoint(), !DiskMark.isThere(in: directory),
            try files.keptConfig(in: directory)?.hasUnfinishedDiskWork == false
        else { return }
        try endProcesses(files)
        Resuming.markDisk(files, in: directory)
    }

    /// A kept VPS that has ended gives back what only a running one has.
    func settleStopped(_ files: VPSFiles, cgroup: Cgroup? = nil) throws(CtrError) {
        try endProcesses(files, cgroup)
        try host.network().detach(files.name) {
            Message.warn("VPS \(files.name): what went over its network lately is not in its totals: \($0.message)")
        }
        let (states, name) = (files.states, files.name)
        try describing("state of VPS \(name)") { () throws(SysError) in try states.fd.removeTree(name) }
    }

    /// Removes a VPS and all that it has on the host. Nothing there is no error.
    /// - Parameter range: its ids, where the caller knows them; they are looked up otherwise.
    func removeAll(_ files: VPSFiles, range: IDRange? = nil, cgroup: Cgroup? = nil) throws(CtrError) {
        let name = files.name
        try endProcesses(files, cgroup)
        let (all, states) = (files.all, files.states)
        try describing("files of VPS \(name)") { () throws(SysError) in
            // First: from here on it is a leftover, not a VPS whose disk has half gone.
            try Leftover.markAndEmpty(name, in: all)
            try all.fd.removeTree(name)
        }
        let pool = try Settings.load().makeIDPool()
        let owned: IDRange?
        if let range { owned = range } else { owned = try pool.lookup(files.path) }
        if let owned { try pool.release(owned, files.path) }
        try host.network().release(name)
        try describing("state of VPS \(name)") { () throws(SysError) in try states.fd.removeTree(name) }
    }

    /// - Parameter known: the cgroup of a VPS that has ended; without it every place where one may be is looked at.
    private func endProcesses(_ files: VPSFiles, _ known: Cgroup? = nil) throws(CtrError) {
        if let known { return try known.remove() }
        let path = host.cgroupPath(of: files.name)
        let cgroup = try Cgroup.openWhatIsThere(.everywhere(host: .detect(), path: path))
        try cgroup.kill()
        try cgroup.remove()
    }
}
