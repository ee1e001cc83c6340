/// Reads the usual command lines of `run`, `exec` and the verbs that a server lives by without ArgumentParser, which takes
/// 2 ms for a verb of thirty options: as long as the rest of the start.
///
/// It is strict. On whatever it does not know (an unknown option, a value that is missing or wrong, `--help`, short
/// flags that stand together) it returns nil, and ArgumentParser reads the same words and says what is wrong with
/// them. So there is one place where wrong usage is explained, and what both accept means the same.
enum FastPath {
    /// The verb of a line that has nothing but names after it, as provisioning scripts write it by the thousand.
    static func named(_ verb: String, _ names: [String]) -> (any Verb)? {
        guard !names.isEmpty, !names.contains(where: { $0.hasPrefix("-") }) else { return nil }
        switch verb {
        case "start":
            var command = StartCommand()
            (command.all, command.onboot, command.wait, command.rescue) = (false, false, false, false)
            (command.timeout, command.names) = (StartCommand.patience, names)
            return command
        case "stop":
            var command = StopCommand()
            (command.timeout, command.all, command.names) = (StopCommand.patience, false, names)
            return command
        case "kill":
            var command = KillCommand()
            (command.signal, command.words) = (nil, names)
            return command
        case "destroy":
            var command = DestroyCommand()
            (command.force, command.names) = (false, names)
            return command
        case "suspend":
            var command = SuspendCommand()
            (command.keepRunning, command.compress, command.names) = (false, nil, names)
            return command
        case "hibernate":
            var command = HibernateCommand()
            command.names = names
            return command
        case "resume":
            var command = ResumeCommand()
            (command.discard, command.names) = (false, names)
            return command
        default: return nil
        }
    }

    /// - Parameter words: those after the verb.
    static func parse(_ verb: String, _ words: [String], _ globals: Globals) -> Invocation? {
        switch verb {
        case "run": run(words[...], globals).map(Invocation.run)
        case "exec": exec(words[...], globals).map(Invocation.exec)
        default: nil
        }
    }

    private static func run(_ words: ArraySlice<String>, _ globals: Globals) -> RunRequest? {
        var words = words
        var request = RunRequest(globals: globals)
        while let word = words.first, word.hasPrefix("-") {
            guard let (option, value) = OptionTable.run.take(&words) else { return nil }
            guard (try? request.take(option.long, value)) != nil else { return nil }
        }
        guard let template = words.popFirst() else { return nil }
        request.template = template
        request.command = command(words)
        return request
    }

    private static func exec(_ words: ArraySlice<String>, _ globals: Globals) -> ExecRequest? {
        var words = words
        var request = ExecRequest(globals: globals)
        var name: String?
        while let word = words.first, word != "--" {
            if word.hasPrefix("-") {
                guard let (option, value) = OptionTable.exec.take(&words) else { return nil }
                guard (try? request.take(option.long, value)) != nil else { return nil }
            } else {
                if name != nil { break }
                name = words.removeFirst()
            }
        }
        guard let name else { return nil }
        request.name = name
        request.command = command(words)
        return request.command.isEmpty ? nil : request
    }

    /// All the rest, but for the `--` that may mark its beginning.
    private static func command(_ words: ArraySlice<String>) -> [String] {
        Array(words.first == "--" ? words.dropFirst() : words)
    }
}
