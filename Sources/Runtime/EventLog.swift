internal import FoundationEssentials
internal import Kernel
internal import Model

/// What happens to VPSs, for people and programs that were not there: one JSON line each in `$CTR_ROOT/log/events.jsonl`,
/// which becomes `events.jsonl.1` when it has reached 4 MiB.
///
/// Whoever makes something happen writes it down itself. The log is a help and no part of any verb: what can't be
/// written (a full disk, a root that is read only) is lost, and nothing else fails for it.
public struct EventLog: Sendable {
    /// What can happen.
    public enum Kind: String, Sendable, CaseIterable {
        case created, started, ready
        /// With `exitStatus` and `cause`: exit, signal, oom, operator, reboot, poweroff.
        case stopped
        /// `suspended` with `askedInside` where the VPS itself asked for it.
        case restarted, paused, unpaused, suspended, resumed
        /// With the `reason`: the VPS asked to be hibernated.
        case hibernateRefused
        /// Under its old name, with the new one as `to`.
        case renamed
        /// With `from`, the source.
        case cloned
        case exported, imported
        /// With the `snapshot`.
        case snapshotCreated, snapshotDeleted, reverted
        /// With the `template`.
        case sealed, unsealed
        /// With the new `size`.
        case resized
        /// With the `reason`, of no VPS: who guards the disk's space goes on with those of before.
        case settingsRefused
        case changed, destroyed, oomKill, limitHit, supervisorLost, recovered
        /// A VPS goes on after a resume, and its interface could not be opened. Detail: `reason`.
        case networkFailed
    }

    static let directory = "log"
    static let file = "events.jsonl"
    static let oldFile = "events.jsonl.1"
    /// Bytes at which the file is rotated.
    static let limit: Int64 = 4 << 20
    /// Longer texts are cut: a line is one write of a bounded size.
    private static let longest = 1024

    private let root: String

    public init(_ host: Host) { root = host.root }

    /// Writes an event down.
    /// - Parameter detail: keys in lowerCamelCase.
    public func append(_ kind: Kind, vps: String, detail: [String: EventDetail] = [:]) {
        let short = detail.mapValues { $0.cut(to: EventLog.longest) }
        let record = EventRecord(time: EventLog.now(), vps: vps, event: kind.rawValue, detail: short)
        guard let line = try? JSONText.encode(record), let directory = try? Host.ensure("\(root)/\(EventLog.directory)")
        else { return }
        try? EventLog.append(line, in: directory)
    }

    private static func append(_ line: [UInt8], in directory: borrowing FD) throws(SysError) {
        // Whoever holds this does so for moments; one that is stopped in between must not stop all others.
        let locked = lock(directory)
        let log = try open(in: directory)
        let size = try log.status().size
        if !locked || size < limit { return try write(line, to: log, size) }
        try directory.rename(file, to: oldFile)
        try write(line, to: open(in: directory), 0)
    }

    private static func open(in directory: borrowing FD) throws(SysError) -> FD {
        try directory.open(
            file, [.readWrite, .append, .create, .noFollow, .nonBlocking, .noControllingTerminal], mode: 0o600)
    }

    /// One call, so that lines never mix. A line that a crash or a full disk has left unfinished is ended first, so that
    /// it spoils itself and no other.
    private static func write(_ line: [UInt8], to log: borrowing FD, _ size: Int64) throws(SysError) {
        _ = try log.write(endsWithLine(log, size) ? line : [10] + line)
    }

    private static func endsWithLine(_ log: borrowing FD, _ size: Int64) -> Bool {
        guard size > 0 else { return true }
        var last: [UInt8] = [10]
        let count = last.withUnsafeMutableBytes { try? log.read(into: $0, at: size - 1) }
        return count != 1 || last[0] == 10
    }

    /// To the millisecond.
    private static func now() -> String {
        let now = FileTime.now
        let fraction = String(now.nanoseconds / 1_000_000 + 1000).dropFirst()
        return "\(Timestamp.text(seconds: now.seconds).dropLast()).\(fraction)Z"
    }

    /// Takes the lock within a tenth of a second, or goes on without: then the file is only appended to.
    private static func lock(_ directory: borrowing FD) -> Bool {
        for attempt in 0..<50 {
            if attempt > 0 { CurrentProcess.sleep(milliseconds: 2) }
            if (try? directory.lock(.exclusive, wait: false)) != nil { return true }
        }
        return false
    }
}

/// One line of the event log.
public struct EventRecord: Codable, Sendable, Equatable {
    /// RFC 3339, UTC, to the millisecond.
    public var time: String
    /// The VPS's name.
    public var vps: String
    /// A name of ``EventLog/Kind``, or of a newer ctr's.
    public var event: String
    public var detail: [String: EventDetail]
}

/// A value of an event's detail.
public enum EventDetail: Codable, Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral
{
    case text(String)
    case number(Int64)
    case flag(Bool)

    public init(stringLiteral value: String) { self = .text(value) }
    public init(integerLiteral value: Int64) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .flag(value) }

    public init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let flag = try? value.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? value.decode(Int64.self) {
            self = .number(number)
        } else {
            self = .text(try value.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        case .flag(let flag): try container.encode(flag)
        }
    }

    /// For people.
    public var description: String {
        switch self {
        case .text(let text): text
        case .number(let number): "\(number)"
        case .flag(let flag): flag ? "yes" : "no"
        }
    }

    func cut(to length: Int) -> EventDetail {
        guard case .text(let text) = self, text.unicodeScalars.count > length else { return self }
        return .text(String(String.UnicodeScalarView(text.unicodeScalars.prefix(length))))
    }
}
