internal import Model

/// Numbers for people, short enough for columns.
enum Format {
    /// `12.345 s`
    static func seconds(_ microseconds: Int64) -> String { "\(decimal(Double(microseconds) / 1e6, digits: 3)) s" }

    /// A number with so many digits after the point, rounded.
    static func decimal(_ value: Double, digits: Int) -> String {
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int64(clamping: Int128((abs(value) * scale).rounded()))
        let whole = scaled / Int64(scale)
        let sign = value < 0 && scaled != 0 ? "-" : ""
        if digits == 0 { return "\(sign)\(whole)" }
        let rest = String(scaled % Int64(scale))
        return "\(sign)\(whole).\(String(repeating: "0", count: digits - rest.count))\(rest)"
    }

    /// A count in at most five characters: `99999`, `1234k`, `12M`.
    static func count(_ count: Int64) -> String {
        var value = count
        var unit = ""
        for next in ["k", "M", "G", "T", "P"] where value > (unit.isEmpty ? 99_999 : 9999) {
            value /= 1000
            unit = next
        }
        return "\(value)\(unit)"
    }

    /// Bytes per second.
    static func bytes(_ rate: Double) -> String { Size.format(Int64(rate.rounded())) }
}

extension String {
    /// At most so many characters; a `+` says that there were more.
    func clipped(to width: Int) -> String {
        count <= width ? self : width < 1 ? "" : "\(prefix(width - 1))+"
    }

    func padded(to width: Int, alignment: Table.Alignment) -> String {
        let blanks = String(repeating: " ", count: max(0, width - count))
        return alignment == .left ? self + blanks : blanks + self
    }
}
