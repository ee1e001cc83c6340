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
    /// `KEY=VALUE`.
    public var env: [String] = []
    /// `USER[:GROUP]`, names or numbers of the template's own passwd and group.
    public var user: String?
    public var workdir: String?
    public var labels: [String: String]?

    public init(name: String, created: String, architecture: String, size: Int64) {
        self.name = name
        self.created = created
        self.architecture = architecture
        self.size = size
    }
}
