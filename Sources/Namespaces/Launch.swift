public import Kernel
public import Model

/// How a process joins the VPS's cgroup: born into the v2 directory, and writing "0" to the `tasks` file of each v1
/// hierarchy (which, unlike a pid, needs no RCU grace period).
public struct CgroupJoin: Sendable {
    public var cloneInto: SharedFD?
    public var joinFiles: [SharedFD]
    public init(cloneInto: SharedFD? = nil, joinFiles: [SharedFD] = []) {
        self.cloneInto = cloneInto
        self.joinFiles = joinFiles
    }
}

/// Standard input, output and error of a process that enters a VPS.
public struct Streams: Sendable {
    /// Three descriptors; empty: those of ctr itself.
    public var descriptors: [SharedFD]
    public init(_ descriptors: [SharedFD] = []) { self.descriptors = descriptors }

    /// In the child: starts a session, with `terminal` (a pseudoterminal's master) or the given streams as 0, 1, 2.
    func take(terminal master: SharedFD?) throws(SysError) {
        try CurrentProcess.startSession()
        if let master {
            let terminal = try master.fd.openTerminalPeer()
            for number in Int32(0)...2 { try terminal.become(number) }
            try terminal.makeControllingTerminal()
        } else {
            for (number, stream) in descriptors.enumerated() { try stream.fd.become(Int32(number)) }
        }
    }
}

/// A VPS about to start: everything is computed, nothing is made.
public struct Launch: Sendable {
    public var spec: Spec
    public var entry: Entry
    /// `USER[:GROUP]` to be looked up in the VPS's own passwd and group; nil: `entry.user` stands.
    public var userName: String?
    public var cgroup: CgroupJoin
    public var streams: Streams
    /// What the VPS sees in place of the kernel's own files; nil for none.
    public var views: SystemViews?
    /// A detached mount with `upper` and `work`, in place of the directory that `spec.root.disk` names.
    public var disk: SharedFD?
    /// Layers go to overlayfs by path, as Linux before 6.13 wants it, also where it takes descriptors. For tests.
    package var layersByPath = false

    public init(spec: Spec, entry: Entry, cgroup: CgroupJoin = CgroupJoin(), streams: Streams = Streams()) {
        self.spec = spec
        self.entry = entry
        self.cgroup = cgroup
        self.streams = streams
    }

    /// Makes the VPS's namespaces, root and first process, up to the point where only the program's exec is left.
    ///
    /// The caller must be root and have one thread. Its mount namespace, working directory and ids are the same
    /// afterwards. Whatever fails, no process stays.
    /// - Throws: ``CtrError`` naming the step.
    public func start() throws(CtrError) -> StartedProcess {
        try requireOneThread()
        var launch = self
        let userns = try spec.makeMappingNamespace()
        let place = try HostPlace.leave()
        let root: RootBuilder.Built
        let channel: ChannelEnds
        let result: CloneResult
        var clocks = HostClocks()
        do throws(CtrError) {
            root = try RootBuilder(
                spec: launch.spec, userns: userns, layersByPath: layersByPath, disk: disk
            ).build()
            try launch.resolveUser(in: root.root)
            if root.host.notify != nil { launch.entry.env.append("NOTIFY_SOCKET=\(HostDirectory.socketPath)") }
            try clocks.unshare(for: spec.linux)
            channel = try ChannelEnds()
            // The cgroup namespace comes when the child has joined its cgroups: its root is where the caller is then.
            let flags = spec.linux.namespaces.subtracting([.cgroup, .time])
            let cgroup = launch.cgroup.cloneInto
            result = try describing("namespaces", code: .failed, step: "clone") { () throws(SysError) in
                try clone(flags, intoCgroup: cgroup)
            }
        } catch {
            clocks.comeBackAfterFailure()
            place.comeBackAfterFailure()
            throw error
        }
        switch consume result {
        case .child:
            channel.parent = nil
            GuestSetup(launch: launch, channel: channel.child!, terminal: root.terminal).run()
        case .parent(let handle):
            channel.child = nil
            let process = StartedProcess(
                handle: handle, channel: channel.parent!, terminal: root.terminal, host: root.host)
            try clocks.comeBack()
            try place.comeBack()
            try process.release(maps: spec.linux.idMappings, process: spec.process)
            return process
        }
    }

