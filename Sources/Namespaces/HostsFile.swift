internal import Kernel

/// The part of a VPS's `/etc/hosts` that is ctr's: a block between two lines of its own, at the end. All else is the guest's.
struct HostsFile {
    static let begin = "# by ctr: other VPSs of its network"
    static let end = "# end of ctr's part"
    /// Bytes. One that is longer is left alone.
    private static let longest = 1 << 20

    /// Lines `ADDRESS NAME`; none: the block goes.
    let lines: [String]

    /// What the file says with the block in its present form. Half a block, which a guest has made of it, goes to its end.
    func applied(to text: [UInt8]) -> [UInt8] {
        var kept: [ArraySlice<UInt8>] = []
        var isInside = false
        var all = text.split(separator: 10, omittingEmptySubsequences: false)
        if all.last?.isEmpty == true { all.removeLast() }
        for line in all {
            if line.elementsEqual(HostsFile.begin.utf8) { isInside = true }
            if !isInside { kept.append(line) }
            if line.elementsEqual(HostsFile.end.utf8) { isInside = false }
        }
        if !lines.isEmpty {
            kept += ([HostsFile.begin] + lines + [HostsFile.end]).map { ArraySlice($0.utf8) }
        }
        // Without a block there never was one: not a byte of it changes.
        if kept.count == all.count, lines.isEmpty { return text }
        return Array(kept.joined(separator: [10])) + (kept.isEmpty ? [] : [10])
    }

    /// A link, and what is no file, stays as it is; so does a guest without the file.
    ///
    /// The caller acts as the guest's root, before there is a guest.
    func write(in root: SharedFD) throws(SysError) {
        do throws(SysError) {
            let etc = try RootPath.locateFixed("etc", in: root.fd)
            guard try etc.open("hosts", [.path, .noFollow]).status().type == .regular else { return }
            let file = try etc.open("hosts", [.readOnly, .nonBlocking, .noFollow])
            let status = try file.status()
            guard status.size <= Int64(HostsFile.longest) else { return }
            let old = try file.readAll(limit: HostsFile.longest)
            let new = applied(to: old)
            if new == old { return }
            // Replaced whole: half of it would be worse than none.
            let temporary = ".hosts.ctr"
            try? etc.unlink(temporary)
            let fresh = try etc.open(temporary, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o600)
            try fresh.writeAll(new)
            try fresh.changeOwner(uid: status.uid, gid: status.gid)
            try fresh.changeMode(status.permissions)
            try etc.rename(temporary, to: etc, "hosts")
        } catch  where error.errno == Errno.noEntry {}
    }
}
