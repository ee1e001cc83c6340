internal import Kernel

/// `/etc/resolv.conf` of a VPS whose network ctr sets up and whose operator said nothing of name servers.
struct ResolverFile {
    /// With which a file begins that ctr may replace.
    static let mark = "# by ctr"

    let text: String
    /// A new VPS's file is its template's, which knows another network's servers.
    let replacing: Bool

    /// What the guest has written itself stays, and so does a link, which another program looks after.
    ///
    /// The caller acts as the guest's root, before there is a guest.
    func write(in root: SharedFD) throws(SysError) {
        let etc: FD
        do throws(SysError) { etc = try RootPath.locateFixed("etc", in: root.fd) } catch
            where error.errno == Errno.noEntry
        { return }
        do throws(SysError) {
            try etc.open("resolv.conf", [.create, .exclusive, .writeOnly, .noFollow], mode: 0o644)
                .writeAll(Array(text.utf8))
            return
        } catch  where error.errno == Errno.exists {}
        guard try etc.open("resolv.conf", [.path, .noFollow]).status().type == .regular else { return }
        let file = try etc.open("resolv.conf", [.readOnly, .nonBlocking, .noFollow])
        let start = try file.read(upTo: Self.mark.utf8.count)
        guard replacing || start.isEmpty || start == Array(Self.mark.utf8) else { return }
        try etc.open("resolv.conf", [.writeOnly, .truncate, .noFollow]).writeAll(Array(text.utf8))
    }
}
