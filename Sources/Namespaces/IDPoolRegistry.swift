internal import Kernel
internal import Model

/// The registry directory of ``IDPool``, open and locked.
struct IDRegistry: ~Copyable {
    let fd: FD

    private static let gridName = "grid"
    private var failure: String { "id range registry" }

    // MARK: claiming

    /// The VPS's range: the one that it has, else the first free one from its hashed slot on; nil: none is free.
    borrowing func claim(_ vps: String, _ slots: IDSlots) throws(CtrError) -> IDRange? {
        // First the note: the slots before the range that it tells of may have become free since.
        if let noted = try noted(vps) { return noted }
        let start = slots.count == 0 ? 0 : Self.hash(vps) % slots.count
        for step in 0..<slots.count {
            guard let base = slots.base((start + step) % slots.count) else { continue }
            if try make("\(base)", vps) {
                if step > 0 { try note(base, for: vps) }
                return Self.range(base)
            }
            if try target("\(base)") == vps { return Self.range(base) }
        }
        return nil
    }

    /// What all first ids are modulo 65,536: what is recorded, else `wanted`, which is then recorded.
    borrowing func grid(orElse wanted: UInt64) throws(CtrError) -> UInt64 {
        // Of several that find nothing one makes the link, and all read it.
        var text = try target(Self.gridName) ?? ""
        if text.isEmpty {
            _ = try make(Self.gridName, "\(wanted)")
            text = try target(Self.gridName) ?? ""
        }
        guard let offset = UInt64(text), offset < IDPoolSettings.width else {
            throw CtrError(.badInput, "\(failure): 'grid' is '\(text.escaped)', not a number below 65536 (remove it)")
        }
        return offset
    }

    /// Records another grid, under the exclusive lock. False: ranges of the present one are in use.
    borrowing func changeGrid(to wanted: UInt64) throws(CtrError) -> Bool {
        if try !claims().isEmpty { return false }
        try unlink(Self.gridName)
        _ = try make(Self.gridName, "\(wanted)")
        return true
    }

    // MARK: finding

    /// The range of a VPS, by its note or by reading all links.
    borrowing func find(_ vps: String) throws(CtrError) -> IDRange? {
        if let noted = try noted(vps) { return noted }
        return try claims().first { $0.target == vps }.map { Self.range($0.base) }
    }

    /// All ranges in use.
    borrowing func claims() throws(CtrError) -> [(base: UInt64, target: String)] {
        var result: [(base: UInt64, target: String)] = []
        let entries = try describing(failure) { () throws(SysError) in try fd.entries() }
        for entry in entries {
            guard let base = UInt64(entry.name.description), let target = try target(entry.name.description) else {
                continue
            }
            result.append((base, target))
        }
        return result
    }

    // MARK: removing, under the exclusive lock

    borrowing func remove(base: UInt64, of vps: String) throws(CtrError) {
        guard try target("\(base)") == vps else { return }
        try unlink(Self.noteName(vps))
        try unlink("\(base)")
    }

    borrowing func retarget(base: UInt64, from old: String, to new: String) throws(CtrError) {
        guard try target("\(base)") == old else { return }
        // The note comes first: it counts only once the range's own link agrees.
        try note(base, for: new)
        try unlink("new")
        _ = try make("new", new)
        try describing(failure) { () throws(SysError) in try fd.rename("new", to: fd, "\(base)") }
        try unlink(Self.noteName(old))
    }

    /// What a ``retarget(base:from:to:)`` that was killed left: its new link, and notes with which no range agrees.
    borrowing func removeHalfDone() throws(CtrError) {
        try unlink("new")
        let agreed = Set(try claims().map { Self.noteName($0.target) })
        let entries = try describing(failure) { () throws(SysError) in try fd.entries() }
        for name in entries.map(\.name.description) where name.hasPrefix("at-") && !agreed.contains(name) {
            try unlink(name)
        }
    }

    // MARK: notes

    private static func noteName(_ vps: String) -> String { "at-\(String(hash(vps), radix: 16))" }

    private borrowing func note(_ base: UInt64, for vps: String) throws(CtrError) {
        try unlink(Self.noteName(vps))
        _ = try make(Self.noteName(vps), "\(base)")
    }

    /// What the VPS's note says, if the range's own link agrees.
    private borrowing func noted(_ vps: String) throws(CtrError) -> IDRange? {
        guard let base = try target(Self.noteName(vps)).flatMap({ UInt64($0) }), base <= UInt64(UInt32.max),
            try target("\(base)") == vps
        else { return nil }
        return Self.range(base)
    }

    // MARK: links

    /// False if the name exists.
    private borrowing func make(_ name: String, _ target: String) throws(CtrError) -> Bool {
        try describing(failure) { () throws(SysError) in
            do throws(SysError) { try fd.symlink(name, to: target) } catch  where error.errno == Errno.exists {
                return false
            }
            return true
        }
    }

    /// What a link says; nil if there is none, or something else of that name.
    private borrowing func target(_ name: String) throws(CtrError) -> String? {
        try describing(failure) { () throws(SysError) in
            do throws(SysError) { return try fd.readLink(name).description } catch
                where error.errno == Errno.noEntry || error.errno == Errno.invalid
            {
                return nil
            }
        }
    }

    private borrowing func unlink(_ name: String) throws(CtrError) {
        try describing(failure) { () throws(SysError) in
            do throws(SysError) { try fd.unlink(name) } catch  where error.errno == Errno.noEntry {}
        }
    }

    // MARK: pieces

    private static func range(_ base: UInt64) -> IDRange {
        IDRange(base: UInt32(base), count: UInt32(IDPoolSettings.width))
    }

    /// FNV-1a, 64 bits: the same in every run, unlike Swift's Hasher.
    static func hash(_ text: String) -> UInt64 {
        text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    static func checkPath(_ path: String) throws(CtrError) {
        let bytes = path.utf8
        if bytes.first != 47 || bytes.count < 2 || bytes.last == 47 || bytes.count > 4095 || bytes.contains(0) {
            throw CtrError(.failed, "id range for '\(path.escaped)': not an absolute path of a directory")
        }
    }

    static func split(_ path: String) -> (parent: String, name: String) {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        let parent = String(path[..<slash])
        return (parent.isEmpty ? "/" : parent, String(path[slash...].drop { $0 == "/" }))
    }

    /// Whether a directory is gone although the one above it is there.
    static func isGone(_ path: String) throws(CtrError) -> Bool {
        if try exists(path) { return false }
        return try exists(split(path).parent)
    }

    private static func exists(_ path: String) throws(CtrError) -> Bool {
        try describing("id range registry: '\(path.escaped)'") { () throws(SysError) in
            do throws(SysError) { _ = try open(path, [.path]) } catch
                where error.errno == Errno.noEntry || error.errno == Errno.notDirectory
            {
                return false
            }
            return true
        }
    }
}
