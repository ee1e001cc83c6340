public import Kernel
public import Model

/// What lies outside of a tree of processes and is not part of its checkpoint, as criu(8) names it.
public struct External: Codable, Sendable, Equatable {
    /// `--external` of a dump: `mnt[/dev]:dev`, `tty[8800:2a]`; nil where a dump needs no word of it.
    public var dump: String?
    /// Its name at a restore: `mnt[dev]`, `tty[8800:2a]`.
    public var key: String

    public init(dump: String?, key: String) {
        self.dump = dump
        self.key = key
    }

    /// The mount at a place of the guest's root mount namespace.
    public static func mount(_ place: String, _ name: String) -> External {
        External(dump: "mnt[\(place)]:\(name)", key: "mnt[\(name)]")
    }
}

/// The options of `criu dump`.
public struct DumpOptions: Sendable {
    /// The first process of the tree.
    public var pid: Int32
    /// Empty, root's.
    public var images: SharedFD
    /// Where the log goes, and what else criu leaves.
    public var work: String
    public var externals: [External] = []
    /// Hierarchies as /proc/PID/cgroup names them (`cpu,cpuacct`; empty: the unified one); what lies in others is not
    /// looked at.
    public var hierarchies: [String] = []
    /// Where those are, by criu's names for them; nil: criu mounts them for itself, which takes the kernel long.
    public var cgroups: String?
    /// Files that processes watch by inotify(7), which criu finds by name where a file system can't open them by number.
    public var watched: [String] = []
    /// Interfaces, addresses, routes and rules are not the checkpoint's; who restores it sets them up.
    public var withoutNetwork = false
    /// Runs after the dump, while the tree stands still. Where it fails, the tree goes on.
    public var script: String?
    public var keepRunning = false
    /// Locks that criu keeps for as long as it works.
    public var held: [SharedFD] = []
    /// Seconds in which the tree must stand still.
    public var patience = 30

    public init(pid: Int32, images: SharedFD, work: String) {
        self.pid = pid
        self.images = images
        self.work = work
    }

    static let log = "dump.log"

    var words: [String] {
        ["dump", "--tree", "\(pid)"] + CRIU.common(3 + held.count, work, DumpOptions.log)
            + (keepRunning ? ["--leave-running"] : []) + (withoutNetwork ? ["--empty-ns", "net"] : []) + [
                "--timeout", "\(patience)", "--ghost-limit", "1G",
            ]
            + externals.compactMap(\.dump).flatMap { ["--external", $0] }
            + watched.flatMap { ["--irmap-scan-path", $0] } + hierarchies.flatMap { ["--cgroup-dump-controller", $0] }
            + (cgroups.map { ["--cgroup-yard", $0] } ?? [])
            + (script.map { ["--action-script", $0] } ?? [])
    }
}

/// The options of `criu restore`.
public struct RestoreOptions: Sendable {
    public var images: SharedFD
    public var work: String
    /// A mount point without mounts below it.
    public var root: String
    /// Where external mounts are by now, by ``External/key``.
    public var mounts: [(key: String, path: String)] = []
    /// As ``DumpOptions/cgroups``.
    public var cgroups: String?
    /// Open files that take the place of what lay outside, by ``External/key``.
    public var files: [(key: String, file: SharedFD)] = []
    public var script: String?
    /// As at the dump: the script sets the network up.
    public var withoutNetwork = false
    /// Locks that criu keeps for as long as it works.
    public var held: [SharedFD] = []

    public init(images: SharedFD, work: String, root: String) {
        self.images = images
        self.work = work
        self.root = root
    }

    static let log = "restore.log"

    var words: [String] {
        ["restore"] + CRIU.common(3 + files.count + held.count, work, RestoreOptions.log)
            + ["--root", root, "--restore-detached", "--restore-sibling"]
            + (withoutNetwork ? ["--empty-ns", "net"] : [])
            + (cgroups.map { ["--cgroup-yard", $0] } ?? [])
            + mounts.flatMap { ["--external", "\($0.key):\($0.path)"] }
            + files.enumerated().flatMap { ["--inherit-fd", "fd[\(3 + $0.offset)]:\($0.element.key)"] }
            + (script.map { ["--action-script", $0] } ?? [])
    }
}

extension CRIU {
    /// - Parameter images: a descriptor: there may be no path to them.
    fileprivate static func common(_ images: Int, _ work: String, _ log: String) -> [String] {
        [
            "--images-dir", "/proc/self/fd/\(images)", "--work-dir", work, "--log-file", log, "-v3",
            "--manage-cgroups=soft",
            "--file-locks",
            "--link-remap", "--tcp-established", "--network-lock", "nftables",
        ]
    }

    /// Writes the images of a tree, which then is gone, unless it is to be kept running.
    /// - Parameters:
    ///   - progress: bytes of memory written so far, ten times a second.
    ///   - check: a hundred times a second; what it throws ends the work.
    /// - Throws: `failed` with the reason, or what `check` throws; the tree runs on.
    public func dump(
        _ options: DumpOptions, environment: [String], progress: @escaping (Int64) -> Void = { _ in },
        check: @escaping () throws(CtrError) -> Void = {}
    ) throws(CtrError) {
        let status = try run(
            options.words, environment: environment, handed: options.held + [options.images], endsWithUs: false
        ) { (turn) throws(CtrError) in
            try check()
            if turn % 10 == 9, let written = try? CRIU.memory(in: options.images) { progress(written) }
        }
        if !status.succeeded { throw CRIULog.failure("\(options.work)/\(DumpOptions.log)", status) }
    }

    /// Bytes of memory in the images of a dump that is at work; what is there goes to the disk while more is written.
    private static func memory(in images: SharedFD) throws(SysError) -> Int64 {
        var total: Int64 = 0
        for entry in try images.fd.openHere().entries() where entry.name.description.hasPrefix("pages-") {
            let file = try images.fd.open(entry.name, [.readOnly, .noFollow])
            file.startWriting()
            total += try file.status().size
        }
        return total
    }

    /// Makes the processes of a checkpoint anew, children of the calling process.
    /// - Throws: `failed` with the reason. Processes half made may be left.
    public func restore(_ options: RestoreOptions, environment: [String]) throws(CtrError) {
        let status = try run(
            options.words, environment: environment,
            handed: options.files.map(\.file) + options.held + [options.images],
            endsWithUs: true)
        if !status.succeeded { throw CRIULog.failure("\(options.work)/\(RestoreOptions.log)", status) }
    }
}
