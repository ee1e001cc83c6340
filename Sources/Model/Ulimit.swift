/// `--ulimit NAME=SOFT[:HARD]`: one resource limit of setrlimit(2).
///
/// Values are in the kernel's own units: bytes for memory, stack, core, file size; seconds for `cpu`; microseconds for
/// `rttime`; counts for the rest. `unlimited` and `-1` mean no limit.
public struct Ulimit: Codable, Equatable, Sendable {
    /// What RLIM_INFINITY is to the kernel.
    public static let unlimited = UInt64.max

    /// As podman and OpenVZ spell it: `nofile`, `nproc`, `core`.
    public var name: String
    /// The resource's number for prlimit(2).
    public var resource: Int32
    public var soft: UInt64
    public var hard: UInt64

    public init(name: String, resource: Int32, soft: UInt64, hard: UInt64) {
        self.name = name
        self.resource = resource
        self.soft = soft
        self.hard = hard
    }

    /// Reads `NAME=SOFT[:HARD]`; without HARD both are SOFT. Throws `usage` for an unknown name, a value that is no
    /// number, and a soft limit above the hard one.
    public static func parse(_ text: String) throws(CtrError) -> Ulimit {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else {
            throw CtrError(.usage, "--ulimit '\(text.escaped)': no value (write NAME=SOFT[:HARD])")
        }
        let name = parts[0].lowercased()
        guard let resource = resources.first(where: { $0.name == name })?.number else {
            let known = resources.map(\.name).sorted().joined(separator: ", ")
            throw CtrError(.usage, "--ulimit '\(text.escaped)': unknown limit (known are \(known))")
        }
        let values = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        guard values.count <= 2, let soft = value(values[0]), let hard = value(values[values.count - 1]) else {
            throw CtrError(
                .usage, "--ulimit '\(text.escaped)': not a limit (a number, 'unlimited' or -1; NAME=SOFT[:HARD])")
        }
        if soft > hard { throw CtrError(.usage, "--ulimit '\(text.escaped)': the soft limit is above the hard one") }
        return Ulimit(name: name, resource: resource, soft: soft, hard: hard)
    }

    private static func value(_ text: Substring) -> UInt64? {
        if text == "unlimited" || text == "-1" { return unlimited }
        guard !text.isEmpty, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return UInt64(text)
    }

    /// The name of a limit, for messages; a number that has none here is `limit 16`.
    public static func name(of resource: Int32) -> String {
        resources.first { $0.number == resource }?.name ?? "limit \(resource)"
    }

    /// The names without RLIMIT_ in lower case, and their numbers on x86, arm, arm64 and riscv.
    private static let resources: [(name: String, number: Int32)] = [
        ("cpu", 0), ("fsize", 1), ("data", 2), ("stack", 3), ("core", 4), ("rss", 5), ("nproc", 6), ("nofile", 7),
        ("memlock", 8), ("as", 9), ("locks", 10), ("sigpending", 11), ("msgqueue", 12), ("nice", 13), ("rtprio", 14),
        ("rttime", 15),
    ]
}
