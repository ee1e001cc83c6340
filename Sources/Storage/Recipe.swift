internal import Kernel
public import Model

/// A recipe: the file `recipe` in a directory, from which a template is built. The format is in <doc:Recipes>.
public struct Recipe: Equatable, Sendable {
    /// What the root begins with.
    public enum Base: Equatable, Sendable {
        /// Nothing but the directories that a VPS mounts on; packages are unpacked, their scripts do not run.
        case empty
        /// A Debian system of this suite, made by mmdebstrap with the packages installed.
        case mmdebstrap(suite: String)
    }
    public var name: String
    public var base: Base
    public var packages: [String] = []
    /// Commands executed inside, in order, after everything else.
    public var run: [[String]] = []
    public var defaults = Template.Defaults()

    public init(name: String, base: Base) {
        self.name = name
        self.base = base
    }

    static let fileName = "recipe"
    static let overlayName = "files"

    /// Reads the text of a recipe. Throws `badInput` naming file and line.
    /// - Parameter file: the file's name, for messages.
    public init(_ text: String, file: String) throws(CtrError) {
        var parser = RecipeParser(file: file)
        try KeyValueFile.read(
            text, file: file, code: .badInput, repeatable: ["packages", "env", "label", "run"]
        ) { (line) throws(CtrError) in try parser.read(line) }
        self = try parser.finish()
    }

    /// Reads the recipe of a directory. Throws `notFound` where it has none, `badInput` for a malformed one.
    public init(directory: String) throws(CtrError) {
        let file = "\(directory)/\(Recipe.fileName)"
        let bytes: [UInt8]
        do { bytes = try Kernel.open(directory, [.directory]).readFile(Recipe.fileName) } catch {
            throw CtrError(error.errno == Errno.noEntry ? .notFound : .badInput, "recipe \(file.escaped)", cause: error)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CtrError(.badInput, "\(file.escaped): not UTF-8 text")
        }
        try self.init(text, file: file)
    }
}

/// Reads a recipe line by line.
private struct RecipeParser {
    let file: String
    private var line: KeyValueFile.Line?
    private var name: String?
    private var base: Recipe.Base?
    private var packages: [String] = []
    private var run: [[String]] = []
    private var defaults = Template.Defaults()

    init(file: String) { self.file = file }

    mutating func read(_ line: KeyValueFile.Line) throws(CtrError) {
        self.line = line
        try set(line.key, line.value)
    }

    private mutating func set(_ key: String, _ value: String) throws(CtrError) {
        switch key {
        case "name":
            do { try Name.validate(value, kind: "template") } catch { throw bad(error.message) }
            name = value
        case "description": defaults.description = value
        case "base": base = try readBase(value)
        case "packages": packages += try readPackages(value)
        case "run": run.append(try words(value))
        case "init": defaults.initCommand = try words(value)
        case "stop-signal": defaults.stopSignal = value
        case "ready": defaults.ready = try readReady(value)
        case "entrypoint": defaults.entrypoint = try words(value)
        case "command": defaults.command = try words(value)
        case "env": defaults.env = (defaults.env ?? []) + [value]
        case "user": defaults.user = value
        case "workdir": defaults.workdir = value
        case "label":
            let pair = value.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[0].isEmpty else { throw bad("label '\(value)': not KEY=VALUE") }
            defaults.labels = (defaults.labels ?? [:]).merging([String(pair[0]): String(pair[1])]) { $1 }
        default:
            throw bad(
                "unknown key '\(key.escaped)' (known: name, description, base, packages, init, stop-signal, ready, "
                    + "entrypoint, command, env, user, workdir, label, run)")
        }
        // Every value is checked in its own line, so that the error can name it.
        do { try defaults.validate() } catch { throw bad(error.message) }
    }

    func finish() throws(CtrError) -> Recipe {
        guard let name else { throw CtrError(.badInput, "\(file.escaped): 'name' is missing") }
        guard let base else {
            throw CtrError(.badInput, "\(file.escaped): 'base' is missing (empty, or mmdebstrap SUITE)")
        }
        var recipe = Recipe(name: name, base: base)
        recipe.packages = packages
        recipe.run = run
        recipe.defaults = defaults
        return recipe
    }

    private func readBase(_ value: String) throws(CtrError) -> Recipe.Base {
        let parts = try words(value)
        if parts == ["empty"] { return .empty }
        guard parts.count == 2, parts[0] == "mmdebstrap" else {
            throw bad("base '\(value)': not 'empty' and not 'mmdebstrap SUITE'")
        }
        guard RecipeParser.isToken(parts[1], "-.") else { throw bad("suite '\(parts[1])': malformed") }
        return .mmdebstrap(suite: parts[1])
    }

    private func readReady(_ value: String) throws(CtrError) -> ReadySignal {
        if let signal = ReadySignal(rawValue: value) { return signal }
        throw bad("ready '\(value)': not one of \(ReadySignal.allCases.map(\.rawValue).joined(separator: ", "))")
    }

    private func readPackages(_ value: String) throws(CtrError) -> [String] {
        let names = try words(value)
        for name in names where name.utf8.count < 2 || !RecipeParser.isToken(name, "+-.") {
            throw bad("package '\(name)': not a Debian package's name")
        }
        return names
    }

    /// Whether a text is of a-z, 0-9 and `extra`, and begins with a letter or digit: no tool takes it for an option.
    private static func isToken(_ text: String, _ extra: String) -> Bool {
        func plain(_ byte: UInt8) -> Bool { (97...122).contains(byte) || (48...57).contains(byte) }
        guard let first = text.utf8.first, plain(first) else { return false }
        return text.utf8.allSatisfy { plain($0) || extra.utf8.contains($0) }
    }

    /// Splits at blanks. Quotes of either kind hold blanks together; in double quotes, and outside of quotes, a backslash
    /// takes the next character as it is. No other expansion.
    private func words(_ text: String) throws(CtrError) -> [String] {
        var all: [String] = []
        var word: String?
        var quote: Character?
        var literal = false
        for c in text {
            if literal {
                word = (word ?? "") + String(c)
                literal = false
            } else if c == "\\", quote != "'" {
                literal = true
            } else if c == quote {
                quote = nil
            } else if quote == nil, c == "'" || c == "\"" {
                quote = c
                word = word ?? ""
            } else if quote == nil, c == " " || c == "\t" {
                if let word { all.append(word) }
                word = nil
            } else {
                word = (word ?? "") + String(c)
            }
        }
        if quote != nil || literal { throw bad("a quote is not closed") }
        if let word { all.append(word) }
        return all
    }

    private func bad(_ why: String) -> CtrError { line?.bad(why) ?? CtrError(.badInput, why) }
}
