/// Files of lines `key = value`: recipes and profiles. Empty lines and those that begin with `#` say nothing.
public enum KeyValueFile {
    /// One line that says something.
    public struct Line: Sendable {
        /// From 1 on.
        public let number: Int
        public let key: String
        /// Never empty, without blanks around it.
        public let value: String
        let file: String
        let code: CtrError.Code

        /// An error that names file and line.
        public func bad(_ why: String) -> CtrError { CtrError(code, "\(file.escaped):\(number): \(why.escaped)") }
    }

    /// Reads a text line by line, in order; the first error ends it.
    /// - Parameters:
    ///   - file: the file's name, for messages.
    ///   - code: what kind of failure a malformed line is.
    ///   - repeatable: the keys that may stand more than once.
    public static func read(
        _ text: String, file: String, code: CtrError.Code, repeatable: Set<String>,
        _ body: (Line) throws(CtrError) -> Void
    ) throws(CtrError) {
        var seen: [String: Int] = [:]
        // Swift takes CR LF for one character: split by scalars.
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, scalars) in lines.enumerated() {
            let trimmed = String(String.UnicodeScalarView(scalars)).trimmed
            if trimmed.isEmpty || trimmed.hasPrefix("#") { continue }
            let line = try split(trimmed, index + 1, file, code)
            if !repeatable.contains(line.key) {
                if let before = seen[line.key] { throw line.bad("'\(line.key)' was given in line \(before) already") }
                seen[line.key] = line.number
            }
            try body(line)
        }
    }

    private static func split(
        _ text: String, _ number: Int, _ file: String, _ code: CtrError.Code
    ) throws(CtrError) -> Line {
        let equals = text.firstIndex(of: "=")
        let line = Line(
            number: number, key: String(text[..<(equals ?? text.endIndex)]).trimmed,
            value: equals.map { String(text[text.index(after: $0)...]).trimmed } ?? "", file: file, code: code)
        if equals == nil { throw line.bad("neither 'key = value' nor a '#' comment") }
        if text.unicodeScalars.contains(where: { $0.value < 32 && $0 != "\t" }) {
            throw line.bad("a control character")
        }
        if line.value.isEmpty { throw line.bad("'\(line.key)' has no value") }
        return line
    }
}

extension String {
    fileprivate var trimmed: String {
        let blank: (Unicode.Scalar) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
        let scalars = unicodeScalars.drop(while: blank)
        guard let last = scalars.lastIndex(where: { !blank($0) }) else { return "" }
        return String(scalars[...last])
    }
}
