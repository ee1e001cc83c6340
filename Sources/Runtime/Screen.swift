internal import Kernel
public import Model

/// The caller's whole terminal, for a program that draws on it and is driven by keys. From ``open()`` to ``close()`` the
/// terminal is raw and shows its alternate screen; afterwards, and whenever this process ends or stands still by a
/// signal, it is as it was.
public final class Screen {
    public enum Event: Equatable, Sendable {
        case key(UInt8)
        /// The time is over.
        case timeout
        /// Draw anew: the window has another size, or the program was stopped and goes on.
        case redraw
        /// The terminal has hung up.
        case closed
        /// This signal is to end the program, see ``die(by:)``.
        case signal(Int32)
    }

    private let output: SharedFD
    /// nil where there are no keys: standard input is no terminal.
    private let input: SharedFD?
    private let signals: SignalQueue
    private var isOpen = false
    private var before: TerminalSettings?
    private var keys: ArraySlice<UInt8> = []

    /// The alternate screen, without a cursor.
    private static let enter = "\u{1b}[?1049h\u{1b}[?25l"
    private static let leave = "\u{1b}[?25h\u{1b}[?1049l"
    private static let escape: UInt8 = 0x1b

    /// Blocks the signals that would end or stop this process, which from now on are events.
    /// - Throws: `io`.
    public init() throws(CtrError) {
        do throws(SysError) {
            output = SharedFD(try FD.standard(1))
            let standard = SharedFD(try FD.standard(0))
            input = standard.fd.isTerminal ? standard : nil
            signals = try SignalQueue([
                Signal.interrupt, Signal.terminate, Signal.hangup, Signal.quit, Signal.windowChange,
                Signal.terminalStop,
            ])
        } catch { throw CtrError(.io, "terminal", cause: error) }
    }

    deinit { close() }

    /// Takes the terminal.
    public func open() throws(CtrError) {
        do throws(SysError) {
            isOpen = true
            if let input {
                before = try input.fd.terminalSettings()
                try input.fd.makeRaw()
            }
            try output.fd.writeAll(Array(Screen.enter.utf8))
        } catch {
            close()
            throw CtrError(.io, "terminal", cause: error)
        }
    }

    /// Gives the terminal back. Again it does nothing.
    public func close() {
        guard isOpen else { return }
        isOpen = false
        // A terminal that has hung up can't be restored, and need not be.
        try? output.fd.writeAll(Array(Screen.leave.utf8))
        if let before { try? input?.fd.setTerminalSettings(before) }
        before = nil
    }

    /// The window's size in characters; 24 lines of 80 where the terminal does not know it.
    public var size: (rows: Int, columns: Int) {
        guard let size = try? output.fd.windowSize(), size.rows > 0, size.columns > 0 else { return (24, 80) }
        return (Int(size.rows), Int(size.columns))
    }

    /// Shows these lines, and nothing else. They are to fit into ``size`` and to hold no control characters.
    /// - Parameter inverse: the line that is shown in inverse video.
    public func draw(_ lines: [String], inverse: Int? = nil) throws(CtrError) {
        // One write, and no clearing before it: nothing flickers.
        var text = "\u{1b}[H"
        for (index, line) in lines.enumerated() {
            // Before the line: after one that fills the window, its last character would be erased.
            text += "\u{1b}[K"
            text += index == inverse ? "\u{1b}[7m\(line)\u{1b}[0m" : line
            if index < lines.count - 1 { text += "\r\n" }
        }
        // Below the last line; where that is the window's last one, nothing is below.
        if lines.count < size.rows { text += "\r\n\u{1b}[J" }
        do throws(SysError) { try output.fd.writeAll(Array(text.utf8)) } catch {
            throw CtrError(.io, "terminal", cause: error)
        }
    }

    /// Waits for what comes next, at most until the deadline.
    /// - Parameter deadline: on the clock of ``now()``.
    public func next(until deadline: UInt64) throws(CtrError) -> Event {
        do throws(SysError) {
            while true {
                if let key = keys.popFirst() { return .key(key) }
                let now = Screen.now()
                let left = deadline > now ? Int32(clamping: (deadline - now + 999_999) / 1_000_000) : 0
                var poll = Poll()
                poll.add(signals.fd, .readable)
                if let input { poll.add(input.fd, .readable) }
                let ready = try poll.wait(milliseconds: left)
                if let signal = try signals.next() { return try take(signal) }
                if ready.count > 1, !ready[1].isEmpty {
                    if try !readKeys() { return .closed }
                } else if left == 0 {
                    return .timeout
                }
            }
        } catch { throw CtrError(.io, "terminal", cause: error) }
    }

    /// Nanoseconds on a clock that never jumps.
    public static func now() -> UInt64 { Timestamp.monotonic() }

    /// Gives the terminal back and ends this process as the signal would have.
    public func die(by signal: Int32) -> Never {
        close()
        CurrentProcess.dieBySignal(signal)
    }

    // MARK: -

    private func take(_ signal: Int32) throws(SysError) -> Event {
        if signal == Signal.windowChange { return .redraw }
        guard signal == Signal.terminalStop else { return .signal(signal) }
        close()
        try ProcessHandle(pid: CurrentProcess.pid).signal(Signal.stop)
        // Here it goes on.
        do throws(CtrError) { try open() } catch { return .closed }
        return .redraw
    }

    /// False where the terminal has hung up.
    private func readKeys() throws(SysError) -> Bool {
        guard let input else { return true }
        do throws(SysError) {
            let bytes = try input.fd.read(upTo: 256)
            // Arrows and the like, which mean nothing here, begin so; their letters are no keys.
            if bytes.first != Screen.escape { keys += bytes }
            return !bytes.isEmpty
        } catch {
            if error.errno == Errno.again { return true }
            if error.errno == Errno.io { return false }
            throw error
        }
    }
}