    private mutating func resolveUser(in root: SharedFD) throws(CtrError) {
        guard let userName else { return }
        try entry.setUser(userName, root: root)
    }
}

extension Spec {
    /// A user namespace to map mounts by; nil for the host's ids.
    func makeMappingNamespace() throws(CtrError) -> SharedFD? {
        let maps = linux.idMappings
        if maps.isEmpty { return nil }
        if !maps.contains(where: { $0.container == 0 && $0.size > 0 }) {
            throw CtrError(
                .config, "user namespace: id 0 of the VPS is not mapped (its root owns what a start makes)",
                step: "map ids")
        }
        return try describing("user namespace", code: .failed, step: "map ids") { () throws(SysError) in
            SharedFD(try makeUserNamespace(maps))
        }
    }
}

/// The time namespace of ctr while its next child is to be born into another one: see time_namespaces(7).
private struct HostClocks: ~Copyable {
    private var namespace: SharedFD?

    /// Children are born into the time namespace that their parent has unshared, so its clocks can be set before.
    mutating func unshare(for linux: LinuxSpec) throws(CtrError) {
        guard linux.namespaces.contains(.time) || linux.timeOffsets != nil else { return }
        let offsets = linux.timeOffsets ?? TimeOffsets(monotonic: 0, boottime: 0)
        namespace = try describing("time namespace", code: .failed, step: "set clocks") { () throws(SysError) in
            SharedFD(try open("/proc/self/ns/time", .readOnly))
        }
        try describing("time namespace", code: .failed, step: "set clocks") { () throws(SysError) in
            try Kernel.unshare(.time)
            let text = "monotonic \(Nanoseconds(offsets.monotonic))\nboottime \(Nanoseconds(offsets.boottime))\n"
            try open("/proc/self/timens_offsets", .writeOnly).writeAll(Array(text.utf8))
        }
    }

    /// Later children, and this process itself when it executes another program, have the host's clocks again.
    borrowing func comeBack() throws(CtrError) {
        guard let namespace else { return }
        try describing("return to the host's clocks", code: .failed) { () throws(SysError) in
            try namespace.fd.join(.time)
        }
    }

    /// After a failure that is reported itself.
    borrowing func comeBackAfterFailure() { try? comeBack() }
}

/// Seconds and nanoseconds as /proc/PID/timens_offsets wants them, the nanoseconds never negative.
private struct Nanoseconds: CustomStringConvertible {
    let description: String
    init(_ value: Int64) {
        let billion: Int64 = 1_000_000_000
        let rest = ((value % billion) + billion) % billion
        description = "\((value - rest) / billion) \(rest)"
    }
}

/// Clone with namespaces fails or misleads in a process with threads, so it is refused there.
func requireOneThread() throws(CtrError) {
    let count = try describing("threads of this process") { () throws(SysError) in
        try CurrentProcess.threadCount()
    }
    if count != 1 {
        throw CtrError(
            .failed, "start: this process has \(count) threads (a VPS can only be started from one with one)")
    }
}

/// The two ends of the socket between parent and child; each process lets go of the other's.
final class ChannelEnds {
    var parent: SharedFD?
    var child: SharedFD?

    init() throws(CtrError) {
        let pair = try describing("socket pair", step: "start") { () throws(SysError) in try SocketPair() }
        (parent, child) = pair.split()
    }
}

/// Where ctr was before it went into a private mount namespace to build a root.
struct HostPlace: ~Copyable {
    private let namespace: FD
    private let directory: FD

    /// Enters a private copy of the mount namespace, from which nothing propagates back.
    static func leave() throws(CtrError) -> HostPlace {
        try describing("private mount namespace", code: .failed, step: "start") { () throws(SysError) in
            let place = HostPlace(
                namespace: try open("/proc/self/ns/mnt", .readOnly), directory: try open(".", [.path, .directory]))
            try unshare(.mount)
            do throws(SysError) { try makeMountsPrivate() } catch {
                try place.namespace.join(.mount)
                try place.directory.makeWorkingDirectory()
                throw error
            }
            return place
        }
    }

    borrowing func comeBack() throws(CtrError) {
        do throws(SysError) {
            try namespace.join(.mount)
            try directory.makeWorkingDirectory()
        } catch { throw CtrError(.failed, "return to the host's mount namespace", cause: error) }
    }

    /// After a failure that is reported itself.
    borrowing func comeBackAfterFailure() {
        try? comeBack()
    }
}
