/// A named set of options in a file `NAME.profile`: lines `option = value`, the options those of `create` without their
/// dashes. What is a flag there takes `yes` or `no` here.
public struct Profile: Sendable, Equatable {
    public let name: String
    /// The file that it was read from.
    public let file: String
    /// The lines that say something, in order.
    public private(set) var lines: [Entry] = []
    /// What they mean.
    public private(set) var options = VPSOptions()

    public struct Entry: Sendable, Equatable {
        public let option: String
        public let value: String
    }

    /// How the name of a profile's file ends.
    public static let suffix = ".profile"

    static let flags: Set<String> = ["nesting", "onboot", "protect", "thick"]
    static let repeatable: Set<String> = [
        "ssh-key", "dns", "label", "env", "mount", "device", "cap-add", "cap-drop", "ulimit", "io-read-bps",
        "io-write-bps", "io-read-iops", "io-write-iops", "ip", "gateway", "publish",
        "interface",
    ]
    static let single: Set<String> = [
        "hostname", "domain", "password-hash", "timezone", "description", "init", "restart", "boot-priority", "cpus",
        "cpu-weight", "cpuset", "memory", "memory-high", "swap", "pids", "disk", "seccomp", "userns", "net", "mac",
        "rate-in", "rate-out", "stop-signal",
    ]
    /// All that may stand in a profile.
    public static let known = flags.union(repeatable).union(single)

    /// Reads a profile's text.
    /// - Throws: `config` naming file and line, for an unknown option and a bad value too.
    public init(_ text: String, name: String, file: String) throws(CtrError) {
        self.name = name
        self.file = file
        var profile = self
        try KeyValueFile.read(text, file: file, code: .config, repeatable: Profile.repeatable) {
            (line) throws(CtrError) in
            guard Profile.known.contains(line.key) else {
                throw line.bad(
                    "unknown option '\(line.key)' (known: \(Profile.known.sorted().joined(separator: ", ")))")
            }
            do throws(CtrError) { try profile.take(line.key, line.value) } catch { throw line.bad(error.message) }
        }
        (lines, options) = (profile.lines, profile.options)
    }

    private mutating func take(_ option: String, _ value: String) throws(CtrError) {
        lines.append(Entry(option: option, value: value))
        if Profile.flags.contains(option) {
            guard value == "yes" || value == "no" else {
                throw CtrError(.config, "\(option) '\(value)': neither yes nor no")
            }
            return try options.set(value == "yes" ? "--\(option)" : "--no-\(option)", "")
        }
        if option == "ssh-key", !value.hasPrefix("/") {
            throw CtrError(.config, "ssh-key '\(value)': not an absolute path")
        }
        if option == "seccomp", value != "default", value != "unconfined", !value.hasPrefix("/") {
            // Whose directory would it be relative to?
            throw CtrError(.config, "seccomp '\(value)': neither default, unconfined nor an absolute path")
        }
        try options.set("--\(option)", value)
    }
}
