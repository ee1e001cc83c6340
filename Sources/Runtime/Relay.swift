internal import Kernel
internal import Model

/// Moves bytes between a VPS and the outside: a terminal's to the user's, or a pipe's to the log.
final class Relay {
    /// The pseudoterminal's master, or the reading end of the pipe.
    private let source: SharedFD
    private let sink: Sink
    /// The user's terminal or pipe, nil if there is none; and as `input` until it has ended.
    private let user: SharedFD?
    private var input: SharedFD?
    /// Typed, and not yet taken by the VPS.
    private var pending: [UInt8] = []
    private var sourceOpen = true
    private var inputEvents: Int?
    private var before: TerminalSettings?
    let isTerminal: Bool

    enum Sink {
        case file(SharedFD)
        case log(ConsoleLog)
    }

    /// A pseudoterminal of the VPS on ctr's own standard streams.
    init(terminal: SharedFD, input: SharedFD, output: SharedFD) {
        source = terminal
        user = input
        self.input = input
        sink = .file(output)
        isTerminal = true
    }

    /// A terminal of the VPS on ctr's own standard input and output.
    static func user(of terminal: SharedFD) throws(CtrError) -> Relay {
        try describing("terminal") { () throws(SysError) in
            Relay(
                terminal: terminal, input: SharedFD(try FD.standard(0)), output: SharedFD(try FD.standard(1)))
        }
    }

    /// The VPS's output into its log.
    init(output: SharedFD, log: ConsoleLog) {
        source = output
        user = nil
        sink = .log(log)
        isTerminal = false
    }

    /// The user's terminal gets out of the way.
    func begin() throws(SysError) {
        try source.fd.setNonBlocking(true)
        guard let user, user.fd.isTerminal else { return }
        before = try user.fd.terminalSettings()
        try user.fd.makeRaw()
        resize()
    }

    /// The user's terminal is as before, on every way out.
    func end() {
        if let before, let user { try? user.fd.setTerminalSettings(before) }
        before = nil
    }

    /// The VPS's terminal gets the size of the user's.
    func resize() {
        guard let user, let size = try? user.fd.windowSize() else { return }
        try? source.fd.setWindowSize(size)
    }

    func add(to poll: inout Poll) {
        poll.add(source.fd, sourceOpen ? (pending.isEmpty ? .readable : [.readable, .writable]) : [])
        // One chunk at a time: who types faster than the VPS reads waits.
        inputEvents = input != nil && pending.isEmpty ? poll.add(input!.fd, .readable) : nil
    }

    /// - Parameter ready: what ``add(to:)`` asked for, in its order.
    func move(_ ready: [Poll.Events]) throws(SysError) {
        if sourceOpen, !ready[0].isEmpty {
            if ready[0].contains(.writable) { try give() }
            if !ready[0].subtracting(.writable).isEmpty { try take() }
        }
        if inputEvents != nil, !ready[1].isEmpty { try readInput() }
        if !sourceOpen { CurrentProcess.sleep(milliseconds: 5) }
    }

    /// What is still there after the end.
    func drain() throws(SysError) {
        while sourceOpen { if try !take() { return } }
    }

    private func readInput() throws(SysError) {
        do throws(SysError) {
            pending = try input!.fd.read(upTo: 4096)
            if pending.isEmpty { input = nil }
        } catch  where error.errno == Errno.io || error.errno == Errno.again {
            // The user's terminal hung up, or somebody made it non-blocking.
            if error.errno == Errno.io { input = nil }
        }
    }

    private func give() throws(SysError) {
        do throws(SysError) {
            pending.removeFirst(try source.fd.write(pending))
        } catch  where error.errno == Errno.again || error.errno == Errno.io {
            if error.errno == Errno.io { sourceOpen = false }
        }
    }

    /// Moves what is there now; false if nothing was.
    @discardableResult
    private func take() throws(SysError) -> Bool {
        let bytes: [UInt8]
        do throws(SysError) { bytes = try source.fd.read(upTo: 65536) } catch
            where error.errno == Errno.again || error.errno == Errno.io
        {
            // EIO: nobody has the terminal open. For good when the VPS ends, else until somebody opens it.
            if error.errno == Errno.io { CurrentProcess.sleep(milliseconds: 5) }
            return false
        }
        if bytes.isEmpty {
            sourceOpen = false
            return false
        }
        switch sink {
        case .file(let file): try file.fd.writeAll(bytes)
        case .log(let log): try log.append(bytes)
        }
        return true
    }
}

/// What a VPS printed: `log/console.log`, bounded; the part before it is `console.log.1`.
final class ConsoleLog {
    static let name = "console.log"
    private let directory: SharedFD
    private var file: SharedFD
    private var size: Int64
    private let limit: Int64

    /// - Parameter limit: bytes of one of the two files.
    init(in directory: SharedFD, limit: Int64 = 4 << 20) throws(SysError) {
        self.directory = directory
        self.limit = limit
        file = try ConsoleLog.open(in: directory)
        size = try file.fd.status().size
    }

    func append(_ bytes: [UInt8]) throws(SysError) {
        do throws(SysError) {
            if size + Int64(bytes.count) > limit, size > 0 { try rotate() }
            try file.fd.writeAll(bytes)
            size += Int64(bytes.count)
        } catch  where error.errno == Errno.noSpace || error.errno == Errno.quota {
            // A full disk loses output; it must not stop the VPS.
        }
    }

    private func rotate() throws(SysError) {
        try directory.fd.rename(ConsoleLog.name, to: directory.fd, ConsoleLog.name + ".1")
        file = try ConsoleLog.open(in: directory)
        size = 0
    }

    private static func open(in directory: SharedFD) throws(SysError) -> SharedFD {
        SharedFD(try directory.fd.open(name, [.create, .append, .writeOnly, .noFollow], mode: 0o600))
    }
}
