internal import Kernel
internal import Model

/// Moves bytes between a VPS's terminal and the user's own, in the foreground.
final class Relay: PollSource {
    /// The pseudoterminal's master.
    private let source: SharedFD
    private let output: SharedFD
    /// The user's terminal or pipe; and as `input` until it has ended.
    private let user: SharedFD
    private var input: SharedFD?
    /// Typed, and not yet taken by the VPS.
    private var pending: [UInt8] = []
    private var sourceOpen = true
    private var sourceEvents = 0
    private var inputEvents: Int?
    private var before: TerminalSettings?

    /// A pseudoterminal of the VPS on ctr's own standard streams.
    private init(terminal: SharedFD, input: SharedFD, output: SharedFD) {
        source = terminal
        user = input
        self.input = input
        self.output = output
    }

    /// A terminal of the VPS on ctr's own standard input and output.
    static func user(of terminal: SharedFD) throws(CtrError) -> Relay {
        try describing("terminal") { () throws(SysError) in
            Relay(
                terminal: terminal, input: SharedFD(try FD.standard(0)), output: SharedFD(try FD.standard(1)))
        }
    }

    /// The user's terminal gets out of the way.
    func begin() throws(SysError) {
        try source.fd.setNonBlocking(true)
        guard user.fd.isTerminal else { return }
        before = try user.fd.terminalSettings()
        try user.fd.makeRaw()
        resize()
    }

    /// The user's terminal is as before, on every way out.
    func end() {
        if let before { try? user.fd.setTerminalSettings(before) }
        before = nil
    }

    /// The VPS's terminal gets the size of the user's.
    func resize() {
        guard let size = try? user.fd.windowSize() else { return }
        try? source.fd.setWindowSize(size)
    }

    func add(to poll: inout Poll) {
        sourceEvents = poll.add(
            source.fd, sourceOpen ? (pending.isEmpty ? .readable : [.readable, .writable]) : [])
        // One chunk at a time: who types faster than the VPS reads waits.
        inputEvents = input != nil && pending.isEmpty ? poll.add(input!.fd, .readable) : nil
    }

    func handle(_ ready: [Poll.Events]) throws(SysError) {
        if sourceOpen, !ready[sourceEvents].isEmpty {
            if ready[sourceEvents].contains(.writable) { try give() }
            if !ready[sourceEvents].subtracting(.writable).isEmpty { try take() }
        }
        if let inputEvents, !ready[inputEvents].isEmpty { try readInput() }
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
        try output.fd.writeAll(bytes)
        return true
    }
}
