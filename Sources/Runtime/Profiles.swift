internal import Kernel
public import Model

/// The profiles of this host: the operator's own, then those that came with ctr. Of two with one name the operator's
/// counts.
public enum Profiles {
    /// The options with those of their profile under them; as they are where they name none.
    /// - Throws: `notFound` for an unknown profile, `config` for a malformed one.
    public static func resolve(_ options: VPSOptions) throws(CtrError) -> VPSOptions {
        guard let name = options.profile else { return try options.readingKeys() }
        return try find(name).options.overridden(by: options).readingKeys()
    }

    /// - Throws: `notFound`, `config` naming file and line for a malformed one.
    public static func find(_ name: String) throws(CtrError) -> Profile {
        try Name.validate(name, kind: "profile")
        let places = try directories()
        for place in places { if let profile = try read(name, in: place) { return profile } }
        throw CtrError(
            .notFound,
            "profile \(name): no such profile (looked in \(places.joined(separator: ", ")); see ctr profile list)")
    }

    /// All of them by name; one that is malformed is warned of.
    public static func list() throws(CtrError) -> [Profile] {
        var all: [String: Profile] = [:]
        var seen: Set<String> = []
        for place in try directories() {
            for name in try names(in: place) where seen.insert(name).inserted {
                do throws(CtrError) { all[name] = try read(name, in: place) } catch { Message.warn(error.message) }
            }
        }
        return all.sorted { $0.key < $1.key }.map(\.value)
    }

    /// For completions: no file is read.
    public static func names() throws(CtrError) -> [String] {
        var all: Set<String> = []
        for place in try directories() { all.formUnion(try names(in: place)) }
        return all.sorted()
    }

    private static func read(_ name: String, in directory: String) throws(CtrError) -> Profile? {
        let file = "\(directory)/\(name)\(Profile.suffix)"
        let bytes: [UInt8]
        do throws(SysError) {
            // The operator's own files: they may be links. A fifo must not make us wait.
            let opened = try open(file, [.readOnly, .nonBlocking, .noControllingTerminal])
            guard try opened.status().type == .regular else { throw SysError("read", Errno.invalid, file) }
            bytes = try opened.readAll(limit: 1 << 20)
        } catch {
            if error.errno == Errno.noEntry { return nil }
            throw CtrError(.config, "profile \(file.escaped)", cause: error)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CtrError(.config, "\(file.escaped): not UTF-8 text")
        }
        return try Profile(text, name: name, file: file)
    }

    private static func names(in directory: String) throws(CtrError) -> [String] {
        let entries: [DirectoryEntry]
        do throws(SysError) { entries = try open(directory, [.readOnly, .directory]).entries() } catch {
            if error.errno == Errno.noEntry { return [] }
            throw CtrError(.config, "profiles \(directory.escaped)", cause: error)
        }
        return entries.map(\.name.description).filter { $0.hasSuffix(Profile.suffix) }
            .map { String($0.dropLast(Profile.suffix.count)) }
            .filter { (try? Name.validate($0, kind: "profile")) != nil }
    }

    /// Where they are looked for, the first first.
    private static func directories() throws(CtrError) -> [String] {
        let own = try Settings.load().profiles ?? Settings.standardProfiles
        guard own.hasPrefix("/") else {
            throw CtrError(.config, "settings: profiles '\(own.escaped)': not an absolute path")
        }
        return [own] + shipped
    }

    /// What came with this program, at PREFIX/bin/ctr: PREFIX/share/ctr/profiles; of a checkout, share/profiles.
    private static var shipped: [String] {
        let parts = program.split(separator: "/").dropLast()
        guard parts.last == "bin" else { return [] }
        let prefix = parts.dropLast().reduce("") { "\($0)/\($1)" }
        let isCheckout = (try? open("\(prefix)/Package.swift", [.path])) != nil
        return [isCheckout ? "\(prefix)/share/profiles" : "\(prefix)/share/ctr/profiles"]
    }

    /// The path of this program, also where it runs from a sealed copy in memory.
    private static var program: String {
        let link = (try? open("/proc/self", [.path, .directory]).readLink("exe").description) ?? ""
        if !link.hasPrefix("/memfd:") {
            let gone = " (deleted)"  // replaced by a newer one meanwhile
            return link.hasSuffix(gone) ? String(link.dropLast(gone.count)) : link
        }
        let word = CommandLine.arguments.first ?? ""
        if word.contains("/") { return (try? Caller.absolutePath(word)) ?? "" }
        // As the shell found it.
        let places = (Caller.environment("PATH") ?? "").split(separator: ":").map { "\($0)/\(word)" }
        return places.first { (try? open($0, [.path])) != nil } ?? ""
    }
}
