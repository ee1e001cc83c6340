internal import FoundationEssentials
internal import Kernel
public import Model

/// `ctr events`: what the event log has, and with `follow` what is added to it.
public struct Events: Sendable {
    /// Only those of these VPSs; empty: of all.
    public var names: [String]
    /// Only those since then, in milliseconds since 1970.
    public var since: Int64?
    /// Goes on until nobody reads standard output any more.
    public var follow: Bool

    public init(names: [String], since: Int64?, follow: Bool) {
        self.names = names
        self.since = since
        self.follow = follow
    }

    /// Milliseconds since 1970, for ``since``.
    public static var now: Int64 {
        let now = FileTime.now
        return now.seconds * 1000 + Int64(now.nanoseconds / 1_000_000)
    }

    /// - Parameter output: gets the events, the oldest first. What is no event in the log is passed over.
    public func run(on host: Host, output: (EventRecord) throws(CtrError) -> Void) throws(CtrError) {
        for name in names { try Name.validate(name, kind: "VPS") }
        let directory = try Host.ensure("\(host.root)/\(EventLog.directory)")
        var reader = EventReader(directory: SharedFD(directory))
        // Before the first look, so that nothing comes unseen between the two.
        let watch = follow ? try EventWatch(reader.directory) : nil
        try reader.start()
        while true {
            for line in try reader.lines() { if let event = chosen(line) { try output(event) } }
            guard let watch, try watch.waitForChange() else { return }
        }
    }

    /// The event of a line, if it is one that was asked for.
    private func chosen(_ line: ArraySlice<UInt8>) -> EventRecord? {
        guard let event = try? JSONDecoder().decode(EventRecord.self, from: Data(line)) else { return nil }
        if let since {
            guard let time = TimeText.milliseconds(rfc3339: event.time), time >= since else { return nil }
        }
        if names.isEmpty || names.contains(event.vps) { return event }
        // The new name of a rename is the VPS's too.
        if case .text(let name)? = event.detail["to"], names.contains(name) { return event }
        return nil
    }
}

/// Reads the log's lines across its rotation.
private struct EventReader {
    let directory: SharedFD
    /// The rotated file at the beginning, then the current one.
    private var current: SharedFD?
    /// The beginning of a line whose end is not written yet.
    private var rest: [UInt8] = []
    private var ready: [ArraySlice<UInt8>] = []

    /// No line of ours is as long; what is gets lost.
    private static let longest = 64 << 10

    init(directory: SharedFD) { self.directory = directory }

    mutating func start() throws(CtrError) {
        try describing("event log") { () throws(SysError) in
            // The current one first: if it is rotated meanwhile, it is read as the current one, and not twice.
            current = try open(EventLog.file)
            if let old = try open(EventLog.oldFile), try inode(old) != inode(current) { try drain(old) }
            rest = []
        }
    }

    /// The lines that were added since the last call.
    mutating func lines() throws(CtrError) -> [ArraySlice<UInt8>] {
        try describing("event log") { () throws(SysError) in
            if let current { try drain(current) }
            try followRotation()
        }
        defer { ready = [] }
        return ready
    }

    /// Goes on to the file that has taken the place of the current one, over one that was current in between.
    private mutating func followRotation() throws(SysError) {
        guard let next = try open(EventLog.file), try inode(next) != inode(current) else { return }
        if let current {
            // What was added between the last look and its end.
            try drain(current)
            if let between = try open(EventLog.oldFile), try inode(between) != inode(current) {
                rest = []
                try drain(between)
            }
        }
        rest = []
        current = next
        try drain(next)
    }

    private func inode(_ file: SharedFD?) throws(SysError) -> UInt64? { try file?.fd.status().inode }

    private func open(_ name: String) throws(SysError) -> SharedFD? {
        do throws(SysError) {
            return SharedFD(
                try directory.fd.open(name, [.readOnly, .noFollow, .nonBlocking, .noControllingTerminal]))
        } catch {
            if error.errno == Errno.noEntry { return nil }
            throw error
        }
    }

    private mutating func drain(_ file: SharedFD) throws(SysError) {
        while true {
            let bytes = try file.fd.read(upTo: 65536)
            if bytes.isEmpty { return }
            rest += bytes
            guard let end = rest.lastIndex(of: 10) else {
                if rest.count > EventReader.longest { rest = [] }
                continue
            }
            ready += rest[..<end].split(separator: 10).filter { $0.count <= EventReader.longest }
            rest = Array(rest[(end + 1)...])
        }
    }
}

/// Waits for a change of the log: by inotify(7), or by looking five times a second where its instances are used up.
private struct EventWatch {
    private let inotify: Inotify?
    private let output: SharedFD

    init(_ directory: SharedFD) throws(CtrError) {
        output = try describing("standard output") { () throws(SysError) in SharedFD(try FD.standard(1)) }
        let watch = try? Inotify()
        do throws(SysError) {
            try watch?.watch(directory: directory.fd.procPath)
            inotify = watch
        } catch { inotify = nil }
    }

    /// False when nobody reads standard output any more.
    func waitForChange() throws(CtrError) -> Bool {
        try describing("wait for events") { () throws(SysError) in
            var poll = Poll()
            // Errors and hang-ups are told unasked.
            poll.add(output.fd, [])
            if let inotify { poll.add(inotify.fd, .readable) }
            let ready = try poll.wait(milliseconds: inotify == nil ? 200 : nil)
            try inotify?.drain()
            return ready[0].isDisjoint(with: [.failed, .hangup])
        }
    }
}
