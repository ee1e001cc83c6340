internal import Kernel

/// What a try found out.
enum Finding: Equatable, Sendable {
    /// It works; perhaps with a detail.
    case yes(String? = nil)
    case partly(String)
    case no(String)

    /// As a message from a child: a word, NUL, a text.
    var bytes: [UInt8] {
        let (word, text) =
            switch self {
            case .yes(let detail): ("yes", detail ?? "")
            case .partly(let reason): ("partly", reason)
            case .no(let reason): ("no", reason)
            }
        return Array("\(word)\0\(text)".utf8.prefix(Finding.longest))
    }

    init?(bytes: [UInt8]) {
        guard let end = bytes.firstIndex(of: 0) else { return nil }
        let text = String(decoding: bytes[(end + 1)...], as: UTF8.self)
        switch String(decoding: bytes[..<end], as: UTF8.self) {
        case "yes": self = .yes(text.isEmpty ? nil : text)
        case "partly": self = .partly(text)
        case "no": self = .no(text)
        default: return nil
        }
    }

    /// Bytes of a message that `FD.receive` takes.
    private static let longest = 4096
}

/// One try, made in a child process, whose namespaces, mounts and privileges end with it. A try that hangs, on a dead
/// network disk for example, is given up.
struct Probe {
    var namespaces: NamespaceFlags = []
    /// Ids of its user namespace; it becomes the root of that namespace. Empty: it keeps the ids that it has.
    var maps: [IDMap] = []
    /// A cgroup v2 directory to be born in.
    var cgroup: SharedFD?

    /// Milliseconds until a child is given up.
    static let patience: Int32 = 10_000
    static let needsRoot = "not tried: it takes root"

    /// Runs `body` in the child; what it throws is a `no` with the call and the kernel's reason.
    func run(_ body: () throws(SysError) -> Finding) -> Finding {
        if CurrentProcess.effectiveUser != 0 { return .no(Probe.needsRoot) }
        do throws(SysError) { return try attempt(body) } catch { return .no("\(error)") }
    }

    /// As ``run(_:)`` in a private mount namespace, from which nothing propagates.
    static func mounting(
        _ namespaces: NamespaceFlags = [], maps: [IDMap] = [], _ body: () throws(SysError) -> Finding
    ) -> Finding {
        Probe(namespaces: namespaces.union(.mount), maps: maps).run { () throws(SysError) in
            try makeMountsPrivate()
            return try body()
        }
    }

    private func attempt(_ body: () throws(SysError) -> Finding) throws(SysError) -> Finding {
        let channel = Ends(try SocketPair())
        let result = try clone(namespaces, intoCgroup: cgroup)
        switch consume result {
        case .child:
            channel.parent = nil
            runChild(channel.child!, body)
        case .parent(let handle):
            channel.child = nil
            defer { handle.endAndReap(milliseconds: Probe.patience) }
            if !maps.isEmpty { try writeIDMaps(of: handle.pid, maps) }
            let mine = channel.parent!
            // A child that ended early can't be told; what it said, if anything, is still to be read.
            try? mine.fd.send([1])
            guard try mine.fd.waitReadable(milliseconds: Probe.patience) else {
                return .no("no answer within \(Probe.patience / 1000) seconds")
            }
            return Finding(bytes: try mine.fd.receive().bytes) ?? .no("its process was killed")
        }
    }

    private func runChild(_ channel: SharedFD, _ body: () throws(SysError) -> Finding) -> Never {
        var finding: Finding
        do throws(SysError) {
            try CurrentProcess.setParentDeathSignal(Signal.kill)
            // Nothing comes when the parent is gone.
            if try channel.fd.receive().bytes.isEmpty { CurrentProcess.exitNow(1) }
            if !maps.isEmpty {
                try Identity.become(user: 0, group: 0, groups: [])
                // Changing ids cleared it.
                try CurrentProcess.setParentDeathSignal(Signal.kill)
            }
            finding = try body()
        } catch { finding = .no("\(error)") }
        try? channel.fd.send(finding.bytes)
        CurrentProcess.exitNow(0)
    }

