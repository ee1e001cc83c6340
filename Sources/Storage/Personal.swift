public import Model

/// What of a server's files belongs to that server alone and must not be in a template made of it: secrets that its copies
/// would share, and traces of its users.
public struct Personal: Sendable {
    /// A path below the root, `*` standing for any bytes within a component; what matches is left out, a directory with
    /// all that it holds.
    private let leftOut: [[[UInt8]]]
    /// Of those, what is no secret: another name of such a file, elsewhere, is a file of its own.
    private let traces: [[[UInt8]]]
    private let emptied: [[[UInt8]]]

    /// Of Debian, Alpine, the RHEL family and others alike.
    private static let secrets = [
        "etc/ssh/ssh_host_*", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed", "var/lib/seedrng",
        "var/lib/systemd/credential.secret", "var/lib/urandom/random-seed",
        "var/lib/NetworkManager/secret_key",
    ]
    private static let traces = [
        // Leases
        "var/lib/dhcp/*", "var/lib/dhclient/*", "var/lib/dhcpcd/*", "var/lib/NetworkManager/*.lease",
        "var/lib/systemd/network/*",
        "root/.*_history", "root/.viminfo", "root/.lesshst", "root/.cache", "home/*/.*_history", "home/*/.viminfo",
        "home/*/.lesshst", "home/*/.cache", "root/.ssh/known_hosts*", "home/*/.ssh/known_hosts*",
        "var/lib/cloud/*", "var/lib/systemd/coredump/*", "var/crash/*", "var/spool/mail/*", "var/mail/*",
        "var/log/journal/*", "tmp/*", "var/tmp/*", "run/*", "var/cache/apt/archives/*.deb",
    ]
    /// Files that stay, without what was in them: programs want them to be there.
    private static let standardEmptied = ["etc/machine-id", "var/log/**"]

    /// - Parameter more: further patterns to leave out.
    /// - Throws: `config` for one that is absolute, empty, or has `..` in it.
    public init(more: [String] = []) throws(CtrError) {
        for pattern in more {
            let parts = pattern.split(separator: "/", omittingEmptySubsequences: false)
            if parts.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) {
                throw CtrError(
                    .config, "personal '\(pattern.escaped)': not a path below the root (home/*/.netrc)")
            }
        }
        leftOut = (Personal.secrets + Personal.traces + more).map(Personal.components)
        traces = Personal.traces.map(Personal.components)
        emptied = Personal.standardEmptied.map(Personal.components)
    }

    private static func components(_ pattern: String) -> [[UInt8]] {
        pattern.split(separator: "/").map { Array($0.utf8) }
    }

    /// What becomes of a file on its way into the template; nil: it does not get there.
    func apply(to entry: TreeEntry) -> TreeEntry? {
        if isLeftOut(entry.path) { return nil }
        var entry = entry
        switch entry.kind {
        // Another name of a file that did not come along can't be one.
        case .hardLink(let target) where isLeftOut(target): return nil
        case .regular where matches(entry.path, emptied), .hardLink where matches(entry.path, emptied):
            entry.kind = .regular
            entry.size = 0
            entry.extents = []
        default: break
        }
        return entry
    }

    /// Whether another name of this file, which is left out or emptied, is to have the data.
    func standsAlone(_ path: EntryPath) -> Bool { isLeftOut(path, traces) || matches(path, emptied) }

    private func isLeftOut(_ path: EntryPath) -> Bool { isLeftOut(path, leftOut) }

    /// Also what lies below a match.
    private func isLeftOut(_ path: EntryPath, _ patterns: [[[UInt8]]]) -> Bool {
        var path = path
        while !path.isRoot {
            if matches(path, patterns) { return true }
            path = path.parent
        }
        return false
    }

    private func matches(_ path: EntryPath, _ patterns: [[[UInt8]]]) -> Bool {
        let parts = path.bytes.split(separator: UInt8(ascii: "/"))
        return patterns.contains { pattern in
            if pattern.last == Array("**".utf8) {
                return parts.count >= pattern.count && zip(parts, pattern.dropLast()).allSatisfy(Personal.fits)
            }
            return parts.count == pattern.count && zip(parts, pattern).allSatisfy(Personal.fits)
        }
    }

    /// A component and its pattern.
    private static func fits(_ text: ArraySlice<UInt8>, _ pattern: [UInt8]) -> Bool {
        let pieces = pattern.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false)
        guard let first = pieces.first, let last = pieces.last, pieces.count > 1 else {
            return text.elementsEqual(pattern)
        }
        guard text.count >= first.count + last.count, text.starts(with: first), text.suffix(last.count) == last else {
            return false
        }
        var rest = text.dropFirst(first.count).dropLast(last.count)
        for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
            guard let place = rest.indices.first(where: { rest[$0...].starts(with: piece) }) else { return false }
            rest = rest[(place + piece.count)...]
        }
        return true
    }
}
