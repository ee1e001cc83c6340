public import Model

/// User and group ids that VPSs may have, on the host's side.
public struct IDPoolSettings: Equatable, Sendable {
    /// A run of ids.
    public struct Interval: Equatable, Sendable {
        public var first: UInt64
        public var count: UInt64
        var end: UInt64 { first + count }
        public init(first: UInt64, count: UInt64) {
            self.first = first
            self.count = count
        }
        func overlaps(_ other: Interval) -> Bool { first < other.end && other.first < end }
    }

    /// Where ranges are taken from; users and groups alike.
    public var intervals: [Interval]
    /// What others own: no range overlaps it.
    public var excluded: [Interval]

    /// Ids of one VPS.
    public static let width: UInt64 = 65536

    /// Where /etc/subuid and /etc/subgid give root nothing: 28,000 ranges from 1,000,000 on, within what systemd sets
    /// aside for containers (524288 to 1879048191).
    public static let standard = Interval(first: 1_000_000, count: 28_000 * width)

    /// A pool that the operator chose. What subuid(5) and subgid(5) give to others than root is left out all the same.
    /// Throws `config` for a pool that holds no range or goes beyond the kernel's ids.
    public init(base: UInt64, count: UInt64, subuid: [UInt8]? = nil, subgid: [UInt8]? = nil) throws(CtrError) {
        // 4294967295 means "none", and the id before it is commonly "nobody" for 32-bit programs.
        guard base >= Self.width, count >= Self.width, base <= 0xffff_fffe, count <= 0xffff_fffe - base else {
            throw CtrError(
                .config,
                "id pool of \(count) ids from \(base): not possible (at least 65536 ids, between 65536 and 4294967293)")
        }
        intervals = [Interval(first: base, count: count)]
        excluded = (SubordinateIDs.parse(subuid) + SubordinateIDs.parse(subgid)).filter { !$0.isRoot }.map(\.interval)
    }

    /// The pool where nothing is configured: what /etc/subuid and /etc/subgid both give to root, if that is 65,536 ids
    /// or more, else ``standard``. What they give to others is left out.
    /// Throws `config` where one file gives root a range and the other does not.
    /// - Parameters:
    ///   - subuid: the bytes of /etc/subuid, nil where there is none; see subuid(5).
    ///   - subgid: the bytes of /etc/subgid, nil where there is none.
    public init(subuid: [UInt8]?, subgid: [UInt8]?) throws(CtrError) {
        let users = SubordinateIDs.parse(subuid)
        let groups = SubordinateIDs.parse(subgid)
        let rootUsers = users.filter { $0.isRoot && $0.interval.count >= Self.width }.map(\.interval)
        let rootGroups = groups.filter { $0.isRoot && $0.interval.count >= Self.width }.map(\.interval)
        if rootUsers.isEmpty && rootGroups.isEmpty {
            intervals = [Self.standard]
            excluded = (users + groups).map(\.interval)
            return
        }
        intervals = rootUsers.flatMap { user in rootGroups.compactMap { Self.common(user, $0) } }
        excluded = (users + groups).filter { !$0.isRoot }.map(\.interval)
        if intervals.isEmpty {
            throw CtrError(
                .config,
                "/etc/subuid and /etc/subgid: give root no 65536 ids in common (write the same line for root in both)")
        }
    }

    private static func common(_ a: Interval, _ b: Interval) -> Interval? {
        let first = max(a.first, b.first)
        let end = min(a.end, b.end)
        return end >= first + width ? Interval(first: first, count: end - first) : nil
    }
}

/// One line of subuid(5) or subgid(5).
struct SubordinateIDs {
    var isRoot: Bool
    var interval: IDPoolSettings.Interval

    /// The entries of a file; lines that are none are skipped, as newuidmap(1) does.
    static func parse(_ file: [UInt8]?) -> [SubordinateIDs] {
        (file ?? []).split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard fields.count == 3, !fields[0].isEmpty, let first = number(fields[1]), let count = number(fields[2]),
                count > 0, first + count <= 1 << 32
            else { return nil }
            let isRoot = fields[0].elementsEqual("root".utf8) || fields[0].elementsEqual("0".utf8)
            return SubordinateIDs(isRoot: isRoot, interval: .init(first: first, count: count))
        }
    }

    private static func number(_ field: ArraySlice<UInt8>) -> UInt64? {
        guard (1...10).contains(field.count), field.allSatisfy(UserDatabase.isDigit) else { return nil }
        return field.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - 48) }
    }
}
