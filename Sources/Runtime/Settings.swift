internal import FoundationEssentials
internal import Kernel
internal import Model
internal import Namespaces
internal import Network

/// `/etc/ctr/ctr.json` (or the file that CTR_CONFIG names): settings of the whole host. All keys are optional; an unknown
/// one is an error, so that a mistyped setting is not one that silently does nothing.
struct Settings: Codable, Equatable {
    /// Host ids to take the VPSs' ranges from; else /etc/subuid says, else the standard pool.
    var idPool: Pool?
    /// Where the ranges in use are remembered. One for the whole host, whatever --root is.
    var idRegistry: String?
    /// The directory of the action scripts for every VPS.
    var scripts: String?
    /// The directory of the operator's profiles.
    var profiles: String?

    /// Whether VPSs see their own limits in /proc by way of lxcfs(1).
    var lxcfs: LXCFS.Choice?
    /// Where lxcfs is mounted, or is to be.
    var lxcfsDirectory: String?

    /// How many seconds a verb waits for another that is at work on the same VPS; else 30.
    var lockSeconds: UInt16?

    /// The disk that `create` makes where no `--disk` is given; else 10G.
    var disk: DiskChoice?

    /// The network that `create` and `run` give where no `--net` is given; else nat.
    var net: NetworkChoice?

    /// How many times the host's space all disk images together may promise; else there is no bound.
    var overcommit: Double?

    /// What stays free of the host's disk; else a twentieth of it, at most 2 GiB.
    var spaceReserve: SizeSetting?

    /// Files that `template create` leaves out beside those of ``Storage/Personal``: patterns below the root.
    var personal: [String]?

    /// The program criu, or a prefix that holds it with its libraries; else the standard prefix, or the one of the host.
    var criu: String?

    /// Whether a VPS's root may have it hibernated from inside; else yes.
    var hibernateInside: Bool?

    /// Networks for VPSs with `--net nat`.
    var network: NetworkSettings?

    struct Pool: Codable, Equatable {
        var base: UInt32
        var count: UInt32
    }

    /// A VPS is a server: without a network it would be of little use.
    static let standardNetwork = NetworkChoice.nat
    static let standardPath = "/etc/ctr/ctr.json"
    static let standardScripts = "/etc/ctr/scripts"
    static let standardProfiles = "/etc/ctr/profiles"
    static let standardRegistry = "/var/lib/ctr/ids"

    /// For another ctr: an environment of its own, with the same settings.
    static var environment: [String] { ToolProcess.cleanEnvironment + variables }

    /// What says where they are, whatever directory one works in.
    static var variables: [String] {
        guard let path = CurrentProcess.environment("CTR_CONFIG") else { return [] }
        return ["CTR_CONFIG=\((try? Caller.absolutePath(path)) ?? path)"]
    }

    static func load() throws(CtrError) -> Settings {
        let path = CurrentProcess.environment("CTR_CONFIG") ?? standardPath
        let bytes: [UInt8]
        do throws(SysError) { bytes = try open(path, .readOnly).readAll(limit: 1 << 20) } catch {
            if error.errno == Errno.noEntry { return Settings() }
            throw CtrError(.config, "settings \(path)", cause: error)
        }
        do {
            let known: Set<String> = [
                "idPool", "idRegistry", "scripts", "profiles", "lxcfs", "lxcfsDirectory", "lockSeconds", "disk", "net",
                "overcommit", "spaceReserve", "personal", "network", "criu",
                "hibernateInside",
            ]
            let keys = try JSONDecoder().decode([String: Ignored].self, from: Data(bytes)).keys
            if let unknown = keys.filter({ !known.contains($0) }).min() {
                throw CtrError(.config, "settings \(path): unknown key '\(unknown.escaped)'")
            }
            let settings = try JSONDecoder().decode(Settings.self, from: Data(bytes))
            if let ratio = settings.overcommit, ratio <= 0 {
                throw CtrError(.config, "settings \(path): overcommit \(ratio): not above 0")
            }
            return settings
        } catch let error as CtrError {
            if error.code == .config { throw error }
            throw CtrError(.config, "settings \(path): \(error.message)")
        } catch {
            throw CtrError(.config, "settings \(path): \(JSONText.describe(error))")
        }
    }

    /// The pool that these settings and /etc/subuid describe.
    func makeIDPool() throws(CtrError) -> IDPool {
        let (users, groups) = (try Settings.optional("/etc/subuid"), try Settings.optional("/etc/subgid"))
        let pool: IDPoolSettings
        if let idPool {
            pool = try IDPoolSettings(
                base: UInt64(idPool.base), count: UInt64(idPool.count), subuid: users, subgid: groups)
        } else {
            pool = try IDPoolSettings(subuid: users, subgid: groups)
        }
        let registry = idRegistry ?? Settings.standardRegistry
        _ = try Host.ensure(registry)
        return IDPool(directory: registry, settings: pool)
    }

    private static func optional(_ path: String) throws(CtrError) -> [UInt8]? {
        do throws(SysError) { return try open(path, .readOnly).readAll(limit: 16 << 20) } catch {
            if error.errno == Errno.noEntry { return nil }
            throw CtrError(.config, path, cause: error)
        }
    }

    /// Any JSON value.
    private struct Ignored: Decodable {
        init(from decoder: any Decoder) throws {}
    }
}
