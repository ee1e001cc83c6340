/// Points in time and durations as people and files write them.
public enum TimeText {
    /// Milliseconds since 1970 of an RFC 3339 time: `2026-11-23T05:14:52Z`, `2026-11-23T05:14:52.25+01:00`. nil for anything
    /// else.
    public static func milliseconds(rfc3339 text: String) -> Int64? {
        var rest = Substring(text).utf8
        guard let day = date(&rest), let mark = rest.popFirst(), "Tt ".utf8.contains(mark), let hour = two(&rest),
            take(":", &rest), let minute = two(&rest), take(":", &rest), let second = two(&rest),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        var fraction: Int64 = 0
        if take(".", &rest) {
            let digits = rest.prefix { (48...57).contains($0) }
            if digits.isEmpty { return nil }
            rest = rest.dropFirst(digits.count)
            for index in 0..<3 { fraction = fraction * 10 + Int64(digits.dropFirst(index).first.map { $0 - 48 } ?? 0) }
        }
        guard let offset = offset(&rest), rest.isEmpty else { return nil }
        return (((day * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + fraction
    }

    /// Milliseconds since 1970 of what `--since` takes: a time of RFC 3339, a day (`2026-11-23`, from its beginning in
    /// UTC), or a duration before `now`: `90s`, `15m`, `1h30m`, `2d`. Throws `usage` for anything else.
    public static func since(_ text: String, option: String, now: Int64) throws(CtrError) -> Int64 {
        if let time = milliseconds(rfc3339: text) { return time }
        var rest = Substring(text).utf8
        if let day = date(&rest), rest.isEmpty { return day * 86_400_000 }
        if let seconds = duration(text) { return now - seconds * 1000 }
        throw CtrError(
            .usage,
            "\(option) '\(text.escaped)': neither a time (2026-11-23T05:14:52Z, 2026-11-23) nor a duration (90s, 15m, "
                + "1h30m, 2d)")
    }

    /// Seconds of a duration, units falling: `1d2h3m4s`; at most 100 years. nil for anything else.
    static func duration(_ text: String) -> Int64? {
        let units: [(name: UInt8, seconds: Int64)] = [(100, 86400), (104, 3600), (109, 60), (115, 1)]
        var rest = Substring(text).utf8
        var next = 0
        var sum: Int64 = 0
        while !rest.isEmpty {
            let digits = rest.prefix { (48...57).contains($0) }
            rest = rest.dropFirst(digits.count)
            guard (1...10).contains(digits.count), let name = rest.popFirst(),
                let index = units.indices.dropFirst(next).first(where: { units[$0].name == name })
            else { return nil }
            sum += digits.reduce(0) { $0 * 10 + Int64($1 - 48) } * units[index].seconds
            next = index + 1
        }
        return next > 0 && sum <= 36_525 * 86400 ? sum : nil
    }

    /// A duration for people, to its two largest units: `3d 4h`, `5m 10s`, `12s`.
    public static func format(seconds: Int64) -> String {
        let parts = [(seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")]
        guard let first = parts.firstIndex(where: { $0.0 > 0 }) else { return "0s" }
        return parts[first..<min(first + 2, 4)].filter { $0.0 > 0 }.map { "\($0.0)\($0.1)" }.joined(separator: " ")
    }

    // MARK: parts of RFC 3339

    private typealias Bytes = Substring.UTF8View

    /// Days since 1970 of `YYYY-MM-DD`.
    private static func date(_ rest: inout Bytes) -> Int64? {
        guard let century = two(&rest), let years = two(&rest), take("-", &rest), let month = two(&rest),
            take("-", &rest), let day = two(&rest), (1...12).contains(month)
        else { return nil }
        let year = century * 100 + years
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let length = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][Int(month - 1)]
        guard (1...Int64(length)).contains(day) else { return nil }
        // Years begin in March here, so that the day which may be missing is their last.
        let shifted = month > 2 ? year : year - 1
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
    }

    /// Minutes east of Greenwich.
    private static func offset(_ rest: inout Bytes) -> Int64? {
        guard let mark = rest.popFirst() else { return nil }
        if "Zz".utf8.contains(mark) { return 0 }
        guard "+-".utf8.contains(mark), let hours = two(&rest), take(":", &rest), let minutes = two(&rest), hours < 24,
            minutes < 60
        else { return nil }
        return (hours * 60 + minutes) * (mark == UInt8(ascii: "+") ? 1 : -1)
    }

    private static func two(_ rest: inout Bytes) -> Int64? {
        guard let tens = rest.popFirst(), let ones = rest.popFirst(), (48...57).contains(tens), (48...57).contains(ones)
        else { return nil }
        return Int64(tens - 48) * 10 + Int64(ones - 48)
    }

    private static func take(_ mark: Unicode.Scalar, _ rest: inout Bytes) -> Bool {
        guard rest.first == UInt8(ascii: mark) else { return false }
        rest.removeFirst()
        return true
    }
}
