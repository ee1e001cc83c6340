internal import Kernel

/// The console of a detached VPS: what it prints goes to its log and to everybody who is attached, what they type goes
/// to it. They attach through the socket `console` in the state directory, by messages (SOCK_SEQPACKET):
///
///     client -> supervisor   i BYTES          typed
///                            w ROWS COLUMNS   the window's size, two bytes each, high byte first
///                            p                something was written down in the state directory: look
///     supervisor -> client   BYTES            printed
///
/// A client that does not keep up misses a part; nobody waits for it.
final class ConsoleHub: PollSource {
    static let socketName = "console"
    private static let piece = 4096

    private let log: ConsoleLog
    private let listener: SharedFD
    private var clients: [SharedFD] = []
    /// The pseudoterminal's master, or the reading end of a pipe; nil where there is none any more.
    private var source: SharedFD?
    /// Our own hold on the other end: without it poll(2) would report a hang-up, for ever, each time the VPS has it closed.
    private var other: SharedFD?
    private var isTerminal = false
    /// Typed, and not yet taken by the VPS.
    private var pending: [UInt8] = []
    private var listenerEvents = 0
    private var sourceEvents: Int?
    private var clientEvents = 0
    private var polled = 0
    /// Somebody said `p` since this was last set to false.
    var wasPoked = false

    init(log: ConsoleLog, state: SharedFD) throws(SysError) {
        self.log = log
        listener = SharedFD(try state.fd.listen(at: ConsoleHub.socketName))
    }

    /// Takes the output of a VPS that has just been started; who is attached stays so.
    func attach(terminal: SharedFD) throws(SysError) {
        let peer = SharedFD(try terminal.fd.openTerminalPeer())
        try attach(terminal, other: peer)
        isTerminal = true
    }

    func attach(_ pipe: Pipe) throws(SysError) { try attach(pipe.reading, other: pipe.writing) }

    /// The reading end of a pipe whose other end others hold.
    func attach(reading: SharedFD) throws(SysError) { try attach(reading, other: nil) }

    private func attach(_ source: SharedFD, other: SharedFD?) throws(SysError) {
        try source.fd.setNonBlocking(true)
        self.source = source
        self.other = other
        isTerminal = false
        pending = []
    }

    /// Reads what is still there after the end, and lets go of it.
    func detach() throws(SysError) {
        while source != nil, try take() {}
        source = nil
        other = nil
    }

    /// Words of ctr's own, into the log.
    func note(_ text: String) { log.append(Array(text.utf8)) }

    /// Tells the supervisor to look at its state directory.
    static func poke(_ state: SharedFD) {
        guard let socket = try? state.fd.connect(to: socketName) else { return }
        try? socket.sendNow([UInt8(ascii: "p")])
    }

    func add(to poll: inout Poll) {
        listenerEvents = poll.add(listener.fd, .readable)
        sourceEvents = source.map { poll.add($0.fd, pending.isEmpty ? .readable : [.readable, .writable]) }
        clientEvents = listenerEvents + (sourceEvents == nil ? 1 : 2)
        polled = clients.count
        // Who types faster than the VPS reads waits.
        for client in clients { poll.add(client.fd, pending.isEmpty ? .readable : []) }
    }

    func handle(_ ready: [Poll.Events]) throws(SysError) {
        if let sourceEvents {
            if ready[sourceEvents].contains(.writable) { try give() }
            if !ready[sourceEvents].subtracting(.writable).isEmpty { try take() }
        }
        var gone: [Int] = []
        for index in 0..<polled where !ready[clientEvents + index].isEmpty {
            if !hear(clients[index]) { gone.append(index) }
        }
        for index in gone.reversed() { clients.remove(at: index) }
        if ready[listenerEvents].contains(.readable), let client = try? listener.fd.accept() {
            clients.append(SharedFD(client))
        }
    }

    /// One message of a client; false when it is gone.
    private func hear(_ client: SharedFD) -> Bool {
        do throws(SysError) {
            let message = try client.fd.receive().bytes
            guard let kind = message.first else { return false }
            switch kind {
            case UInt8(ascii: "i"):
                if isTerminal { pending += message.dropFirst() }
            case UInt8(ascii: "w") where message.count == 5:
                let rows = UInt16(message[1]) << 8 | UInt16(message[2])
                let columns = UInt16(message[3]) << 8 | UInt16(message[4])
                if isTerminal { try? source?.fd.setWindowSize(WindowSize(rows: rows, columns: columns)) }
            case UInt8(ascii: "p"): wasPoked = true
            default: return false
            }
            return true
        } catch {
            return error.errno == Errno.again
        }
    }

    private func give() throws(SysError) {
        do throws(SysError) { pending.removeFirst(try source!.fd.write(pending)) } catch {
            if error.errno != Errno.again { pending = [] }
        }
    }

    /// Moves what is there now; false if nothing was.
    @discardableResult
    private func take() throws(SysError) -> Bool {
        guard let source else { return false }
        let bytes: [UInt8]
        do throws(SysError) { bytes = try source.fd.read(upTo: 65536) } catch {
            if error.errno == Errno.again { return false }
            // The other end has gone for good.
            self.source = nil
            return false
        }
        if bytes.isEmpty {
            self.source = nil
            return false
        }
        log.append(bytes)
        for client in clients {
            var rest = bytes[...]
            while !rest.isEmpty {
                do throws(SysError) { try client.fd.sendNow(rest.prefix(ConsoleHub.piece)) } catch { break }
                rest = rest.dropFirst(ConsoleHub.piece)
            }
        }
        return true
    }
}
