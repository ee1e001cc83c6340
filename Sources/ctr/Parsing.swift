internal import ArgumentParser
internal import Model
internal import Runtime

/// A command that ArgumentParser read.
protocol Verb: ParsableCommand {
    /// Changes the words after the verb so that ArgumentParser reads them as this verb means them.
    static func prepare(_ words: [String]) -> [String]

    /// The options of every verb, where they stood after this one.
    var given: Globals { get }

    /// Does it.
    /// - Returns: the exit status.
    func execute(_ globals: Globals) throws(CtrError) -> Int32

    /// The exit status where it fails.
    static func status(of error: CtrError) -> Int32
}

extension Verb {
    static func prepare(_ words: [String]) -> [String] { words }
    static func status(of error: CtrError) -> Int32 { error.code.exitStatus }
}

/// ArgumentParser's side: reads the words of one verb, runs it and reports what was wrong, in our own form.
enum Parsing {
    /// - Parameter words: those after the verb.
    static func execute(_ command: any ParsableCommand.Type, _ words: [String], _ globals: Globals) -> Int32 {
        let type = command as? any Verb.Type
        var globals = globals
        var words = words
        do throws(CtrError) {
            try checkGroup(command, &words, &globals)
            guard let verb = try parse(command, type?.prepare(words) ?? words) else { return 0 }
            globals = globals.with(verb.given)
            return try verb.execute(globals)
        } catch {
            globals.json = globals.json || words.prefix { $0 != "--" }.contains("--json")
            Failure.report(error, globals)
            return type?.status(of: error) ?? error.code.exitStatus
        }
    }

    /// A verb that has been read already.
    static func execute(_ verb: any Verb, _ globals: Globals) -> Int32 {
        do throws(CtrError) { return try verb.execute(globals) } catch { return Failure.report(error, globals) }
    }

    /// The program's own help and completions; wrong words before a verb.
    static func executeRoot(_ words: [String], _ globals: Globals) -> Int32 {
        do throws(CtrError) {
            if try parse(Ctr.self, words) == nil { return 0 }
            throw CtrError(.usage, "no command given (ctr --help lists the commands)")
        } catch {
            return Failure.report(error, globals)
        }
    }

    /// nil where help or the like was asked for, and has been printed.
    static func parse(_ command: any ParsableCommand.Type, _ words: [String]) throws(CtrError) -> (any Verb)? {
        do {
            var parsed = try command.parseAsRoot(words)
            if let verb = parsed as? any Verb { return verb }
            // Help is a command too: it throws what it has to say.
            try parsed.run()
            return nil
        } catch let error as CtrError {
            throw error
        } catch {
            let text = command.fullMessage(for: error)
            if command.exitCode(for: error) == .success {
                if !text.isEmpty { try Output.print(text) }
                return nil
            }
            throw usage(command, words, command.message(for: error))
        }
    }

    /// ArgumentParser's words in the form of our errors.
    private static func usage(_ command: any ParsableCommand.Type, _ words: [String], _ message: String) -> CtrError {
        let text = message.split(separator: "\n").joined(separator: " ")
        let lower = text.prefix(1).lowercased() + text.dropFirst()
        if command == Ctr.self { return CtrError(.usage, "\(lower) (ctr --help shows the usage)") }
        var name = command._commandName
        if let next = words.first, command.configuration.subcommands.contains(where: { $0._commandName == next }) {
            name += " \(next)"
        }
        return CtrError(.usage, "\(name): \(lower) (ctr \(name) --help shows the usage)")
    }

    /// A group of verbs wants one of them. Options of every command may stand between.
    private static func checkGroup(
        _ command: any ParsableCommand.Type, _ words: inout [String], _ globals: inout Globals
    ) throws(CtrError) {
        let verbs = command.configuration.subcommands.map { $0._commandName }
        if verbs.isEmpty { return }
        let name = command._commandName
        var rest = words[...]
        if globals.takeLeading(&rest) { words = Array(rest) }
        guard let verb = words.first else {
            throw CtrError(.usage, "\(name): no command given (ctr \(name) --help lists the commands)")
        }
        if !verb.hasPrefix("-"), !verbs.contains(verb) {
            throw CtrError(.usage, "\(name) \(verb.escaped): unknown command (ctr \(name) --help lists the commands)")
        }
    }
}
