internal import Kernel
public import Model

/// Writes a VPS's identity into its files, before it is started: see docs/identity.md for what goes where.
public struct IdentityWriter {
    private let files: GuestFiles
    private let config: VPSConfig
    private let family: Family

    /// Which files a distribution has where others have none or another.
    enum Family: Sendable, Equatable {
        case debian, alpine, redHat, other

        /// - Parameter release: os-release(5).
        init(release: String) {
            var words: [Substring] = []
            for line in release.split(separator: "\n") {
                for key in ["ID=", "ID_LIKE="] where line.hasPrefix(key) {
                    words += line.dropFirst(key.count).filter { $0 != "\"" && $0 != "'" }.split(separator: " ")
                        .map { Substring($0) }
                }
            }
            let known: [(Family, Set<Substring>)] = [
                (.debian, ["debian", "ubuntu", "devuan"]), (.alpine, ["alpine"]),
                (.redHat, ["rhel", "fedora", "centos", "rocky", "almalinux"]),
            ]
            self = known.first { !$0.1.isDisjoint(with: words) }?.0 ?? .other
        }
    }

    public init(_ config: VPSConfig, in files: GuestFiles) throws(CtrError) {
        self.config = config
        self.files = files
        family = Family(release: try files.read("/etc/os-release") ?? "")
    }

    /// May be done again after a crash.
    /// - Returns: what an operator should know.
    public func write(_ parts: [VPSIdentity.Part]) throws(CtrError) -> [String] {
        var notes: [String] = []
        let identity = config.identity ?? VPSIdentity()
        for part in parts {
            switch part {
            case .machine:
                try writeMachineID()
                notes += try writeHostKeys()
            case .names: try writeNames()
            case .password: if let hash = identity.passwordHash { try writePassword(hash) }
            case .keys: if !identity.sshKeys.isEmpty { try writeAuthorizedKeys(identity.sshKeys) }
            case .dns: if !identity.dns.isEmpty || config.domain != nil { try writeResolver(identity.dns) }
            case .timezone: if let zone = identity.timezone { try writeTimezone(zone) }
            }
        }
        if hasCloudInit { try writeCloudSeed(identity, isNew: parts.contains(.machine)) }
        try files.sync()
        return notes
    }

    /// - Throws: `usage` where the root has no such time zone.
    public static func check(_ identity: VPSIdentity, in files: GuestFiles) throws(CtrError) {
        guard let zone = identity.timezone, files.exists("/usr/share/zoneinfo"),
            !files.exists("/usr/share/zoneinfo/\(zone)")
        else { return }
        throw CtrError(.usage, "--timezone \(zone): the template knows no such time zone (see /usr/share/zoneinfo)")
    }

    // MARK: names

    /// machine-id(5). What has none and no systemd or D-Bus gets none.
    private func writeMachineID() throws(CtrError) {
        let wants = ["/etc/machine-id", "/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/var/lib/dbus"]
        guard wants.contains(where: files.exists) else { return }
        let bytes = try describing("machine id") { () throws(SysError) in try randomBytes(16) }
        var id = bytes
        // Of version 4 and the variant of RFC 9562, as systemd's own are.
        id[6] = id[6] & 0x0f | 0x40
        id[8] = id[8] & 0x3f | 0x80
        let text = id.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() + "\n"
        try files.write("/etc/machine-id", text, mode: 0o444)
        if files.exists("/var/lib/dbus") { try files.link("/var/lib/dbus/machine-id", to: "/etc/machine-id") }
    }

    private func writeNames() throws(CtrError) {
        try files.write("/etc/hostname", config.hostname + "\n")
        let names = [config.domain.map { "\(config.hostname).\($0)" }, config.hostname].compactMap { $0 }
        let usual = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost"].map { Array($0.utf8) }
        var lines = try files.lines("/etc/hosts") ?? usual
        let isOwn = { (line: [UInt8]) in
            line.split { $0 == 32 || $0 == 9 }.first.map { $0.elementsEqual("127.0.1.1".utf8) } ?? false
        }
        let own = Array("127.0.1.1\t\(names.joined(separator: " "))".utf8)
        if let index = lines.firstIndex(where: isOwn) {
            lines[index] = own
        } else {
            lines.insert(own, at: lines.firstIndex { $0.starts(with: "127.0.0.1".utf8) }.map { $0 + 1 } ?? 0)
        }
        try files.write("/etc/hosts", lines: lines)
    }

    /// In the place of a link to what some service makes of its own servers, too.
    private func writeResolver(_ servers: [IPAddress]) throws(CtrError) {
        var lines: [[UInt8]] = []
        if let domain = config.domain { lines.append(Array("search \(domain)".utf8)) }
        if servers.isEmpty {
            lines += (try files.lines("/etc/resolv.conf") ?? [])
                .filter { !$0.starts(with: "search ".utf8) && !$0.starts(with: "domain ".utf8) }
        }
        lines += servers.map { Array("nameserver \($0)".utf8) }
        try files.write("/etc/resolv.conf", lines: lines)
    }

    private func writeTimezone(_ zone: String) throws(CtrError) {
        try files.link("/etc/localtime", to: "/usr/share/zoneinfo/\(zone)")
        if family == .debian || files.exists("/etc/timezone") { try files.write("/etc/timezone", zone + "\n") }
    }

