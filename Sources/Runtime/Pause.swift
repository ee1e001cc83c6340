internal import Cgroups
internal import Kernel
public import Model

/// `ctr pause` and `ctr unpause`: every process of a VPS stands still until it may go on.
public struct Pause: Sendable {
    public var name: String

    public init(name: String) { self.name = name }

    /// - Returns: false if it stands still already.
    /// - Throws: `busy` where a process can't be frozen in time; nothing is frozen then.
    public func pause(on host: Host) throws(CtrError) -> Bool {
        try change(on: host) { (cgroup, state, write) throws(CtrError) in
            if state.status == .paused {
                // Then it is the operator's word that it waits for.
                if state.pausedFor != nil { try write(.paused) }
                return false
            }
            // Written before: a crash leaves a VPS that is said to stand still and does not, which the next verb mends.
            try write(.paused)
            do throws(CtrError) { try cgroup.freeze() } catch {
                try write(.running)
                throw error
            }
            EventLog(host).append(.paused, vps: name)
            return true
        }
    }

    /// - Returns: false if it does not stand still.
    public func unpause(on host: Host) throws(CtrError) -> Bool {
        try change(on: host) { (cgroup, state, write) throws(CtrError) in
            if state.status != .paused { return false }
            try cgroup.thaw()
            try write(.running)
            EventLog(host).append(.unpaused, vps: name)
            return true
        }
    }

    /// For `stop`, with the VPS's lock held: a paused VPS goes on, to halt in order.
    func thaw(_ running: borrowing RunningInit, _ files: VPSFiles) throws(CtrError) {
        try Ending(files: files).thaw(running)
        guard try files.state() != nil else { return }
        try files.setStatus(.running)
    }

    private func change(
        on host: Host,
        _ body: (Cgroup, VPSState, (VPSStatus) throws(CtrError) -> Void) throws(CtrError) -> Bool
    ) throws(CtrError) -> Bool {
        let files = try VPSFiles(name, host: host)
        guard try files.config() != nil else { throw VPSFiles.unknown(name) }
        let lock = try VerbLock.take(files)
        defer { withExtendedLifetime(lock) {} }
        let target = try RunningTarget.find(name, on: host)
        guard let place = try files.stateDirectory() else { throw VPSFiles.unknown(name) }
        try Recovery(host: host).takeBackHalfDone(files, place)
        guard let state = try files.state(), let cgroup = state.cgroup else {
            throw CtrError(.failed, "VPS \(name): has just ended")
        }
        try target.adoptIfOrphaned()
        return try body(Cgroup.open(cgroup), state) { (status) throws(CtrError) in
            try files.setStatus(status)
        }
    }
}

extension VPSFiles {
    /// Notes another status of a VPS that runs; the caller holds its lock.
    func setStatus(_ status: VPSStatus, for reason: VPSState.PauseReason? = nil) throws(CtrError) {
        guard let place = try stateDirectory(), var state = try state() else {
            throw CtrError(.failed, "VPS \(name): has just ended")
        }
        state.status = status
        state.pausedFor = reason
        try VPSFiles.write(state, "state.json", in: place, of: name, durable: false)
    }
}
