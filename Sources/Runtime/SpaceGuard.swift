internal import Cgroups
internal import Kernel
internal import Model

/// The hidden verb `guard`: keeps the file systems in disk images from errors when the host's disk runs full.
///
/// An image that is promised more than it has takes its blocks from the host as its VPS writes; where there are none left
/// its file system fails, and data with it. So when less than the reserve is free, whoever writes is made to stand
/// still (cgroup freezer), with the rest of the reserve for what is on its way to the disk; it goes on when there is space
/// again. Under half of the reserve every VPS of this root stands still, those on plain directories too.
///
/// One process for each pair of root and state directory, started by the first VPS with an image and gone with the last:
/// no other part of ctr depends on it, and the next `start`, `storage` or `host recover` brings one back that was killed.
/// It sleeps for as long as the disk can't be filled down to the reserve, ten seconds at most. What is in the host's
/// memory, yet to be written, counts as taken: it takes its blocks from the host whoever stands still.
public final class SpaceGuard {
    /// Milliseconds between two looks.
    private static let pauses: ClosedRange<Int64> = 2...10_000
    /// The same while some stand still.
    private static let heldPause: Int64 = 20
    /// Whoever has as many bytes in memory that wait to be written is one who writes.
    private static let mayWait: Int64 = 1 << 20

    private let host: Host
    private let states: SharedFD
    private let all: SharedFD
    private let changes: Inotify
    /// Bytes that each image took when it was last looked at.
    private var known: [String: Int64] = [:]
    /// Whether some may stand still for want of space, left by one that was killed.
    private var mayHold = true
    /// When they could last be read: after one mistake in them nobody would guard the disk.
    private var settings = Settings()
    private var hasToldOfSettings = false

    private init(_ host: Host) throws(CtrError) {
        self.host = host
        all = SharedFD(try host.vpsDirectory())
        states = SharedFD(try host.stateDirectory())
        let state = host.state
        changes = try describing("watch of \(state)") { () throws(SysError) in
            let changes = try Inotify()
            try changes.watch(directory: state)
            return changes
        }
    }

    // MARK: its life

    /// Starts one where there is work and nobody at it. That this fails hinders no verb.
    static func ensure(on host: Host) {
        do throws(CtrError) {
            let (states, all) = (SharedFD(try host.stateDirectory()), SharedFD(try host.vpsDirectory()))
            guard try !names(states, all).isEmpty, try lock(states) else { return }
            try describing("start it") { () throws(SysError) in
                try states.fd.lock(.unlock, wait: false)
                try ToolProcess(
                    "/proc/self/exe", ["--root", host.root, "--state", host.state, "guard"],
                    environment: Settings.environment, stdin: .null, stdout: .null, stderr: .null
                ).detach()
            }
        } catch {
            Message.warn("nobody guards the host's disk space: \(error.message)")
        }
    }

    /// The one that works holds the lock of the state directory itself.
    /// - Returns: false if another does.
    private static func lock(_ states: SharedFD) throws(CtrError) -> Bool {
        do throws(SysError) { try states.fd.lock(.exclusive, wait: false) } catch {
            if error.errno == Errno.again { return false }
            throw CtrError(.io, "lock of the guard", cause: error)
        }
        return true
    }

    /// The whole of the verb.
    public static func main(on host: Host) -> Int32 {
        do throws(CtrError) {
            try describing("session of the guard") { () throws(SysError) in
                try CurrentProcess.startSession()
                try CurrentProcess.changeDirectory("/")
            }
            let work = try SpaceGuard(host)
            // Who starts a VPS while the lock is held counts on us: the last look comes after it was let go.
            repeat {
                guard try lock(work.states) else { return 0 }
                try work.run()
                try describing("lock of the guard") { () throws(SysError) in
                    try work.states.fd.lock(.unlock, wait: false)
                }
            } while try !work.names().isEmpty
            return 0
        } catch {
            return error.code.exitStatus
        }
    }

    private func run() throws(CtrError) {
        var (names, mayHaveChanged) = ([String](), true)
        while true {
            if mayHaveChanged { names = try self.names() }
            if names.isEmpty { return }
            let pause = try act(names)
            CurrentProcess.releaseFreeMemory()
            let changes = changes
            mayHaveChanged = try describing("wait") { () throws(SysError) in
                var poll = Poll()
                poll.add(changes.fd, .readable)
                if try poll.wait(milliseconds: Int32(pause))[0].isEmpty { return pause > SpaceGuard.heldPause }
                try changes.drain()
                return true
            }
        }
    }

    /// VPSs that run, or are about to, if one of them has an image.
    private func names() throws(CtrError) -> [String] { try SpaceGuard.names(states, all) }

    /// All that may have something to write to an image.
    static func writers(on host: Host) throws(CtrError) -> [SpaceReserve.Unwritten] {
        try names(SharedFD(host.stateDirectory()), SharedFD(host.vpsDirectory())).map { .init($0, host) }
    }

    private static func names(_ states: SharedFD, _ all: SharedFD) throws(CtrError) -> [String] {
        try describing("list of VPSs") { () throws(SysError) in
            let names = try states.fd.entries().filter { $0.type == .directory }.map(\.name.description)
            let hasImage = names.contains { VPSFiles.imageStatus(of: $0, below: all) != nil }
            return hasImage ? names : []
        }
    }