    // MARK: logins

    /// shadow(5). Without such a file the hash must not be where everybody can read it.
    private func writePassword(_ hash: String) throws(CtrError) {
        let days = FileTime.now.seconds / 86400
        let isRoot = { (line: [UInt8]) in line.starts(with: "root:".utf8) }
        let new = "root:\(hash):\(days):0:99999:7:::"
        if let lines = try files.lines("/etc/shadow")?.filter({ !$0.isEmpty }) {
            let isThere = lines.contains(where: isRoot)
            let all = lines.map { isRoot($0) ? IdentityWriter.setting($0, [1: hash, 2: "\(days)"]) : $0 }
            return try files.write("/etc/shadow", lines: (isThere ? [] : [Array(new.utf8)]) + all, mode: 0o600)
        }
        try files.write("/etc/shadow", new + "\n", mode: 0o600)
        guard let users = try files.lines("/etc/passwd") else {
            throw CtrError(
                .failed,
                "VPS \(config.name): --password-hash: it has no /etc/passwd that is a file (ctr start --rescue \(config.name) "
                    + "starts it without)")
        }
        try files.write("/etc/passwd", lines: users.map { isRoot($0) ? IdentityWriter.setting($0, [1: "x"]) : $0 })
    }

    private static func setting(_ line: [UInt8], _ values: [Int: String]) -> [UInt8] {
        var fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map { Array($0) }
        for (index, value) in values where index < fields.count { fields[index] = Array(value.utf8) }
        return Array(fields.joined(separator: [UInt8(ascii: ":")]))
    }

    private func writeAuthorizedKeys(_ keys: [String]) throws(CtrError) {
        let root = (try files.read("/etc/passwd") ?? "").split(separator: "\n").first { $0.hasPrefix("root:") }
        let fields = root?.split(separator: ":", omittingEmptySubsequences: false) ?? []
        let home = fields.count > 5 && fields[5].hasPrefix("/") ? String(fields[5]) : "/root"
        // What somebody else may read or write there is nothing to sshd.
        try files.remove("\(home)/.ssh/authorized_keys")
        try files.write(
            "\(home)/.ssh/authorized_keys", keys.joined(separator: "\n") + "\n", mode: 0o600, directoryMode: 0o700)
    }

    /// Those of the template would be shared by all that are made of it. Alpine and the RHEL family make what is missing when
    /// sshd starts; Debian only when its package is installed.
    private func writeHostKeys() throws(CtrError) -> [String] {
        let directory = "/etc/ssh"
        for name in try files.names(in: directory) where name.hasPrefix("ssh_host_") && name.contains("_key") {
            try files.remove("\(directory)/\(name)")
        }
        let makers = ["/etc/systemd/system/ssh-host-keys.service", "/usr/lib/systemd/system/sshd-keygen@.service"]
        if !files.exists("/usr/sbin/sshd") || family == .alpine || family == .redHat || hasCloudInit
            || makers.contains(where: files.exists)
        {
            return []
        }
        guard let made = try SSHHostKeys.make(comment: "root@\(config.hostname)") else {
            return [
                "no ssh-keygen on this host (install the package openssh-client): its sshd has no host keys until "
                    + "'ssh-keygen -A' is run inside"
            ]
        }
        for (name, text) in made {
            try files.write("\(directory)/\(name)", text, mode: name.hasSuffix(".pub") ? 0o644 : 0o600)
        }
        return []
    }

    // MARK: cloud-init

    private var hasCloudInit: Bool { files.exists("/usr/bin/cloud-init") || files.exists("/etc/cloud/cloud.cfg") }

    /// The NoCloud data source, from a seed on the disk: see cloud-init's documentation. A new instance id makes it do all
    /// again that it does once for an instance.
    private func writeCloudSeed(_ identity: VPSIdentity, isNew: Bool) throws(CtrError) {
        let seed = "/var/lib/cloud/seed/nocloud"
        if isNew {
            let bytes = try describing("instance id") { () throws(SysError) in try randomBytes(8) }
            let id = bytes.map { String($0, radix: 16) }.joined()
            try files.remove("/var/lib/cloud/instance")
            try files.write(
                "\(seed)/meta-data", "instance-id: ctr-\(id)\nlocal-hostname: \(config.hostname)\n",
                directoryMode: 0o755)
        }
        var user = ["#cloud-config", "preserve_hostname: true", "manage_etc_hosts: false"]
        if let hash = identity.passwordHash {
            user += ["chpasswd:", "  expire: false", "  users:", "    - {name: root, password: '\(hash)', type: hash}"]
        }
        if !identity.sshKeys.isEmpty {
            user += ["disable_root: false", "ssh_authorized_keys:"]
            // In single quotes of YAML nothing has a meaning but those, which are doubled.
            user += identity.sshKeys.map {
                "  - '\($0.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''"))'"
            }
        }
        if let zone = identity.timezone { user.append("timezone: \(zone)") }
        try files.write("\(seed)/user-data", user.joined(separator: "\n") + "\n", mode: 0o600, directoryMode: 0o755)
    }
}
