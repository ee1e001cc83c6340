internal import Model
internal import Runtime

/// Errors on standard error: `ctr: what failed: why (and what to do)`, or one JSON document.
enum Failure {
    /// Reports it.
    /// - Returns: the exit status that goes with it.
    @discardableResult
    static func report(_ error: CtrError, _ globals: Globals) -> Int32 {
        Output.errorLine(text(error, globals))
        return error.code.exitStatus
    }

    static func text(_ error: CtrError, _ globals: Globals) -> String {
        if globals.json, let document = try? JSONOutput.text(Document(error: Facts(error)), pretty: false) {
            return document
        }
        var text = "ctr: \(error.message.escaped)"
        guard globals.debug else { return text }
        let facts = [error.step.map { "step: \($0.escaped)" }, error.errno.map { "errno: \($0)" }].compactMap { $0 }
        if !facts.isEmpty { text += " [\(facts.joined(separator: ", "))]" }
        return text
    }

    private struct Document: Encodable {
        let error: Facts
    }

    /// An error for programs. All keys are always there.
    struct Facts: Encodable {
        let value: CtrError

        init(_ value: CtrError) { self.value = value }

        private enum Key: CodingKey {
            case code, message, step, errno
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(value.code, forKey: .code)
            try container.encode(value.message, forKey: .message)
            try container.encode(value.step, forKey: .step)
            try container.encode(value.errno, forKey: .errno)
        }
    }
}
