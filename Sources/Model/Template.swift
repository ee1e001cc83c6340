/// `template.json`: what a sealed template is and how a VPS made from it starts.
public struct Template: Codable, Equatable, Sendable {
    /// The format of this file.
    public var version = 1
    public var name: String
    public var description: String?
    /// RFC 3339, UTC.
    public var created: String
    /// As uname(2) and the OCI image spec name it: `amd64`, `arm64`.
    public var architecture: String
    /// Bytes of file data below the layers.
    public var size: Int64
    /// Where it came from: `recipe minimal`, `tar FILE`, `oci REFERENCE`.
    public var source: String?
    /// `sha256:HEX` of what was imported, for archives.
    public var digest: String?
    /// Layers, lowest first, each a directory below the template's own.
    public var layers: [String] = ["rootfs"]
    /// What `run` executes: entrypoint, then command or the words given instead of it.
    public var entrypoint: [String]?
    public var command: [String]?
    /// What `start` executes as process 1.
    public var initCommand: [String]?
    /// The signal that asks init to halt, for example `SIGRTMIN+3`.
    public var stopSignal: String?
    /// How init says that the system is up; nil is `started`.
    public var ready: ReadySignal?
    /// `KEY=VALUE`.
    public var env: [String] = []
    /// `USER[:GROUP]`, names or numbers of the template's own passwd and group.
    public var user: String?
    public var workdir: String?
    public var labels: [String: String]?
    /// The configuration of the VPS that it was made of.
    public var vps: VPSConfig?

    public init(name: String, created: String, architecture: String, size: Int64) {
        self.name = name
        self.created = created
        self.architecture = architecture
        self.size = size
    }
}

extension Template {
    /// What an archive or recipe may set: all but name, times, size and layers. An export carries it.
    public struct Defaults: Codable, Equatable, Sendable {
        public var description: String?
        public var architecture: String?
        public var entrypoint: [String]?
        public var command: [String]?
        public var initCommand: [String]?
        public var stopSignal: String?
        public var ready: ReadySignal?
        public var env: [String]?
        public var user: String?
        public var workdir: String?
        public var labels: [String: String]?
        public init() {}
    }

    /// The part that travels with an export.
    public var defaults: Defaults {
        get {
            var d = Defaults()
            d.description = description
            d.architecture = architecture
            d.entrypoint = entrypoint
            d.command = command
            d.initCommand = initCommand
            d.stopSignal = stopSignal
            d.ready = ready
            d.env = env
            d.user = user
            d.workdir = workdir
            d.labels = labels
            return d
        }
        set {
            description = newValue.description
            architecture = newValue.architecture ?? architecture
            entrypoint = newValue.entrypoint
            command = newValue.command
            initCommand = newValue.initCommand
            stopSignal = newValue.stopSignal
            ready = newValue.ready
            env = newValue.env ?? []
            user = newValue.user
            workdir = newValue.workdir
            labels = newValue.labels
        }
    }
}

extension Template.Defaults {
    /// Holds values that came from outside against what they mean. Throws `badInput` naming the field.
    public func validate() throws(CtrError) {
        for (field, words) in [("entrypoint", entrypoint), ("command", command), ("init", initCommand)] {
            guard let words else { continue }
            try Self.check(field, words, most: 4096)
            if words.first == "" { throw CtrError(.badInput, "\(field): its first word is empty") }
        }
        try Self.check("env", env ?? [], most: 4096)
        for entry in env ?? [] where entry.first == "=" || !entry.contains("=") {
            throw CtrError(.badInput, "env '\(String(entry.prefix(100)).escaped)': not KEY=VALUE")
        }
        for (field, text) in [("description", description), ("user", user), ("workdir", workdir)] {
            guard let text else { continue }
            if text.utf8.count > 4095 || text.escaped != text {
                throw CtrError(.badInput, "\(field): too long, or control characters in it")
            }
        }
        if let workdir, !workdir.isEmpty, !workdir.hasPrefix("/") {
            throw CtrError(.badInput, "workdir '\(workdir)': not an absolute path")
        }
        try Self.checkToken("stop signal", stopSignal)
        try Self.checkToken("architecture", architecture)
        try Self.check("labels", (labels ?? [:]).flatMap { [$0.key, $0.value] }, most: 4096)
    }

    /// Words that end up in execve(2) or in files: no NUL, none longer than the kernel takes (128 KiB).
    private static func check(_ field: String, _ words: [String], most: Int) throws(CtrError) {
        if words.count > most { throw CtrError(.badInput, "\(field): more than \(most) words") }
        for word in words where word.utf8.count >= 128 << 10 || word.utf8.contains(0) {
            throw CtrError(.badInput, "\(field): a word is longer than 128 KiB or has a NUL in it")
        }
    }

    private static func checkToken(_ field: String, _ text: String?) throws(CtrError) {
        guard let text else { return }
        let good = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        if text.isEmpty || text.utf8.count > 32 || !good {
            throw CtrError(.badInput, "\(field) '\(String(text.prefix(40)).escaped)': malformed")
        }
    }
}
