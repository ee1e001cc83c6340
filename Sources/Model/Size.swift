/// Sizes in bytes as people write them: `4096`, `512K`, `512M`, `10G`, `1T` (powers of 1024).
public enum Size {
    /// Bytes of a size's text; an optional `B` or `iB` may follow the letter. Throws `usage` for anything else,
    /// zero and what exceeds 2^63 included.
    public static func parse(_ text: String, option: String) throws(CtrError) -> Int64 {
        var digits = Substring(text.uppercased())
        for suffix in ["IB", "B"] where digits.count > suffix.count && digits.hasSuffix(suffix) {
            digits = digits.dropLast(suffix.count)
            break
        }
        var shift = 0
        if let last = digits.last, let power = ["K", "M", "G", "T", "P"].firstIndex(of: String(last)) {
            shift = (power + 1) * 10
            digits = digits.dropLast()
        }
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int64(digits), value > 0,
            value <= Int64.max >> Int64(shift)
        else {
            throw CtrError(.usage, "\(option) '\(text.escaped)': not a size (a number, or a number with K, M, G or T)")
        }
        return value << Int64(shift)
    }

    /// A size for people: `512M`, `1.5G`.
    public static func format(_ bytes: Int64) -> String {
        if bytes < 1024 { return "\(bytes)" }
        var value = Double(bytes)
        var unit = ""
        for next in ["K", "M", "G", "T", "P"] where value >= 1024 {
            value /= 1024
            unit = next
        }
        let tenths = Int64((value * 10).rounded())
        return tenths % 10 == 0 || tenths >= 1000 ? "\(tenths / 10)\(unit)" : "\(tenths / 10).\(tenths % 10)\(unit)"
    }
}
