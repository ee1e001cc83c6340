public import Model

/// `USER[:GROUP]` as `--user` and a template's configuration have it: names or numbers of the VPS's own passwd and group.
public struct UserSpec: Equatable, Sendable {
    /// A user or group.
    public enum Identity: Equatable, Sendable {
        case number(UInt32)
        case name(String)
    }
    public var user: Identity
    /// nil: the user's own.
    public var group: Identity?

    public init(user: Identity, group: Identity? = nil) {
        self.user = user
        self.group = group
    }

    /// User 0, group 0.
    public static let root = UserSpec(user: .number(0), group: .number(0))

    /// Reads the text exactly: digits are a number, never the beginning of one (CVE-2026-30892: `1` is user 1, and
    /// `1:`, `:1`, `+1`, ` 1` are nothing). Throws `usage`.
    public static func parse(_ text: String, option: String = "--user") throws(CtrError) -> UserSpec {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else {
            throw CtrError(.usage, "\(option) '\(text.escaped)': more than one ':' (write USER[:GROUP])")
        }
        let user = try identity(parts[0], text, option)
        return UserSpec(user: user, group: parts.count == 2 ? try identity(parts[1], text, option) : nil)
    }

    private static func identity(_ part: Substring, _ text: String, _ option: String) throws(CtrError) -> Identity {
        let bytes = Array(part.utf8)
        if bytes.isEmpty {
            throw CtrError(.usage, "\(option) '\(text.escaped)': an empty name (write USER[:GROUP])")
        }
        if bytes.allSatisfy(UserDatabase.isDigit) {
            guard let number = UserDatabase.identifier(bytes[...]) else {
                throw CtrError(
                    .usage, "\(option) '\(text.escaped)': not an id (0 to 4294967294, without leading zeros)")
            }
            return .number(number)
        }
        guard UserDatabase.isName(bytes[...]) else {
            throw CtrError(.usage, "\(option) '\(text.escaped)': neither a name nor an id (write USER[:GROUP])")
        }
        return .name(String(part))
    }
}

/// A user of the VPS, in numbers as the VPS sees them.
public struct ResolvedUser: Equatable, Sendable {
    public var uid: UInt32
    public var gid: UInt32
    /// Supplementary groups. The group itself comes first: without it a file that denies it something would be open
    /// (CVE-2022-36109).
    public var groups: [UInt32]
    /// nil: a number that passwd does not name.
    public var name: String?
    /// `/` where passwd says nothing.
    public var home: String
    /// nil where passwd says nothing.
    public var shell: String?

    /// Looks a user up in the VPS's own files; the host's name services are never asked.
    ///
    /// A number needs no entry: its group is then 0 and its home `/`. With a group given, that is the only group, as
    /// docker and podman do. The first entry wins; lines that are not entries are skipped.
    /// Throws `usage` for a name that is not there, `config` for more groups than the kernel takes.
    /// - Parameters:
    ///   - passwd: the bytes of /etc/passwd, nil where there is none.
    ///   - group: the bytes of /etc/group, nil where there is none.
    public init(_ spec: UserSpec, passwd: [UInt8]?, group: [UInt8]?) throws(CtrError) {
        let entry = UserDatabase.user(spec.user, in: passwd ?? [])
        switch spec.user {
        case .number(let number): uid = number
        case .name(let name):
            guard let entry else {
                throw CtrError(
                    .usage, "user '\(name.escaped)': not in the VPS's /etc/passwd (give a number, or add it)")
            }
            uid = entry.uid
        }
        name = entry?.name
        home = entry?.home ?? "/"
        shell = entry?.shell
        switch spec.group {
        case .number(let number):
            gid = number
            groups = [number]
        case .name(let name):
            guard let number = UserDatabase.group(named: name, in: group ?? []) else {
                throw CtrError(
                    .usage, "group '\(name.escaped)': not in the VPS's /etc/group (give a number, or add it)")
            }
            gid = number
            groups = [number]
        case nil:
            gid = entry?.gid ?? 0
            groups = [gid]
            if let name = entry?.name { groups += UserDatabase.groups(of: name, in: group ?? [], besides: gid) }
        }
        if groups.count > 65536 {
            throw CtrError(.config, "user: \(groups.count) groups in the VPS's /etc/group (the kernel takes 65536)")
        }
    }
}
