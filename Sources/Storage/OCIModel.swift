internal import Model

// The documents of an OCI image layout, of the OCI image specification 1.1, as far as we read them.

struct OCILayoutMark: Decodable {
    let imageLayoutVersion: String
}

struct OCIDescriptor: Decodable {
    struct Platform: Decodable {
        let architecture: String
        let os: String
    }
    let mediaType: String?
    let digest: String
    let size: Int64
    let platform: Platform?
    let annotations: [String: String]?

    /// The name that tools show for an image of an index.
    var reference: String {
        String((annotations?["org.opencontainers.image.ref.name"] ?? digest).prefix(100)).escaped
    }

    var isIndex: Bool {
        mediaType == "application/vnd.oci.image.index.v1+json"
            || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
    }

    /// The 64 digits of the digest. Throws `badInput` for other algorithms: a digest becomes a path.
    func hex() throws(CtrError) -> String {
        guard digest.hasPrefix("sha256:") else {
            throw CtrError(.badInput, "digest '\(String(digest.prefix(100)).escaped)': not sha256")
        }
        return try OCIDescriptor.hex(String(digest.dropFirst(7)))
    }

    static func hex(_ text: String) throws(CtrError) -> String {
        let good = text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
        guard text.utf8.count == 64, good else {
            throw CtrError(.badInput, "digest 'sha256:\(String(text.prefix(100)).escaped)': malformed")
        }
        return text
    }
}

struct OCIIndex: Decodable {
    let schemaVersion: Int
    let manifests: [OCIDescriptor]
}

struct OCIManifest: Decodable {
    let schemaVersion: Int
    let config: OCIDescriptor
    let layers: [OCIDescriptor]
}

struct OCIConfig: Decodable {
    struct Process: Decodable {
        enum CodingKeys: String, CodingKey {
            case entrypoint = "Entrypoint"
            case command = "Cmd"
            case env = "Env"
            case user = "User"
            case workdir = "WorkingDir"
            case labels = "Labels"
            case stopSignal = "StopSignal"
        }
        let entrypoint: [String]?
        let command: [String]?
        let env: [String]?
        let user: String?
        let workdir: String?
        let labels: [String: String]?
        let stopSignal: String?
    }
    struct RootFS: Decodable {
        enum CodingKeys: String, CodingKey {
            case diffIDs = "diff_ids"
        }
        let diffIDs: [String]
    }
    let architecture: String
    let os: String
    let config: Process?
    let rootfs: RootFS

    /// What the image says of its process, checked. Throws `unavailable` where it is for another kind of host.
    func defaults() throws(CtrError) -> Template.Defaults {
        guard os == "linux", architecture == Host.architecture else {
            throw CtrError(
                .unavailable,
                "the image is for \(String(os.prefix(32)).escaped)/\(String(architecture.prefix(32)).escaped), "
                    + "this host is linux/\(Host.architecture)")
        }
        func filled(_ text: String?) -> String? { text?.isEmpty == false ? text : nil }
        func filled(_ words: [String]?) -> [String]? { words?.isEmpty == false ? words : nil }
        var defaults = Template.Defaults()
        defaults.architecture = architecture
        defaults.entrypoint = filled(config?.entrypoint)
        defaults.command = filled(config?.command)
        defaults.env = config?.env ?? []
        defaults.user = filled(config?.user)
        defaults.workdir = filled(config?.workdir)
        defaults.stopSignal = filled(config?.stopSignal)
        if let labels = config?.labels, !labels.isEmpty { defaults.labels = labels }
        try defaults.validate()
        return defaults
    }
}

/// An entry of `manifest.json`, as `docker save` writes it.
struct DockerManifest: Decodable {
    enum CodingKeys: String, CodingKey {
        case config = "Config"
        case layers = "Layers"
    }
    let config: String
    let layers: [String]
}