    /// Runs `body` in a child of the try's own child; its exit status comes back: 0, or the errno of what it threw.
    static func grandchild(
        _ namespaces: NamespaceFlags, _ body: () throws(SysError) -> Void
    ) throws(SysError) {
        let result = try clone(namespaces)
        switch consume result {
        case .child:
            do throws(SysError) { try body() } catch { CurrentProcess.exitNow(error.errno) }
            CurrentProcess.exitNow(0)
        case .parent(let handle):
            switch try handle.wait() {
            case .exited(0): return
            case .exited(let errno): throw SysError("clone3", errno, "in a namespace of its own")
            case .signaled: throw SysError("clone3", Errno.interrupted, "in a namespace of its own")
            }
        }
    }
}

/// Something made for the tries that outlives a single one, and the process that sees to its end: it removes the thing
/// when this process is done with it or is gone, however it went.
final class Keeper {
    /// What `make` returned.
    let product: String
    private var channel: SharedFD?
    private let process: ProcessHandle

    /// - Parameters:
    ///   - make: makes the thing, in the keeper's process.
    ///   - remove: removes it there.
    /// - Throws: what `make` threw, ETIMEDOUT where it takes too long.
    init(make: () throws(SysError) -> String, remove: (String) -> Void) throws(SysError) {
        let ends = Ends(try SocketPair())
        let result = try clone([])
        switch consume result {
        case .child:
            ends.parent = nil
            Keeper.runChild(ends.child!, make, remove)
        case .parent(let handle):
            ends.child = nil
            let mine = ends.parent!
            process = handle
            channel = mine
            guard try mine.fd.waitReadable(milliseconds: Probe.patience) else {
                throw SysError("wait", Errno.again, "no answer within \(Probe.patience / 1000) seconds")
            }
            let fields = try mine.fd.receive().bytes.split(separator: 0, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
            if fields.count == 2, fields[0] == "made" {
                product = fields[1]
            } else if fields.count == 3, let errno = Int32(fields[1]) {
                throw SysError(fields[0], errno, fields[2].isEmpty ? nil : fields[2])
            } else {
                throw SysError("wait", Errno.noChild, "its process was killed")
            }
        }
    }

    private static func runChild(
        _ channel: SharedFD, _ make: () throws(SysError) -> String, _ remove: (String) -> Void
    ) -> Never {
        do throws(SysError) {
            // Out of the terminal's and the shell's reach: signals for ctr's process group don't end it.
            try CurrentProcess.startSession()
            try CurrentProcess.pointStandardStreamsAtNull()
            let product = try make()
            try? channel.fd.send(Array("made\0\(product)".utf8))
            _ = try? channel.fd.receive()
            remove(product)
        } catch {
            try? channel.fd.send(Array("\(error.call)\0\(error.errno)\0\(error.path ?? "")".utf8))
        }
        CurrentProcess.exitNow(0)
    }

    deinit {
        // A word, not only the end of the channel: a later keeper has a copy of our end.
        try? channel?.fd.send([1])
        channel = nil
        // One that hangs goes on with its work when it can.
        if (try? process.pidfd.waitReadable(milliseconds: Probe.patience)) == true { _ = try? process.wait() }
    }
}

/// The two ends of a socket between parent and child; each process lets go of the other's.
private final class Ends {
    var parent: SharedFD?
    var child: SharedFD?
    init(_ pair: consuming SocketPair) { (parent, child) = pair.split() }
}

extension FD {
    /// Whether there is something to read, or the other end is closed, before the time is over.
    fileprivate borrowing func waitReadable(milliseconds: Int32) throws(SysError) -> Bool {
        var poll = Poll()
        poll.add(self, .readable)
        return try poll.wait(milliseconds: milliseconds)[0].isEmpty == false
    }
}

extension ProcessHandle {
    /// Kills and reaps. A process that the kernel can't end now is left to whoever adopts it.
    fileprivate borrowing func endAndReap(milliseconds: Int32) {
        try? signal(Signal.kill)
        if (try? pidfd.waitReadable(milliseconds: milliseconds)) == true { _ = try? wait() }
    }
}
