/// A moment of a VPS's disk that can be gone back to, with the configuration of that moment.
public struct Snapshot: Codable, Sendable, Equatable {
    public var name: String
    /// What its data are called; never used again for that VPS.
    public var id: String
    /// The snapshot on which the VPS's disk was based then; nil for none.
    public var parent: String?
    /// RFC 3339, UTC.
    public var created: String
    public var description: String?
    /// It was made without a name of its own, and goes by `--prune`.
    public var automatic: Bool?
    /// Bytes of the memory that was taken with it; nil where none was.
    public var memory: Int64?
    public var config: VPSConfig

    public init(name: String, id: String, parent: String?, created: String, config: VPSConfig) {
        self.name = name
        self.id = id
        self.parent = parent
        self.created = created
        self.config = config
    }
}

/// `snapshots.json`: all snapshots of one VPS, oldest first.
public struct SnapshotTree: Codable, Sendable, Equatable {
    /// The format of this file.
    public var version = 1
    public var snapshots: [Snapshot] = []
    /// The id of the snapshot on which the VPS's disk is based now; nil: on none that is still there.
    public var current: String?

    public init() {}

    public func named(_ name: String) -> Snapshot? { snapshots.first { $0.name == name } }

    /// A new one, based on where the VPS is; the VPS is based on it from then on.
    public mutating func add(_ snapshot: Snapshot) {
        snapshots.append(snapshot)
        current = snapshot.id
    }

    /// What was based on it is based on what it was based on.
    public mutating func remove(_ id: String) {
        guard let index = snapshots.firstIndex(where: { $0.id == id }) else { return }
        let gone = snapshots.remove(at: index)
        for index in snapshots.indices where snapshots[index].parent == id { snapshots[index].parent = gone.parent }
        if current == id { current = gone.parent }
    }

    /// Snapshots as a tree shows them: each after its parent, with its depth, the roots at 0. Only a branch goes deeper:
    /// a hundred that follow one another stay below each other.
    public var ordered: [(snapshot: Snapshot, depth: Int)] {
        var all: [(Snapshot, Int)] = []
        let known = Set(snapshots.map(\.id))
        func visit(_ parent: String?, _ depth: Int) {
            let children = snapshots.filter { $0.parent.flatMap { known.contains($0) ? $0 : nil } == parent }
            let depth = parent != nil && children.count > 1 ? depth + 1 : depth
            for child in children {
                // A damaged file may have circles: each is shown once.
                if all.contains(where: { $0.0.id == child.id }) { continue }
                all.append((child, depth))
                visit(child.id, depth)
            }
        }
        visit(nil, 0)
        return all
    }
}

extension VPSConfig {
    /// A verb that worked on its disk was cut short.
    public var hasUnfinishedDiskWork: Bool { diskWork != nil || disk?.resizingTo != nil }
}

/// What a verb is doing to the disk of a VPS. It is in config.json from before the first step until after the last: the
/// next verb finishes or undoes what is found there.
public struct DiskWork: Codable, Sendable, Equatable {
    public enum Verb: String, Codable, Sendable {
        case snapshot, delete, revert
        /// A clone's directory has yet to get its name.
        case clone
        /// A template is made of it.
        case seal
    }

    public var verb: Verb
    /// Of the snapshot, or the template's name, where it is about one.
    public var id: String
    /// A revert takes the configuration back too.
    public var withConfig = false
    /// A revert takes the disk alone back, where memory was taken with it.
    public var withoutMemory: Bool?

    public init(_ verb: Verb, _ id: String = "") {
        self.verb = verb
        self.id = id
    }
}
