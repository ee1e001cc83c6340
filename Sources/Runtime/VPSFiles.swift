internal import FoundationEssentials
internal import Kernel
internal import Model
internal import Storage

/// The files of one VPS. One that is ephemeral has its configuration in state.json: so a directory below vps/ without
/// config.json whose supervisor is dead is a leftover and nothing else.
///
///     $CTR_ROOT/vps/NAME/    kept:       config.json  disk.img, or disk/upper and disk/work  log/console.log
///                                        last.json  scripts/ (an operator's own, see ActionScripts)
///                            ephemeral:  scratch.img, or upper and work  log/console.log
///     $CTR_STATE/NAME/       state.json  console  ready  stop   (the supervisor holds a lock on the directory itself)
struct VPSFiles {
    let name: String
    let host: Host
    /// $CTR_ROOT/vps
    let all: SharedFD
    /// $CTR_STATE
    let states: SharedFD

    var path: String { "\(host.root)/vps/\(name)" }
    var statePath: String { "\(host.state)/\(name)" }

    /// What the engine takes for the disk; an image is mounted by then.
    func diskPath(_ config: VPSConfig) -> String {
        if config.disk != nil { return "\(path)/\(VPSFiles.imageName(config))" }
        return config.ephemeral ? path : "\(path)/disk"
    }

    /// nil for a VPS whose disk is a directory.
    func image(_ config: VPSConfig, in directory: SharedFD) -> DiskImage? {
        config.disk.map { _ in DiskImage(VPSFiles.imageName(config), in: directory, of: name) }
    }

    /// The image of a VPS that does not run, attached; nil for one whose disk is a directory.
    func attachDisk(_ config: VPSConfig, in directory: SharedFD) throws(CtrError) -> AttachedDisk? {
        guard let disk = config.disk else { return nil }
        return try image(config, in: directory)?.open(disk)
    }

    /// Of a kept VPS, and of an ephemeral one.
    private static let imageNames = ["disk.img", "scratch.img"]

    private static func imageName(_ config: VPSConfig) -> String { imageNames[config.ephemeral ? 1 : 0] }

    /// The image of a VPS of which only the name is known; nil where its disk is a directory.
    static func imageStatus(of name: String, below all: SharedFD) -> FileStatus? {
        for image in imageNames { if let status = try? all.fd.status(of: "\(name)/\(image)") { return status } }
        return nil
    }

    init(_ name: String, host: Host) throws(CtrError) {
        try Name.validate(name, kind: "VPS")
        self.name = name
        self.host = host
        all = SharedFD(try host.vpsDirectory())
        states = SharedFD(try host.stateDirectory())
    }

    /// $CTR_ROOT/vps/NAME, nil if there is none.
    func directory() throws(CtrError) -> SharedFD? { try VPSFiles.directory(name, below: all) }

    /// $CTR_STATE/NAME, nil if there is none.
    func stateDirectory() throws(CtrError) -> SharedFD? { try VPSFiles.directory(name, below: states) }

    private static func directory(_ name: String, below parent: SharedFD) throws(CtrError) -> SharedFD? {
        do throws(SysError) { return SharedFD(try parent.fd.open(name, [.directory, .noFollow])) } catch {
            if error.errno == Errno.noEntry { return nil }
            throw CtrError(.io, "directory of VPS \(name)", cause: error)
        }
    }

    /// Opens the state directory, making it if the host was rebooted since.
    func ensureStateDirectory() throws(CtrError) -> SharedFD {
        let (states, name) = (states, name)
        return try describing("state of VPS \(name)") { () throws(SysError) in
            SharedFD(try states.fd.ensureDirectory(name, mode: 0o700))
        }
    }

    /// The configuration, from where it is; nil if the VPS has none.
    func config() throws(CtrError) -> VPSConfig? {
        if let place = try directory(), let config = try keptConfig(in: place) { return config }
        return try state()?.config
    }

    /// config.json; nil where there is none.
    func keptConfig(in place: SharedFD) throws(CtrError) -> VPSConfig? {
        guard var config: VPSConfig = try VPSFiles.read("config.json", in: place, of: name) else { return nil }
        if config.name != name {
            // A `rename` was killed half way; or an operator renamed the directory.
            if config.hostname == config.name { config.hostname = name }
            config.name = name
        }
        return config
    }

    func state() throws(CtrError) -> VPSState? {
        guard let place = try stateDirectory() else { return nil }
        return try VPSFiles.read("state.json", in: place, of: name)
    }

    static func read<T: Decodable>(_ file: String, in place: SharedFD, of name: String) throws(CtrError) -> T? {
        let bytes: [UInt8]
        do throws(SysError) { bytes = try place.fd.readFile(file) } catch {
            if error.errno == Errno.noEntry { return nil }
            throw CtrError(.io, "\(file) of VPS \(name)", cause: error)
        }
        do { return try JSONDecoder().decode(T.self, from: Data(bytes)) } catch {
            throw CtrError(.config, "\(file) of VPS \(name): damaged (\(JSONText.describe(error)))")
        }
    }

    static func write(
        _ value: some Encodable, _ file: String, in place: SharedFD, of name: String, durable: Bool
    ) throws(CtrError) {
        let bytes = try JSONText.encode(value)
        try describing("\(file) of VPS \(name)") { () throws(SysError) in
            try place.fd.replaceFile(file, bytes, durable: durable)
        }
    }
}

/// JSON as ctr writes it: keys sorted, one document, a newline at its end.
enum JSONText {
    static func encode(_ value: some Encodable, pretty: Bool = false) throws(CtrError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            pretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(value)) + [10] } catch {
            throw CtrError(.failed, "write JSON: \(describe(error))")
        }
    }

    static func describe(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "no key '\(key.stringValue)'"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "wrong value at '\(context.codingPath.map(\.stringValue).joined(separator: "."))'"
        case DecodingError.dataCorrupted(let context): context.debugDescription
        default: "\(error)"
        }
    }
}
