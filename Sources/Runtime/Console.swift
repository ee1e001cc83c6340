internal import Kernel
public import Model

/// `ctr console`: the caller's terminal becomes one more of a VPS's console, until `^]` or the end of the VPS.
public struct Console: Sendable {
    public var name: String

    /// Why it came back.
    public enum End: Sendable {
        /// The user left; the VPS runs on.
        case left
        /// The VPS has ended, or nobody keeps its console any more.
        case closed
    }

    /// The key that leaves: `^]`.
    public static let escape: UInt8 = 0x1d

    public init(name: String) { self.name = name }

    /// - Throws: `failed` for one that does not run or has no console.
    public func run(on host: Host) throws(CtrError) -> End {
        let files = try VPSFiles(name, host: host)
        guard try files.config() != nil else { throw VPSFiles.unknown(name) }
        try Recovery(host: host).sweep(name)
        guard let state = try files.stateDirectory(), let status = try files.state() else {
            throw CtrError(.failed, "VPS \(name): not running (ctr start \(name))")
        }
        let socket: SharedFD
        do throws(SysError) { socket = SharedFD(try state.fd.connect(to: ConsoleHub.socketName)) } catch {
            if error.errno == Errno.noEntry || error.errno == Errno.refused {
                throw CtrError(
                    .failed, "VPS \(name): has no console (it runs in the foreground; ctr enter \(name) opens a shell)")
            }
            throw CtrError(.io, "console of VPS \(name)", cause: error)
        }
        if !status.config.terminal { Message.warn("VPS \(name): has no terminal; what is typed goes nowhere") }
        let signals = try Supervisor.queue()
        do throws(SysError) {
            return try ConsoleSession(socket: socket).run(signals)
        } catch {
            throw CtrError(.io, "console of VPS \(name)", cause: error)
        }
    }
}

/// One user at a console.
private final class ConsoleSession {
    private let socket: SharedFD
    private let output: SharedFD
    private var input: SharedFD?
    private let user: SharedFD
    private var before: TerminalSettings?

    init(socket: SharedFD) throws(SysError) {
        self.socket = socket
        user = SharedFD(try FD.standard(0))
        input = user
        output = SharedFD(try FD.standard(1))
    }

    func run(_ signals: consuming SignalQueue) throws(SysError) -> Console.End {
        if user.fd.isTerminal {
            before = try user.fd.terminalSettings()
            try user.fd.makeRaw()
        }
        defer { if let before { try? user.fd.setTerminalSettings(before) } }
        sendSize()
        while true {
            var poll = Poll()
            poll.add(socket.fd, .readable)
            poll.add(signals.fd, .readable)
            if let input { poll.add(input.fd, .readable) }
            let ready = try poll.wait()
            while let signal = try signals.next() {
                if signal == Signal.windowChange { sendSize() } else { return .left }
            }
            if !ready[0].isEmpty, try !printOne() { return .closed }
            if ready.count > 2, !ready[2].isEmpty, try !typeOn() { return .left }
        }
    }

    /// False when the supervisor has gone.
    private func printOne() throws(SysError) -> Bool {
        do throws(SysError) {
            let bytes = try socket.fd.receive().bytes
            if bytes.isEmpty { return false }
            try output.fd.writeAll(bytes)
            return true
        } catch {
            if error.errno == Errno.connectionReset { return false }
            throw error
        }
    }

    /// False when the user leaves. The end of input that is no terminal does not: its answer may still come.
    private func typeOn() throws(SysError) -> Bool {
        guard let bytes = try? user.fd.read(upTo: 1024), !bytes.isEmpty else {
            if user.fd.isTerminal { return false }
            input = nil
            return true
        }
        let part = bytes.prefix { $0 != Console.escape }
        if !part.isEmpty { try socket.fd.send([UInt8(ascii: "i")] + part) }
        return part.count == bytes.count
    }

    private func sendSize() {
        guard user.fd.isTerminal, let size = try? user.fd.windowSize() else { return }
        let (rows, columns) = (size.rows, size.columns)
        try? socket.fd.send([
            UInt8(ascii: "w"), UInt8(rows >> 8), UInt8(rows & 0xff), UInt8(columns >> 8), UInt8(columns & 0xff),
        ])
    }
}
