internal import Kernel
internal import Model

/// Why criu failed: its log, read for the one line that matters, as a sentence for an operator.
public struct CRIULog: Sendable, Equatable {
    /// Its own words.
    public private(set) var reason: String?
    /// The process that it was at, `17 (nginx)`, in numbers of the host.
    public private(set) var process: String?
    /// What that means and what to do, where it is known.
    public private(set) var meaning: String?

    /// Bytes of a log that are looked at, from its end.
    static let limit: Int64 = 16 << 20

    /// The error that is thrown for a failure.
    static func failure(_ path: String, _ status: ToolProcess.Status) -> CtrError {
        if case .signaled = status { return CtrError(.failed, "criu was killed (\(status.text))") }
        guard let bytes = try? read(path) else {
            return CtrError(.failed, "criu: failed without a word (no \(path.escaped))")
        }
        let log = CRIULog(bytes)
        let about = log.process.map { ", at process \($0)" } ?? ""
        let words = "criu\(about): \(log.reason ?? "failed without a word")"
        return CtrError(.failed, log.meaning.map { "\($0) [\(words)]" } ?? words)
    }

    private static func read(_ path: String) throws(SysError) -> [UInt8] {
        let file = try open(path, [.readOnly])
        let size = try file.status().size
        if size > limit { try file.seek(.start, size - limit) }
        return try file.readAll(limit: Int(limit) + 4096)
    }

    /// - Parameter log: as criu writes it with -v3: `(00.012345)     17: Error (criu/file.c:123): tty: ...`
    public init(_ log: [UInt8]) {
        var task: String?
        var restored: String?
        var isOutrun = false
        for line in log.split(separator: 10) {
            let text = String(decoding: line.prefix(1024), as: UTF8.self)
            if let at = text.range(of: "Dumping task (pid: ") { task = CRIULog.task(text[at.upperBound...]) }
            // It gives up without another word.
            if text.range(of: "Collected (-1 attempts") != nil { isOutrun = true }
            guard let error = text.range(of: "Error (") else { continue }
            let words = CRIULog.words(text[error.upperBound...])
            if CRIULog.isHarmless(words) { continue }
            // The first says why; those after it, what could not go on.
            if reason == nil {
                reason = words.escaped
                restored = CRIULog.number(before: text[..<error.lowerBound])
                process = task ?? restored.map { "\($0) of the VPS" }
            }
            if meaning == nil { meaning = CRIULog.meaning(words) }
        }
        if isOutrun, meaning == nil, reason?.hasPrefix("Dumping FAILED") == true { meaning = CRIULog.restless }
    }

    /// `123 comm: nginx)...` of a dump's line about its next process.
    private static func task(_ rest: Substring) -> String {
        let pid = rest.prefix { $0.isNumber }
        guard let comm = rest.range(of: "comm: ") else { return String(pid) }
        return "\(pid) (\(String(rest[comm.upperBound...].prefix { $0 != ")" }).escaped))"
    }

    /// `criu/tty.c:12): the words`
    private static func words(_ rest: Substring) -> String {
        guard let end = rest.range(of: "): ") else { return String(rest) }
        return String(rest[end.upperBound...])
    }

    /// A restore's lines begin with the process's number inside.
    private static func number(before start: Substring) -> String? {
        guard let end = start.range(of: ")") else { return nil }
        let word = start[end.upperBound...].drop { $0 == " " }.prefix { $0 != ":" }
        return !word.isEmpty && word.allSatisfy(\.isNumber) ? String(word) : nil
    }

    private static func isHarmless(_ words: String) -> Bool {
        words.hasPrefix("rlimit: Can't setup RLIMIT_NOFILE") || words.hasPrefix("cg: cgroupd: recv req error")
    }
}

extension String {
    /// Where these words are first found.
    fileprivate func range(of words: String) -> Range<Index>? { self[...].range(of: words) }
}

extension Substring {
    fileprivate func range(of words: String) -> Range<Index>? {
        let (all, wanted) = (Array(utf8), Array(words.utf8))
        guard wanted.count <= all.count else { return nil }
        for start in 0...(all.count - wanted.count) where all[start..<(start + wanted.count)].elementsEqual(wanted) {
            let low = utf8.index(utf8.startIndex, offsetBy: start)
            return low..<utf8.index(low, offsetBy: wanted.count)
        }
        return nil
    }
}
