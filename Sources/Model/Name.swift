/// Names of VPSs, templates and snapshots: `[a-z0-9][a-z0-9._-]{0,62}`.
public enum Name {
    /// Throws `usage` unless `name` is a valid name. Names become path components, so nothing else passes.
    /// - Parameter kind: what is named, for the message: `VPS`, `template`.
    public static func validate(_ name: String, kind: String) throws(CtrError) {
        let bytes = Array(name.utf8)
        let good = bytes.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): index > 0
            default: false
            }
        }
        if bytes.isEmpty || bytes.count > 63 || !good {
            throw CtrError(
                .usage,
                "\(kind) name '\(name.escaped)': not a name (1 to 63 of a-z, 0-9, '.', '_', '-'; the first a letter or digit)"
            )
        }
    }
}

extension String {
    /// The text with control characters shown as `\u{..}`: what comes from outside must not drive a terminal.
    public var escaped: String {
        if !unicodeScalars.contains(where: { $0.value < 32 || (0x7f...0x9f).contains($0.value) }) { return self }
        return unicodeScalars.reduce(into: "") { text, scalar in
            if scalar.value < 32 || (0x7f...0x9f).contains(scalar.value) {
                text += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
    }
}
