internal import ArgumentParser
internal import Model
internal import Runtime

/// One call of the program: words in, exit status out.
enum Program {
    static func main() -> Int32 {
        var globals = Globals()
        do throws(CtrError) {
            // Before all else: this is what shows how fast the program starts.
            if isVersionAlone { return try printVersion() }
            // First, so that no file which is opened later becomes one of the standard streams.
            try ProcessStart.prepare()
            let words = try arguments()
            var rest = words[...]
            guard globals.takeLeading(&rest) else { return try root(words) }
            guard let verb = rest.popFirst() else {
                throw CtrError(.usage, "no command given (ctr --help lists the commands)")
            }
            return try dispatch(verb, Array(rest), globals)
        } catch {
            return Failure.report(error, globals)
        }
    }

    private static var isVersionAlone: Bool {
        guard CommandLine.argc == 2, let word = CommandLine.unsafeArgv[1] else { return false }
        // Byte by byte: a String costs a tenth of the whole start in first touches of memory.
        let wanted: StaticString = "--version"
        for index in 0..<wanted.utf8CodeUnitCount where word[index] != CChar(bitPattern: wanted.utf8Start[index]) {
            return false
        }
        return word[wanted.utf8CodeUnitCount] == 0
    }

    private static func printVersion() throws(CtrError) -> Int32 {
        try Caller.write(Version.line) ? 0 : ExitStatus.outputClosed
    }

    /// The words after the program's name.
    /// - Throws: `usage` for one that is not UTF-8: text is what everything above the kernel floor works with, and words
    ///   that change on their way would be worse than an error.
    private static func arguments() throws(CtrError) -> [String] {
        var words: [String] = []
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let pointer = CommandLine.unsafeArgv[index] else { break }
            guard let word = String(validatingCString: pointer) else {
                throw CtrError(.usage, "argument \(index): not valid UTF-8")
            }
            words.append(word)
        }
        return words
    }

    /// Runs a verb. Every failure of `run` and `exec` is theirs to report: their exit status is the command's.
    private static func dispatch(_ verb: String, _ words: [String], _ globals: Globals) throws(CtrError) -> Int32 {
        switch verb {
        case "run", "exec":
            if let invocation = FastPath.parse(verb, words, globals) { return invocation.execute() }
        case "start", "stop", "kill", "destroy", "suspend", "hibernate", "resume":
            if let command = FastPath.named(verb, words) { return Parsing.execute(command, globals) }
        case "supervise" where words.isEmpty:
            return SuperviseMain.main(on: try globals.host())
        case "checkpoint-step" where words.count == 1:
            return CheckpointStep.main(words[0], on: try globals.host())
        case "checkpoint-memory" where words.count == 1:
            return MemoryCheck.main(words[0])
        case "hibernate-asked" where words.count == 3:
            return AskedHibernation.main(words, on: try globals.host())
        case "guard" where words.isEmpty:
            return SpaceGuard.main(on: try globals.host())
        case "help":
            return try help(words)
        case "---completion":
            return try root([verb] + words)
        default: break
        }
        guard let command = Ctr.verb(verb) else { throw unknown(verb) }
        return Parsing.execute(command, words, globals)
    }

    private static func unknown(_ verb: String) -> CtrError {
        CtrError(.usage, "\(verb.escaped): unknown command (ctr --help lists the commands)")
    }

    /// `help VERB [VERB]` is `VERB [VERB] --help`.
    private static func help(_ words: [String]) throws(CtrError) -> Int32 {
        guard let verb = words.first(where: { !$0.hasPrefix("-") }) else { return try root(["--help"]) }
        guard let command = Ctr.verb(verb) else { throw unknown(verb) }
        return Parsing.execute(command, words.filter { $0 != verb && !$0.hasPrefix("-") } + ["--help"], Globals())
    }

    /// What concerns the program as a whole: its help, its completions, and wrong words before the verb.
    private static func root(_ words: [String]) throws(CtrError) -> Int32 {
        if let verb = words.first, !verb.hasPrefix("-") { throw unknown(verb) }
        var globals = Globals()
        globals.json = words.contains("--json")
        return Parsing.executeRoot(words, globals)
    }
}
