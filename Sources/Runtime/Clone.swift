internal import Cgroups
internal import Kernel
public import Model
internal import Namespaces
public import Storage

/// `ctr clone`: a VPS with the data of another, or of one of its snapshots, independent of it and with an identity of its
/// own.
public struct Clone: Sendable {
    public var source: String
    /// nil: the source as it is.
    public var snapshot: String?
    public var name: String
    /// Nothing is shared with the source.
    public var full: Bool
    /// What differs from the source's configuration.
    public var options: VPSOptions

    public init(source: String, snapshot: String?, name: String, full: Bool, options: VPSOptions) {
        self.source = source
        self.snapshot = snapshot
        self.name = name
        self.full = full
        self.options = options
    }

    public struct Made: Codable, Sendable {
        public var name: String
        public var source: String
        public var snapshot: String?
        /// How the data came to it.
        public var data: DiskImage.CloneCost
    }

    /// - Throws: `notFound`; `cannotCreate` if there is a VPS of that name; `busy`.
    public func run(on host: Host, progress: @escaping TemplateProgress) throws(CtrError) -> Made {
        try Name.validate(name, kind: "VPS")
        if name == source { throw CtrError(.usage, "clone \(source): the clone needs another name") }
        let hold = try DiskHold.take(source, on: host)
        let origin = try snapshot.map { (snapshot) throws(CtrError) in try hold.snapshot(snapshot) }
        let config = try wanted(origin?.config ?? hold.config, hold.config, host)
        let cost = try VPSPlace.create(config, on: host) { (place) throws(CtrError) in
            try hold.withSnapshot(origin?.id) { (id) throws(CtrError) in
                try makeDisk(hold, id, config, place, progress)
            }
        }
        EventLog(host).append(.cloned, vps: name, detail: ["from": .text(source)])
        return Made(name: name, source: source, snapshot: snapshot, data: cost)
    }

    private func makeDisk(
        _ hold: DiskHold, _ id: String?, _ config: VPSConfig, _ place: VPSPlace, _ progress: TemplateProgress
    ) throws(CtrError) -> DiskImage.CloneCost {
        if let disk = config.disk, let id, let image = hold.files.image(hold.config, in: hold.lock.directory),
            let new = place.files.image(config, in: place.directory)
        {
            try place.promise(config)
            return try new.clone(
                hold.data, id, from: image, disk, full: full, room: SpaceReserve.room(place.files), progress: progress)
        }
        progress(.step("copy"))
        try SnapshotData(top: place.directory, isImage: false, of: name, room: SpaceReserve.room(place.files))
            .beginClone(of: hold.data.open(id), full: full)
        return .copied
    }

    /// The source's configuration as another VPS may have it.
    private func wanted(_ old: VPSConfig, _ now: VPSConfig, _ host: Host) throws(CtrError) -> VPSConfig {
        let sealed = try SealedTemplate(old.template, on: host)
        let defaults = try ConfigBuilder.defaults(sealed.manifest, like: old)
        var config = old
        config.name = name
        config.hostname = name
        config.created = Timestamp.now()
        config.idRange = nil
        config.leaveNetworkIdentity()
        config.disk = now.disk
        config.diskWork = now.disk == nil ? DiskWork(.clone) : nil
        config.protected = false
        config.sealedAs = nil
        // Two that start by themselves where there was one are a surprise.
        config.onboot = false
        let before = config
        config = try config.changed(by: options, unset: [], defaults: defaults)
        // All else is in the files that it takes over, as it is by now.
        config.addDue([.machine, .names] + config.otherIdentity(than: before))
        try config.check(sealed, host)
        try config.checkIdentity(sealed)
        return config
    }
}

extension DiskHold {
    /// A moment of the disk that stands still while `body` reads it: a snapshot, one that is there or one for this alone;
    /// of a directory, its files themselves with the VPS frozen.
    /// - Parameter body: gets the snapshot's id, nil for the files themselves.
    func withSnapshot<T>(_ id: String?, _ body: (String?) throws(CtrError) -> T) throws(CtrError) -> T {
        if let id { return try body(id) }
        guard data.isImage else { return try standingStill { () throws(CtrError) in try body(nil) }.0 }
        let id = try DiskHold.randomID()
        try work(DiskWork(.snapshot, id))
        let result: T
        do throws(CtrError) {
            try data.take(id)
            result = try body(id)
        } catch {
            undoSnapshot(id)
            throw error
        }
        try data.remove(id)
        try write { $0.diskWork = nil }
        return result
    }

    /// Freezes a VPS that runs for as long as `body` takes. A signal that ends this process thaws it; where that was SIGKILL,
    /// the next verb does.
    /// - Returns: what `body` did, and milliseconds that the VPS stood still; nil where it did anyway.
    func standingStill<T>(_ body: () throws(CtrError) -> T) throws(CtrError) -> (T, Int?) {
        guard let running, running.status != .paused, let record = running.cgroup else { return (try body(), nil) }
        let cgroup = try Cgroup.open(record)
        let began = Timestamp.monotonic()
        try files.setStatus(.paused, for: .copy)
        let result: T
        do throws(CtrError) {
            result = try cgroup.thawingIfEnded { () throws(CtrError) in
                try cgroup.freeze()
                return try body()
            }
        } catch {
            try? cgroup.thaw()
            try? files.setStatus(.running)
            throw error
        }
        try cgroup.thaw()
        try files.setStatus(.running)
        return (result, Int((Timestamp.monotonic() - began) / 1_000_000))
    }

    /// Twelve hexadecimal digits.
    static func randomID() throws(CtrError) -> String {
        let bytes = try describing("random name") { () throws(SysError) in try randomBytes(6) }
        return bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
