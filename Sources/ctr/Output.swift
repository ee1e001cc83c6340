internal import Model
internal import Runtime

/// The only way to the standard streams.
enum Output {
    /// A line, or several, on standard output. Ends this program quietly where nobody reads it any more.
    /// - Throws: `io`.
    static func print(_ text: String) throws(CtrError) {
        try write(Array(text.utf8) + [10])
    }

    /// One JSON document on standard output.
    static func json(_ value: some Encodable) throws(CtrError) {
        try print(JSONOutput.text(value, pretty: true))
    }

    /// Bytes as they are on standard output. Ends this program quietly where nobody reads it any more.
    static func write(_ bytes: [UInt8]) throws(CtrError) {
        guard try Caller.write(bytes, to: .output) else { Caller.exit(ExitStatus.outputClosed) }
    }

    /// A line on standard error. Where that fails there is nobody to tell.
    /// That a verb has done its work: a sentence for people, facts for programs.
    static func done(_ text: String, _ facts: [String: String], _ globals: Globals) throws(CtrError) {
        if globals.json { try json(facts) } else if !globals.quiet { try print(text) }
    }

    static func errorLine(_ text: String) { errorText(text + "\n") }

    /// Text on standard error without an end of line.
    static func errorText(_ text: String) { _ = try? Caller.write(Array(text.utf8), to: .error) }
}
