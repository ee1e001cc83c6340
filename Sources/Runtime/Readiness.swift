internal import Kernel
internal import Model

/// One datagram of sd_notify(3), as far as it concerns the host. Whoever is root in the VPS wrote it.
struct ReadyMessage: Equatable, Sendable {
    /// `READY=1`: the system is up.
    var isReady = false
    /// `STATUS=`: what init is at, for people; without control characters, at most ``longestStatus`` bytes.
    var status: String?

    /// As systemd's own limit.
    static let longest = 4096
    static let longestStatus = 256

    init() {}

    /// Lines `KEY=VALUE`, the last of a key counts. Other keys, lines that are none and bytes that are not UTF-8 say
    /// nothing; a datagram is never an error.
    init(datagram: [UInt8]) {
        for line in datagram.prefix(ReadyMessage.longest).split(separator: UInt8(ascii: "\n")) {
            if line.elementsEqual("READY=1".utf8) { isReady = true }
            guard line.starts(with: "STATUS=".utf8) else { continue }
            // Each byte can become several: cut before and after.
            let text = String(decoding: line.dropFirst(7).prefix(ReadyMessage.longestStatus), as: UTF8.self).escaped
            var bounded = ""
            var room = ReadyMessage.longestStatus
            for character in text {
                room -= character.utf8.count
                if room < 0 { break }
                bounded.append(character)
            }
            status = bounded.isEmpty ? nil : bounded
        }
    }
}

/// The host's end of a VPS's notify socket, until init is up.
///
/// It is to be dropped, and with it closed, as soon as ``take()`` says anything but `waiting`: then what init sends
/// later is refused at once (ECONNREFUSED, which sd_notify(3) leaves to the caller and systemd ignores), it can't block
/// on a queue that nobody empties, and a supervisor is not woken by its guest.
struct ReadyListener {
    enum State: Equatable, Sendable {
        case waiting
        case ready
        /// It has said too much without saying that it is up; nobody listens any longer.
        case babbling
    }

    /// For `poll`.
    let socket: SharedFD
    /// The last words on what init is at.
    private(set) var status: String?
    private var heard = 0

    /// So many datagrams are read until init is up: systemd sends a handful.
    static let most = 1000
    /// And so many in one turn, so that a guest that sends without end does not hold its supervisor.
    static let mostAtOnce = 16

    init(_ socket: SharedFD) { self.socket = socket }

    /// Reads what has come.
    mutating func take() throws(SysError) -> State {
        for _ in 0..<ReadyListener.mostAtOnce {
            guard let datagram = try socket.fd.receiveDatagram(limit: ReadyMessage.longest) else { return .waiting }
            let message = ReadyMessage(datagram: datagram)
            status = message.status ?? status
            if message.isReady { return .ready }
            heard += 1
            if heard == ReadyListener.most { return .babbling }
        }
        return .waiting
    }
}

/// Whether an init that tells by ``ReadySignal/marker`` is up.
enum Readiness {
    /// Looks for `/run/host/ready`, see ``HostPath``.
    /// - Throws: ENOENT or ESRCH when the process has ended.
    static func marker(of pid: Int32) throws(SysError) -> Bool {
        try HostPath.find("ready", of: pid) != nil
    }
}