    // MARK: its work

    /// - Returns: milliseconds until the next look.
    private func act(_ names: [String]) throws(CtrError) -> Int64 {
        var space = try space()
        var unwritten: [SpaceReserve.Unwritten] = []
        if space.isLow {
            unwritten = names.map { SpaceReserve.Unwritten($0, host) }
            space = space.refined(by: unwritten)
        }
        if space.isLow {
            mayHold = true
            let grown = grown(names)
            for vps in unwritten
            where space.isUrgent || grown.contains(vps.name) || vps.bytes ?? 0 > SpaceGuard.mayWait {
                attempt(vps.name) { (files) throws(CtrError) in try hold(files, urgent: space.isUrgent) }
            }
            // One that another verb is at work on writes on until then.
            return min(SpaceGuard.heldPause, space.isUrgent ? SpaceGuard.heldPause : Int64(space.pause))
        }
        // Some more than that, or they would stand still again at once.
        if mayHold, space.room >= space.reserve + space.reserve / 4 {
            mayHold = false
            for name in names { attempt(name, letGo) }
        }
        let pause = (space.room - space.reserve) / SpaceReserve.fastest
        // A look at all of them takes longer than there is time when little is left.
        if pause >= SpaceGuard.heldPause { _ = grown(names) }
        return min(max(pause, SpaceGuard.pauses.lowerBound), SpaceGuard.pauses.upperBound)
    }

    private func space() throws(CtrError) -> SpaceReserve {
        do throws(CtrError) {
            settings = try .load()
            hasToldOfSettings = false
        } catch {
            if !hasToldOfSettings {
                EventLog(host).append(.settingsRefused, vps: "*", detail: ["reason": .text(error.message)])
            }
            hasToldOfSettings = true
        }
        return try SpaceReserve.read(all, of: host, settings: settings)
    }

    /// Whose image has taken blocks since the last look.
    private func grown(_ names: [String]) -> [String] {
        var now: [String: Int64] = [:]
        for name in names { now[name] = VPSFiles.imageStatus(of: name, below: all)?.allocated }
        defer { known = now }
        return names.filter { name in now[name].map { $0 > known[name] ?? $0 } ?? false }
    }

    /// One VPS after the other: what can't be done for one now is tried again, and hinders none.
    private func attempt(_ name: String, _ body: (VPSFiles) throws(CtrError) -> Bool) {
        guard let files = try? VPSFiles(name, host: host) else { return }
        if (try? body(files)) != true { mayHold = true }
    }

    /// - Returns: false where another verb is at work on it.
    private func hold(_ files: VPSFiles, urgent: Bool) throws(CtrError) -> Bool {
        guard let lock = try VerbLock.attempt(files) else {
            if urgent { try holdAtWork(files) }
            return false
        }
        defer { withExtendedLifetime(lock) {} }
        guard let running = try RunningInit.find(files), running.state.status == .running,
            let cgroup = running.state.cgroup
        else { return true }
        try files.setStatus(.paused, for: .space)
        do throws(CtrError) { try Cgroup.open(cgroup).beginFreeze() } catch {
            try files.setStatus(.running)
            throw error
        }
        EventLog(host).append(.paused, vps: files.name, detail: ["reason": "space"])
        return true
    }

    /// One that another verb is at work on, for as long as that may take: it stands still and its state does not say so.
    /// Whoever has the lock next mends that, see ``Recovery/takeBackHalfDone(_:_:)``.
    ///
    /// One that is being written down is not held: its processes stand still anyway, and criu would wait for ever for what it
    /// has them do.
    private func holdAtWork(_ files: VPSFiles) throws(CtrError) {
        guard let place = try files.stateDirectory(), let state = try files.state(), state.status == .running,
            let record = state.cgroup, !StopIntent.isRecorded(place),
            !files.isBeingWrittenDown(below: all, place)
        else { return }
        let cgroup = try Cgroup.open(record)
        try cgroup.beginFreeze()
        // `stop` looks at the space itself, and a frozen process of cgroup v1 does not even take SIGKILL.
        if StopIntent.isRecorded(place) || files.isBeingWrittenDown(below: all, place) { try cgroup.thaw() }
    }

    private func letGo(_ files: VPSFiles) throws(CtrError) -> Bool {
        guard let place = try files.stateDirectory(), let state = try files.state(), let record = state.cgroup else {
            return true
        }
        let cgroup = try Cgroup.open(record)
        var isHeldAtWork = try cgroup.isFrozen()
        if isHeldAtWork { isHeldAtWork = try files.state()?.status == .running }
        guard isHeldAtWork || state.pausedFor == .space else { return true }
        guard let lock = try VerbLock.attempt(files) else {
            // The verb at work may wait for the VPS itself: `exec --offline` does.
            if isHeldAtWork { try cgroup.thaw() }
            return isHeldAtWork
        }
        defer { withExtendedLifetime(lock) {} }
        try Recovery(host: host).takeBackHalfDone(files, place)
        guard let running = try RunningInit.find(files), running.state.status == .paused,
            running.state.pausedFor == .space, let cgroup = running.state.cgroup
        else { return true }
        try Cgroup.open(cgroup).thaw()
        try files.setStatus(.running)
        EventLog(host).append(.unpaused, vps: files.name, detail: ["reason": "space"])
        return true
    }
}
