internal import Kernel
public import Model

/// Gives each VPS 65,536 ids that no other VPS on the host has, and remembers them.
///
/// The registry is a directory with a symbolic link per range: its name is the range's first id, its target the VPS's
/// directory. symlinkat(2) fails where the name exists, so a range is claimed by one atomic call, and a crash leaves a
/// claim that is there or not. The search starts at a slot hashed from the VPS's path; a range that was found further
/// on is also noted in a link `at-HASH`, so that the VPS finds it again after the slots before it became free. The link
/// `grid` holds what all first ids are modulo 65,536: ranges of different pools then never overlap in part.
///
/// Claims are made under a shared lock of the directory, links are removed under an exclusive one.
public struct IDPool: Sendable {
    let directory: String
    let settings: IDPoolSettings

    /// - Parameter directory: the registry, made (mode 0700) where it is missing; the directory above it must exist.
    public init(directory: String, settings: IDPoolSettings) {
        self.directory = directory
        self.settings = settings
    }

    /// The range of a VPS: the one that it has, else a new one.
    ///
    /// The VPS's directory must exist before: ``reclaim()`` frees what belongs to directories that are gone.
    /// Throws `unavailable` when all ranges are in use, after reclaiming.
    /// - Parameters:
    ///   - vpsDirectory: absolute, always spelled the same way.
    ///   - durable: the claim survives a loss of power; costs a write to the disk. Not needed for an ephemeral VPS.
    public func allocate(_ vpsDirectory: String, durable: Bool = true) throws(CtrError) -> IDRange {
        try IDRegistry.checkPath(vpsDirectory)
        if let range = try claim(vpsDirectory, durable) { return range }
        _ = try reclaim()
        if let range = try claim(vpsDirectory, durable) { return range }
        throw CtrError(
            .unavailable,
            "id range for '\(vpsDirectory.escaped)': all ranges of the pool are in use (destroy a VPS, or widen the pool)"
        )
    }

    private func claim(_ vpsDirectory: String, _ durable: Bool) throws(CtrError) -> IDRange? {
        try alignGrid()
        return try withRegistry(.shared) { (registry) throws(CtrError) in
            let slots = IDSlots(settings, offset: try registry.grid(orElse: wantedGrid))
            let range = try registry.claim(vpsDirectory, slots)
            if durable, range != nil {
                try describing("id range registry '\(directory.escaped)'") { () throws(SysError) in
                    try registry.fd.sync()
                }
            }
            return range
        }
    }

    /// The range that a VPS has, nil if it has none.
    public func lookup(_ vpsDirectory: String) throws(CtrError) -> IDRange? {
        try IDRegistry.checkPath(vpsDirectory)
        return try withRegistry(.shared) { (registry) throws(CtrError) in try registry.find(vpsDirectory) }
    }

    /// Gives a range back. Nothing happens if it belongs to another VPS or to none.
    public func release(_ range: IDRange, _ vpsDirectory: String) throws(CtrError) {
        try withRegistry(.exclusive) { (registry) throws(CtrError) in
            try registry.remove(base: UInt64(range.base), of: vpsDirectory)
        }
    }

    /// The VPS's directory got another name: its range follows. Nothing happens if it has none.
    public func rename(_ old: String, to new: String) throws(CtrError) {
        try IDRegistry.checkPath(new)
        try withRegistry(.exclusive) { (registry) throws(CtrError) in
            guard let range = try registry.find(old) else { return }
            try registry.retarget(base: UInt64(range.base), from: old, to: new)
        }
    }

    /// Frees the ranges of VPSs whose directory is gone while the one above it is there: a disk that is only not mounted
    /// keeps its ranges. Returns the directories freed from.
    public func reclaim() throws(CtrError) -> [String] {
        try withRegistry(.exclusive) { (registry) throws(CtrError) in
            var freed: [String] = []
            for (base, target) in try registry.claims() where try IDRegistry.isGone(target) {
                try registry.remove(base: base, of: target)
                freed.append(target)
            }
            try registry.removeHalfDone()
            return freed
        }
    }

    private var wantedGrid: UInt64 { settings.intervals[0].first % IDPoolSettings.width }

    /// Makes sure that the pool holds ranges of the registry's grid: a pool too narrow for that can be used only while
    /// no range of the present grid is in use.
    private func alignGrid() throws(CtrError) {
        // A pool as wide as two ranges holds one of any grid.
        if settings.intervals.contains(where: { $0.count >= 2 * IDPoolSettings.width }) { return }
        try withRegistry(.exclusive) { (registry) throws(CtrError) in
            let offset = try registry.grid(orElse: wantedGrid)
            if IDSlots(settings, offset: offset).count > 0 { return }
            if try registry.changeGrid(to: wantedGrid) { return }
            throw CtrError(
                .config,
                "id pool: its ranges would overlap those in use, which begin at \(offset) modulo 65536 "
                    + "(widen the pool to 131072 ids or more, or destroy the VPSs that are there)")
        }
    }

    private func withRegistry<R>(
        _ lock: FD.LockMode, _ body: (borrowing IDRegistry) throws(CtrError) -> R
    ) throws(CtrError) -> R {
        let registry = IDRegistry(
            fd: try describing("id range registry '\(directory.escaped)'") { () throws(SysError) in
                // A descriptor of its own for each operation: the lock belongs to it, and goes with it.
                let fd = try openOrMake()
                try fd.lock(lock, wait: true)
                return fd
            })
        return try body(registry)
    }

    private func openOrMake() throws(SysError) -> FD {
        do throws(SysError) { return try open(directory, [.directory, .noFollow]) } catch
            where error.errno == Errno.noEntry
        {
            let (parent, name) = IDRegistry.split(directory)
            return try open(parent, [.directory]).ensureDirectory(name, mode: 0o700)
        }
    }
}

/// The first ids of a pool's ranges.
struct IDSlots {
    private let runs: [(first: UInt64, count: UInt64)]
    private let excluded: [IDPoolSettings.Interval]
    let count: UInt64

    init(_ settings: IDPoolSettings, offset: UInt64) {
        let width = IDPoolSettings.width
        runs = settings.intervals.map { interval in
            let first = interval.first + (offset + width - interval.first % width) % width
            return (first, first < interval.end ? (interval.end - first) / width : 0)
        }
        excluded = settings.excluded
        count = runs.reduce(0) { $0 + $1.count }
    }

    /// The first id of slot `index`; nil: others own a part of it.
    func base(_ index: UInt64) -> UInt64? {
        var rest = index
        for run in runs {
            if rest >= run.count {
                rest -= run.count
                continue
            }
            let base = run.first + rest * IDPoolSettings.width
            let range = IDPoolSettings.Interval(first: base, count: IDPoolSettings.width)
            return excluded.contains(where: range.overlaps) ? nil : base
        }
        return nil
    }
}
