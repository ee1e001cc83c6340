/// One option as words of a command line show it.
struct OptionName: Equatable {
    /// With its dashes: `--memory`.
    let long: String
    /// With its dash: `-m`.
    let short: String?
    let takesValue: Bool

    init(_ long: String, _ short: String? = nil, value: Bool) {
        self.long = long
        self.short = short
        takesValue = value
    }
}

/// The names of a verb's options, for ``FastPath`` and to find where the options end. ArgumentParser's definitions are
/// the reference; a test holds this table against its own dump.
struct OptionTable {
    let options: [OptionName]

    /// Takes an option and its value off the front of `words`: `--opt`, `--opt value`, `--opt=value`, `-o`, `-o value`.
    /// - Returns: nil for anything else, with `words` unchanged.
    func take(_ words: inout ArraySlice<String>) -> (option: OptionName, value: String)? {
        guard let word = words.first else { return nil }
        var rest = words.dropFirst()
        if let option = find(word) {
            guard option.takesValue else {
                words = rest
                return (option, "")
            }
            // What looks like an option is none's value; ArgumentParser says so too.
            guard let value = rest.popFirst(), !value.hasPrefix("-") else { return nil }
            words = rest
            return (option, value)
        }
        guard word.hasPrefix("--"), let equals = word.firstIndex(of: "="), let option = find(String(word[..<equals])),
            option.takesValue
        else { return nil }
        let value = word[word.index(after: equals)...]
        if value.isEmpty { return nil }
        words = rest
        return (option, String(value))
    }

    private func find(_ word: String) -> OptionName? {
        options.first { $0.long == word || $0.short == word }
    }

    /// Whether the word after this one is its value.
    private func wantsNextWord(_ word: String) -> Bool {
        if word.hasPrefix("--") { return find(word)?.takesValue ?? false }
        // Short flags may stand together, the last of them may take a value: `-te K=V`.
        guard let last = word.last else { return false }
        return find("-\(last)")?.takesValue ?? false
    }

    /// Puts a `--` where a verb's command begins, so that ArgumentParser looks at nothing of it: `run -t web ls -l`
    /// becomes `run -t web -- ls -l`.
    /// - Parameter optionsAfterName: whether options may also stand between the first word and the command.
    func marking(_ words: [String], optionsAfterName: Bool) -> [String] {
        var marked: [String] = []
        var rest = words[...]
        var named = false
        while let word = rest.first {
            if word == "--" {
                rest.removeFirst()
                if named { break }
                // Ends the options: the name is next.
                guard let name = rest.popFirst() else { break }
                return marked + [name, "--"] + (rest.first == "--" ? rest.dropFirst() : rest)
            }
            if word.hasPrefix("-"), word != "-", !named || optionsAfterName {
                marked.append(word)
                rest.removeFirst()
                if wantsNextWord(word), let value = rest.first, !value.hasPrefix("-") {
                    marked.append(value)
                    rest.removeFirst()
                }
            } else if !named {
                marked.append(word)
                rest.removeFirst()
                named = true
            } else {
                break
            }
        }
        return named ? marked + ["--"] + rest : marked
    }
}

extension OptionTable {
    static let globals = OptionTable(options: globalNames)

    private static let globalNames = [
        OptionName("--root", value: true), OptionName("--state", value: true), OptionName("--json", value: false),
        OptionName("--quiet", "-q", value: false), OptionName("--debug", value: false),
    ]

    /// What `run` has and `VPSOptions.set` understands, but for `--interactive`.
    static let run = OptionTable(
        options: [
            OptionName("--name", value: true), OptionName("--detach", "-d", value: false),
            OptionName("--terminal", "-t", value: false), OptionName("--interactive", "-i", value: false),
            OptionName("--keep", value: false), OptionName("--user", "-u", value: true),
            OptionName("--workdir", "-w", value: true), OptionName("--env", "-e", value: true),
            OptionName("--hostname", value: true), OptionName("--domain", value: true),
            OptionName("--password-hash", value: true), OptionName("--ssh-key", value: true),
            OptionName("--dns", value: true), OptionName("--timezone", value: true),
            OptionName("--description", value: true), OptionName("--label", value: true),
            OptionName("--cpus", value: true), OptionName("--cpu-weight", value: true),
            OptionName("--cpuset", value: true), OptionName("--memory", "-m", value: true),
            OptionName("--memory-high", value: true), OptionName("--swap", value: true),
            OptionName("--pids", value: true), OptionName("--io-read-bps", value: true),
            OptionName("--io-write-bps", value: true), OptionName("--io-read-iops", value: true),
            OptionName("--io-write-iops", value: true), OptionName("--ulimit", value: true),
            OptionName("--disk", value: true), OptionName("--thick", value: false),
            OptionName("--no-thick", value: false),
            OptionName("--mount", "-v", value: true), OptionName("--device", value: true),
            OptionName("--cap-add", value: true), OptionName("--cap-drop", value: true),
            OptionName("--seccomp", value: true), OptionName("--userns", value: true),
            OptionName("--net", value: true), OptionName("--ip", value: true), OptionName("--gateway", value: true),
            OptionName("--mac", value: true), OptionName("--publish", value: true),
            OptionName("--rate-in", value: true), OptionName("--rate-out", value: true),
            OptionName("--interface", value: true), OptionName("--nesting", value: false),
            OptionName("--no-nesting", value: false), OptionName("--stop-signal", value: true),
            OptionName("--profile", value: true), OptionName("--protect", value: false),
            OptionName("--no-protect", value: false),
        ] + globalNames)

    static let exec = OptionTable(
        options: [
            OptionName("--terminal", "-t", value: false), OptionName("--interactive", "-i", value: false),
            OptionName("--user", "-u", value: true), OptionName("--workdir", "-w", value: true),
            OptionName("--env", "-e", value: true), OptionName("--offline", value: false),
        ] + globalNames)
}
