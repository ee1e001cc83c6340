internal import Kernel
internal import Model

/// What a VPS's root says into `/run/host/hibernate`: one line, of one word.
struct AskScanner {
    static let word = Array("hibernate".utf8)
    /// Of the line that has begun, no more than tells whether it is the word.
    private var line: [UInt8] = []
    var kept: Int { line.count }

    /// - Returns: whether a whole line of these bytes and those before is the word.
    mutating func feed(_ bytes: [UInt8]) -> Bool {
        var isAsked = false
        for byte in bytes {
            if byte != UInt8(ascii: "\n") {
                if line.count <= AskScanner.word.count { line.append(byte) }
                continue
            }
            isAsked = isAsked || line == AskScanner.word
            line = []
        }
        return isAsked
    }
}

/// For how long a VPS is not listened to.
struct AskPauses {
    private var backoff = Backoff()

    /// - Parameters:
    ///   - quiet: nanoseconds in which it was listened to and said nothing.
    ///   - work: those for which what it asked for kept the host busy: it gets no more than half of the time.
    /// - Returns: milliseconds.
    mutating func next(quiet: UInt64, work: UInt64) -> Int {
        max(backoff.next(quiet / 1_000_000_000), Int(work / 1_000_000))
    }
}

/// The supervisor's side of a VPS that asks to be hibernated: the work is a process's of its own, one at a time. The guest
/// writes as much and as often as it likes, and gets no more than that; after each answer it is not listened to for a while,
/// up to a minute if it goes on and on.
struct HibernateAsks {
    enum Happened: Equatable {
        case nothing
        case asked
        /// The verb has failed.
        case refused
    }

    /// So much is read in one turn, as much as a fifo holds unless it was made larger.
    static let most = 65536
    /// So much one holds that a guest has enlarged: see /proc/sys/fs/pipe-max-size.
    static let largest = 1 << 20
    private static let piece = 4096

    private var verb: SharedProcess?
    private var rest: Deadline?
    private var pauses = AskPauses()
    /// When it was listened to again, and when something was heard then.
    private var listening = Timestamp.monotonic()
    private var heard = Timestamp.monotonic()
    private var slot: Int?

    /// Milliseconds until it is listened to again; nil: it is, or the verb is at work.
    var pause: Int32? { verb == nil ? rest?.remaining : nil }

    mutating func add(to poll: inout Poll, _ fifo: SharedFD?) {
        slot = nil
        if let verb {
            slot = poll.add(verb.handle.pidfd, .readable)
            return
        }
        if let rest, rest.hasPassed {
            self.rest = nil
            listening = Timestamp.monotonic()
        }
        if rest == nil, let fifo { slot = poll.add(fifo.fd, .readable) }
    }

    mutating func handle(_ ready: [Poll.Events], _ fifo: SharedFD?) -> Happened {
        guard let slot, !ready[slot].isEmpty else { return .nothing }
        if let verb {
            self.verb = nil
            restAWhile()
            // Who has asked meanwhile has got the same answer.
            if let fifo { _ = HibernateAsks.take(fifo) }
            return (try? verb.handle.wait()) == .exited(0) ? .nothing : .refused
        }
        heard = Timestamp.monotonic()
        if let fifo, HibernateAsks.take(fifo) { return .asked }
        restAWhile()
        return .nothing
    }

    /// Reads what is there.
    /// - Returns: whether it is asked for.
    static func take(_ fifo: SharedFD, atMost most: Int = most) -> Bool {
        var scanner = AskScanner()
        var isAsked = false
        for _ in 0..<(most / piece) {
            guard let bytes = try? fifo.fd.read(upTo: piece), !bytes.isEmpty else { break }
            isAsked = scanner.feed(bytes) || isAsked
        }
        return isAsked
    }

    private mutating func restAWhile() {
        rest = Deadline(
            milliseconds: pauses.next(quiet: heard - listening, work: Timestamp.monotonic() - heard))
    }

    /// Starts the verb, which is not this process's to wait for.
    mutating func start(_ state: VPSState, on host: Host) {
        do throws(SysError) {
            let words = [AskedHibernation.verb, state.config.name, "\(state.pid)", "\(state.startTime)"]
            let tool = try ToolProcess(
                "/proc/self/exe", ["--root", host.root, "--state", host.state] + words,
                environment: Settings.environment, stdin: .null, stdout: .null, stderr: .null)
            verb = SharedProcess(try ProcessHandle(pid: tool.pid))
            tool.detach()
        } catch {
            restAWhile()
            HostPath.answer("refused: the host can't do it now (try again)", to: state)
        }
        CurrentProcess.releaseFreeMemory()
    }
}
