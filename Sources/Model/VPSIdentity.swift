/// What makes a VPS one of its own among those of the same template, beside its name, hostname and addresses. It is
/// written into the VPS's files before its first start.
public struct VPSIdentity: Codable, Sendable, Equatable {
    /// Of root, as crypt(5) has it.
    public var passwordHash: String?
    /// Public keys that may log in as root: lines of sshd(8)'s authorized_keys without options.
    public var sshKeys: [String] = []
    /// Name servers.
    public var dns: [IPAddress] = []
    /// A name of tz database: `Europe/Vienna`.
    public var timezone: String?

    public init() {}

    public var isEmpty: Bool { self == VPSIdentity() }

    /// What can be written alone: what an administrator has changed inside since stays as it is.
    public enum Part: String, Codable, Sendable, CaseIterable {
        /// Machine id and ssh host keys, which are made anew.
        case machine
        /// Hostname and domain.
        case names
        case password, keys, dns, timezone
    }
}

extension VPSIdentity? {
    /// With what was given of it: lists take the place of those that were there.
    func merging(_ given: VPSIdentity) -> VPSIdentity? {
        var merged = self ?? VPSIdentity()
        merged.passwordHash = given.passwordHash ?? merged.passwordHash
        if !given.sshKeys.isEmpty { merged.sshKeys = given.sshKeys }
        if !given.dns.isEmpty { merged.dns = given.dns }
        merged.timezone = given.timezone ?? merged.timezone
        return merged.isEmpty ? nil : merged
    }
}

extension VPSConfig {
    /// Never nil.
    var identityValue: VPSIdentity {
        get { identity ?? VPSIdentity() }
        set { identity = newValue.isEmpty ? nil : newValue }
    }

    /// The parts in which it differs, in the order of their cases.
    public func otherIdentity(than old: VPSConfig) -> [VPSIdentity.Part] {
        let otherDomain = domain != old.domain
        let names = hostname != old.hostname || otherDomain
        let (new, old) = (identityValue, old.identityValue)
        let differs: [(VPSIdentity.Part, Bool)] = [
            (.names, names), (.password, new.passwordHash != old.passwordHash), (.keys, new.sshKeys != old.sshKeys),
            (.dns, new.dns != old.dns || otherDomain), (.timezone, new.timezone != old.timezone),
        ]
        return differs.filter(\.1).map(\.0)
    }

    /// These are due too.
    public mutating func addDue(_ parts: [VPSIdentity.Part]) {
        let all = Set(parts).union(identityDue ?? [])
        identityDue = all.isEmpty ? nil : VPSIdentity.Part.allCases.filter(all.contains)
    }
}

extension VPSIdentity {
    /// - Throws: `usage` for what is no hash: a password itself must not get into a configuration.
    static func passwordHash(_ option: String, _ value: String) throws(CtrError) -> String {
        let methods = ["$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2y$", "$6$", "$5$"]
        let good = value.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (97...122).contains(byte | 32) || Array("./$=,+-_".utf8).contains(byte)
        }
        guard let method = methods.first(where: { value.hasPrefix($0) }), good, value.utf8.count <= 256,
            value.utf8.count >= method.utf8.count + 20
        else {
            throw CtrError(
                .usage, "\(option): not a hash of crypt(5), as mkpasswd --method=yescrypt or openssl passwd -6 make one"
            )
        }
        return value
    }

    /// - Throws: `usage` for a name that could lead out of the zones' directory.
    static func timezone(_ option: String, _ value: String) throws(CtrError) -> String {
        let parts = value.split(separator: "/", omittingEmptySubsequences: false)
        let good = parts.allSatisfy { part in
            !part.isEmpty && part.first != "." && part.first != "-"
                && part.utf8.allSatisfy {
                    (48...57).contains($0) || (97...122).contains($0 | 32) || $0 == 95 || $0 == 43 || $0 == 45
                }
        }
        guard good, parts.count <= 3, value.utf8.count <= 64 else {
            throw CtrError(.usage, "\(option) '\(value.escaped)': not a time zone (Europe/Vienna, UTC)")
        }
        return value
    }

    static func nameServer(_ option: String, _ value: String) throws(CtrError) -> IPAddress {
        if let address = IPAddress(value) { return address }
        throw CtrError(.usage, "\(option) '\(value.escaped)': not an IP address")
    }

    /// The keys of a file as ssh-keygen(1) and authorized_keys have them; empty lines and comments are left out.
    /// - Parameter what: names the file in messages.
    /// - Throws: `badInput` for a line that is no key, or a file without any.
    public static func keys(_ text: String, _ what: String) throws(CtrError) -> [String] {
        var keys: [String] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = line.trimmed
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard isKey(line) else {
                throw CtrError(
                    .badInput,
                    "\(what), line \(number + 1): not a public key of ssh (ssh-ed25519 AAAA... comment)"
                        + (line.contains("PRIVATE KEY") ? ": this is a private key" : ""))
            }
            keys.append(line)
        }
        if keys.isEmpty { throw CtrError(.badInput, "\(what): no public key of ssh in it") }
        return keys
    }

    private static let keyTypes = [
        "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    ]

    /// The second word holds the first again: see RFC 4253, 6.6.
    static func isKey(_ line: String) -> Bool {
        let words = line.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, keyTypes.contains(String(words[0])), line.utf8.count <= 16384, line.escaped == line,
            let blob = Base64.decode(words[1])
        else { return false }
        let type = Array(words[0].utf8)
        return blob.count > 4 + type.count && blob.starts(with: [0, 0, 0, UInt8(type.count)] + type)
    }
}

/// RFC 4648, section 4.
enum Base64 {
    /// nil for what is none.
    static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let digits = text.utf8.prefix { $0 != UInt8(ascii: "=") }
        guard text.utf8.count % 4 == 0, text.utf8.count - digits.count <= 2 else { return nil }
        if !text.utf8.dropFirst(digits.count).allSatisfy({ $0 == UInt8(ascii: "=") }) { return nil }
        var bytes: [UInt8] = []
        var (bits, count): (UInt32, Int) = (0, 0)
        for digit in digits {
            guard let value = value(digit) else { return nil }
            bits = (bits << 6 | value) & 0xffff
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(bits >> UInt32(count) & 0xff))
            }
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit) + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}

extension StringProtocol {
    /// Without blanks at its ends.
    fileprivate var trimmed: String {
        let bytes = Array(utf8)
        let isBlank = { (byte: UInt8) in byte == 32 || byte == 9 || byte == 13 }
        let head = bytes.drop(while: isBlank)
        return String(
            decoding: head[..<(head.lastIndex { !isBlank($0) }.map { $0 + 1 } ?? head.startIndex)], as: UTF8.self)
    }
}
