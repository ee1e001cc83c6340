internal import CSeccomp
internal import Kernel
public import Model

/// Compiled filters as files, so that starting a VPS does not pay for compiling: one open(2), one read(2).
///
/// A file's name is its key. It is written beside its place and renamed there; one that is damaged, or that another key
/// made, does not count and is replaced.
public struct SeccompCache: Sendable {
    private let directory: String

    /// - Parameter directory: made (mode 0700) where it is missing; the directory above it must exist. What lies here is
    ///   trusted, so only root may write it.
    public init(directory: String) { self.directory = directory }

    /// Which filter: cheap to make, without building the profile.
    public struct Key: Equatable, Sendable {
        /// Also the file's name.
        public let text: String

        /// The default profile's.
        public static func `default`(
            capabilities: [String], nesting: Bool, userns: SeccompProfile.UserNamespace,
            architecture: SeccompProfile.Architecture = .native
        ) -> Key {
            var held = ""
            if userns == .host {
                // Only these make a difference; their letters are their places in the list.
                for (index, name) in SeccompProfile.capabilitiesThatMatter.enumerated()
                where capabilities.contains(name) {
                    held += String(UnicodeScalar(UInt8(97 + index)))
                }
            }
            let nested = nesting ? "nesting" : "plain"
            return Key(
                text: "default-\(SeccompProfile.defaultVersion)-\(Key.build)-\(architecture.rawValue)-"
                    + "\(userns.rawValue)-\(nested)-\(held)")
        }

        /// That of a profile in a file, and of what its conditions are held against.
        public static func file(_ json: [UInt8], host: SeccompProfile.Host) -> Key {
            let facts = host.capabilities.sorted().joined(separator: ",") + ";" + host.kernel
            let first = Checksum.of(json, seed: 1)
            let second = Checksum.of(json + Array(facts.utf8), seed: 2)
            return Key(
                text:
                    "file-\(Key.build)-\(host.architecture.rawValue)-\(String(first, radix: 16))-\(String(second, radix: 16))"
            )
        }

        /// What compiles: another libseccomp knows other names.
        private static let build =
            "\(SeccompCache.formatVersion).\(SCMP_VER_MAJOR).\(SCMP_VER_MINOR).\(SCMP_VER_MICRO)"
    }

    /// The default profile's filter, from the cache or compiled and put there.
    public func `default`(
        capabilities: [String], nesting: Bool, userns: SeccompProfile.UserNamespace
    ) throws(CtrError) -> SeccompFilter {
        try filter(.default(capabilities: capabilities, nesting: nesting, userns: userns)) {
            () throws(CtrError) in
            try .compile(.default(capabilities: capabilities, nesting: nesting, userns: userns))
        }
    }

    /// A filter for `--seccomp FILE`.
    public func file(
        _ name: String, json: [UInt8], host: SeccompProfile.Host
    ) throws(CtrError) -> SeccompFilter {
        try filter(.file(json, host: host)) { () throws(CtrError) in
            try .compile(file: name, json: json, host: host)
        }
    }

    /// The filter of a key, else what `compile` makes. That the cache can't be written is no error: the filter is there.
    func filter(_ key: Key, compile: () throws(CtrError) -> SeccompFilter) throws(CtrError) -> SeccompFilter {
        if let cached = read(key) { return cached }
        let made = try compile()
        write(key, made)
        return made
    }

    // MARK: files

    static let formatVersion = 1
    private static let magic = Array("CTRBPF\n\0".utf8)
    private static let headerSize = 32
    private static let largest = headerSize + Seccomp.longestProgram * Seccomp.instructionSize + 16384

    /// Nil for a file that is missing, can't be read, is cut short, or is not what this key's file must be.
    private func read(_ key: Key) -> SeccompFilter? {
        let bytes: [UInt8]
        do throws(SysError) {
            bytes = try open("\(directory)/\(key.text)", [.readOnly, .noFollow, .nonBlocking]).read(
                upTo: Self.largest + 1)
        } catch { return nil }
        return Self.decode(bytes, key)
    }

    /// The header: magic (8), format version (4), flags (4), bytes of the program (4), bytes of the unknown names (4),
    /// checksum (8). Then the program, then the unknown names, a line each.
    static func decode(_ bytes: [UInt8], _ key: Key) -> SeccompFilter? {
        guard bytes.count > headerSize, bytes.count <= largest, bytes.starts(with: magic) else { return nil }
        func word(_ offset: Int) -> UInt32 {
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
        }
        let (flags, length, namesLength) = (word(12), Int(word(16)), Int(word(20)))
        let body = Array(bytes[headerSize...])
        let sum = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 24, as: UInt64.self) }
        guard word(8) == formatVersion, length + namesLength == body.count, length > 0,
            length % Seccomp.instructionSize == 0, sum == checksum(body, flags, key)
        else { return nil }
        let names = String(decoding: body[length...], as: UTF8.self).split(separator: "\n").map(String.init)
        return SeccompFilter(
            program: Array(body[..<length]), flags: Seccomp.Flags(rawValue: flags), unknownNames: names)
    }

    static func encode(_ filter: SeccompFilter, _ key: Key) -> [UInt8] {
        let names = Array(filter.unknownNames.joined(separator: "\n").utf8)
        let body = filter.program + names
        var bytes = magic
        for word in [
            UInt32(formatVersion), filter.flags.rawValue, UInt32(filter.program.count), UInt32(names.count),
        ] {
            withUnsafeBytes(of: word) { bytes += $0 }
        }
        withUnsafeBytes(of: checksum(body, filter.flags.rawValue, key)) { bytes += $0 }
        return bytes + body
    }

    private static func checksum(_ body: [UInt8], _ flags: UInt32, _ key: Key) -> UInt64 {
        Checksum.of(body, seed: Checksum.of(Array(key.text.utf8), seed: UInt64(flags)))
    }

    private func write(_ key: Key, _ filter: SeccompFilter) {
        if Self.encode(filter, key).count > Self.largest { return }
        do throws(SysError) {
            let (parent, name) = IDRegistry.split(directory)
            let folder = try open(parent, [.directory]).ensureDirectory(name, mode: 0o700)
            // A name of its own: two that compile at once don't write into one file.
            let temporary = ".\(key.text).\(CurrentProcessID.number)"
            do throws(SysError) {
                try folder.open(temporary, [.writeOnly, .create, .truncate, .noFollow], mode: 0o600)
                    .writeAll(Self.encode(filter, key))
                try folder.rename(temporary, to: folder, key.text)
            } catch { try folder.unlink(temporary) }
        } catch {
            // A full or read-only disk: the filter is compiled again next time.
        }
    }
}

/// A checksum against damage, not against forgery: eight bytes a step.
enum Checksum {
    static func of(_ bytes: [UInt8], seed: UInt64) -> UInt64 {
        var sum: UInt64 = 0xcbf2_9ce4_8422_2325 ^ seed
        func add(_ word: UInt64) {
            sum = (sum ^ word) &* 0x9e37_79b9_7f4a_7c15
            sum ^= sum >> 29
        }
        add(UInt64(bytes.count))
        bytes.withUnsafeBytes { buffer in
            let whole = buffer.count & ~7
            for offset in stride(from: 0, to: whole, by: 8) {
                add(buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
            for byte in buffer[whole...] { add(UInt64(byte)) }
        }
        return sum
    }
}
