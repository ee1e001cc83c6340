internal import Kernel
public import Model

/// One side of a copy, as far as owners go.
public struct CopyParty: Sendable {
    /// The host's ids of the VPS's ids from 0 on; nil: the numbers are the host's own.
    public var range: IDRange?
    /// Who makes files on this side, as the host numbers him.
    public var user: UInt32
    public var group: UInt32

    /// The host, or an archive: numbers stay what they are.
    public static func host(user: UInt32, group: UInt32) -> CopyParty {
        CopyParty(range: nil, user: user, group: group)
    }

    /// A VPS, whose root makes the files.
    public static func guest(_ range: IDRange?) -> CopyParty {
        CopyParty(range: range, user: range?.base ?? 0, group: range?.base ?? 0)
    }

    /// The number inside; nil where it has none there.
    func inner(_ id: UInt32) -> UInt32? {
        guard let range else { return id }
        return id >= range.base && id - range.base < range.count ? id - range.base : nil
    }

    /// The host's number; nil where the VPS has not so many.
    func outer(_ id: UInt32) -> UInt32? {
        guard let range else { return id }
        return id < range.count ? range.base + id : nil
    }
}

/// What becomes of owners and modes on the way.
struct CopyOwners {
    var source: CopyParty
    var target: CopyParty
    /// Numbers stay, as seen inside; otherwise all belongs to whoever makes files at the target.
    var archive: Bool
    /// Out of a VPS: its set-user-id programs are none of the host's.
    var leavesGuest: Bool

    /// Throws `failed` for an owner that has no number on the other side.
    func apply(to entry: TreeEntry) throws(CtrError) -> TreeEntry {
        var entry = entry
        if archive {
            entry.uid = try mapped(entry.uid, "owner")
            entry.gid = try mapped(entry.gid, "group")
            return entry
        }
        // A bit says "with the rights of its owner": where the owner becomes root it would say more than before.
        if leavesGuest || entry.uid != 0 { entry.permissions &= ~0o4000 }
        if leavesGuest || entry.gid != 0 { entry.permissions &= ~0o2000 }
        entry.uid = target.user
        entry.gid = target.group
        return entry
    }

    private func mapped(_ id: UInt32, _ what: String) throws(CtrError) -> UInt32 {
        guard let inner = source.inner(id) else {
            throw CtrError(.failed, "its \(what) \(id) is none of the VPS's ids (leave out --archive)")
        }
        guard let outer = target.outer(inner) else {
            throw CtrError(
                .failed,
                "its \(what) \(inner) is beyond the VPS's ids, 0 to \((target.range?.count ?? 0) - 1) (leave out --archive)"
            )
        }
        return outer
    }

    /// The file systems of a VPS know no one else than its own users.
    func borrowMaker() throws(SysError) -> BorrowedIdentity {
        try target.range == nil ? .borrow(user: 0, group: 0) : .borrow(user: target.user, group: target.group)
    }
}
