internal import Kernel
internal import Model

/// Which VPS of a root has which addresses: the directory `$CTR_ROOT/network`, open and locked.
///
/// It holds symbolic links: `plan`, the networks of this root and a number from which MACs follow (``NetworkPlan``); for each address in
/// use one of that name that names its VPS, for each published port one like `tcp-8080`, for each MAC that was given like
/// `mac-02:00:5e:00:00:07`; for each VPS with an interface `at-NAME`, which says what it has (``Note``).
/// While that is being changed there is `to-NAME` beside it, and while a VPS is renamed `from-NEW` and `into-OLD`
/// (HostNetwork+Rename.swift); `filter` is there while that is being made. And for each that ever had one `sum-NAME`, its traffic (``TrafficTotals``).
/// `proxy-NAME` says where the host answers for addresses of a routed VPS (HostNetwork+Routed.swift).
/// Of interfaces beside eth0 NAME is `NAME@eth1`, and `ports-NAME` lists them (HostNetwork+Ports.swift).
/// symlinkat(2) fails where a name exists, so an address is never given twice. The note is made first and removed last: what a
/// crash leaves is found by it.
struct AddressRegistry: ~Copyable {
    private let fd: FD
    private static let failure = "address registry"

    /// What a VPS has on the host's network: enough to take all of it away again.
    struct Note: Equatable {
        var mac: MACAddress
        /// It follows from nothing else that the VPS has: nobody else's may be made up like it, or be given.
        var claimsMAC = false
        var addresses: [IPAddress] = []
        var published: [PublishedPort] = []
        var kind: Kind

        /// How it is joined to the network.
        enum Kind: String { case nat, bridge, routed }

        /// Bytes a second.
        var rateOut: Int64?

        var text: String {
            (["\(mac)", kind.rawValue] + (claimsMAC ? ["claimed"] : []) + (rateOut.map { ["out=\($0)"] } ?? [])
                + addresses.map { "\($0)" } + published.map { "+\($0)" }).joined(
                    separator: " ")
        }

        /// The names of the links.
        var items: [String] {
            addresses.map { "\($0)" } + published.map(\.registryName) + (claimsMAC ? [mac.registryName] : [])
        }

        /// The slot of the pool that it has, and nothing beside it.
        func slot(_ plan: NetworkPlan?) -> UInt64? {
            guard kind == .nat, let plan, let slot = plan.slot(of: addresses), mac == plan.mac(ofSlot: slot) else {
                return nil
            }
            return slot
        }

        init(_ kind: Kind, mac: MACAddress) { (self.kind, self.mac) = (kind, mac) }

        init?(_ text: String) {
            let words = text.split(separator: " ").map(String.init)
            guard words.count >= 2, let mac = MACAddress(words[0]), let kind = Kind(rawValue: words[1]) else {
                return nil
            }
            self.init(kind, mac: mac)
            for word in words.dropFirst(2) {
                if word == "claimed" {
                    claimsMAC = true
                } else if word.hasPrefix("out=") {
                    guard let rate = Int64(word.dropFirst(4)), rate > 0 else { return nil }
                    rateOut = rate
                } else if word.hasPrefix("+") {
                    guard let port = PublishedPort(String(word.dropFirst())) else { return nil }
                    published.append(port)
                } else {
                    guard let address = IPAddress(word) else { return nil }
                    addresses.append(address)
                }
            }
        }
    }

    /// Waits for the lock, which goes with this value.
    /// - Returns: nil where there is no registry and `make` is false: no VPS has had a network.
    static func open(_ directory: String, make: Bool) throws(CtrError) -> AddressRegistry? {
        do throws(SysError) {
            let fd = try openOrMake(directory, make: make)
            try fd.lock(.exclusive, wait: true)
            return AddressRegistry(fd: fd)
        } catch {
            if error.errno == Errno.noEntry, !make { return nil }
            throw CtrError(.io, "\(failure) '\(directory.escaped)'", cause: error)
        }
    }

    private static func openOrMake(_ directory: String, make: Bool) throws(SysError) -> FD {
        do throws(SysError) { return try Kernel.open(directory, [.directory, .noFollow]) } catch
            where error.errno == Errno.noEntry && make
        {}
        let slash = directory.lastIndex(of: "/")!
        let parent = slash == directory.startIndex ? "/" : String(directory[..<slash])
        return try Kernel.open(parent, [.directory]).ensureDirectory(
            String(directory[directory.index(after: slash)...]), mode: 0o700)
    }

    // MARK: the plan

    borrowing func plan() throws(CtrError) -> NetworkPlan? {
        guard let text = try target("plan") else { return nil }
        guard let plan = NetworkPlan(text: text) else {
            throw CtrError(
                .config, "\(Self.failure): 'plan' is '\(text.escaped)' (remove it while no VPS has an address)")
        }
        return plan
    }

    borrowing func record(_ plan: NetworkPlan) throws(CtrError) {
        try replace("plan", plan.text)
    }

    // MARK: what a VPS has

    borrowing func note(of vps: String) throws(CtrError) -> Note? {
        guard let text = try target("at-\(vps)") else { return nil }
        guard let note = Note(text) else {
            throw CtrError(.config, "\(Self.failure): 'at-\(vps)' is '\(text.escaped)' (remove it)")
        }
        return note
    }

    borrowing func write(_ note: Note, of vps: String) throws(CtrError) {
        try replace("at-\(vps)", note.text)
    }

    /// Who has an address, a port or a MAC; nil: nobody.
    borrowing func owner(of item: String) throws(CtrError) -> String? { try target(item) }

    /// False where another VPS has it.
    borrowing func claim(_ item: String, for vps: String) throws(CtrError) -> Bool {
        if try make(item, vps) { return true }
        return try target(item) == vps
    }

    borrowing func release(_ item: String, of vps: String) throws(CtrError) {
        if try target(item) == vps { try unlink(item) }
    }

    borrowing func forget(_ vps: String) throws(CtrError) { try unlink("at-\(vps)") }

    /// What a VPS is about to have in place of its note; nil: nobody is changing it, or whoever did was not killed.
    borrowing func pending(of vps: String) throws(CtrError) -> Note? { try target("to-\(vps)").flatMap { Note($0) } }

    borrowing func write(pending note: Note, of vps: String) throws(CtrError) { try replace("to-\(vps)", note.text) }

    borrowing func forgetPending(of vps: String) throws(CtrError) { try unlink("to-\(vps)") }

    /// What went over a VPS's interface; nil: nothing yet, or its link is of no use.
    borrowing func totals(of vps: String) throws(CtrError) -> TrafficTotals? {
        try target("sum-\(vps)").flatMap { TrafficTotals(text: $0) }
    }

    borrowing func write(_ totals: TrafficTotals, of vps: String) throws(CtrError) {
        try replace("sum-\(vps)", totals.text)
    }

    borrowing func forgetTotals(of vps: String) throws(CtrError) { try unlink("sum-\(vps)") }

    /// Where the host was told to answer for a VPS's addresses, or was about to be.
    borrowing func answers(of vps: String) throws(CtrError) -> ProxyAnswers? {
        try target("proxy-\(vps)").flatMap { ProxyAnswers(text: $0) }
    }

    borrowing func write(_ answers: ProxyAnswers, of vps: String) throws(CtrError) {
        try replace("proxy-\(vps)", answers.text)
    }

    borrowing func forgetAnswers(of vps: String) throws(CtrError) { try unlink("proxy-\(vps)") }

    /// What a VPS of this name was called before, and its directory's inode, while it is being renamed.
    borrowing func origin(of new: String) throws(CtrError) -> (name: String, inode: UInt64)? {
        guard let words = try target("from-\(new)")?.split(separator: " "), words.count == 2,
            let inode = UInt64(words[0])
        else { return nil }
        return (String(words[1]), inode)
    }

    /// What a VPS is being renamed to.
    borrowing func destination(of old: String) throws(CtrError) -> String? { try target("into-\(old)") }

    /// `from-NEW` is there only while `into-OLD` is: who comes under either name finds it.
    borrowing func writeRename(_ old: String, inode: UInt64, to new: String) throws(CtrError) {
        try replace("into-\(old)", new)
        try replace("from-\(new)", "\(inode) \(old)")
    }

    borrowing func forgetRename(_ old: String, to new: String) throws(CtrError) {
        if try origin(of: new)?.name == old { try unlink("from-\(new)") }
        try unlink("into-\(old)")
    }

    /// The old names of all that are being renamed.
    borrowing func renamed() throws(CtrError) -> [String] {
        try names().filter { $0.hasPrefix("into-") }.map { String($0.dropFirst(5)) }
    }

    /// The interfaces beside eth0 that a VPS has, or had.
    borrowing func further(of vps: String) throws(CtrError) -> [String] {
        try target("ports-\(vps)")?.split(separator: " ").map(String.init) ?? []
    }

    borrowing func write(further interfaces: [String], of vps: String) throws(CtrError) {
        try replace("ports-\(vps)", interfaces.joined(separator: " "))
    }

    borrowing func forgetFurther(of vps: String) throws(CtrError) { try unlink("ports-\(vps)") }

    /// All VPSs with such interfaces.
    borrowing func withFurther() throws(CtrError) -> [String] {
        try names().filter { $0.hasPrefix("ports-") }.map { String($0.dropFirst(6)) }
    }

    /// All VPSs with totals.
    borrowing func counted() throws(CtrError) -> [String] {
        try names().filter { $0.hasPrefix("sum-") }.map { String($0.dropFirst(4)) }
    }

    /// All VPSs that have a note.
    borrowing func all() throws(CtrError) -> [String] {
        try names().filter { $0.hasPrefix("at-") }.map { String($0.dropFirst(3)) }.sorted()
    }

    /// All addresses, ports and MACs that somebody has.
    borrowing func claims() throws(CtrError) -> [(item: String, vps: String)] {
        var result: [(item: String, vps: String)] = []
        let others = ["at-", "to-", "sum-", "from-", "into-", "ports-", "proxy-"]
        for name in try names()
        where !["plan", "new", "filter"].contains(name) && !others.contains(where: name.hasPrefix) {
            if let vps = try target(name) { result.append((name, vps)) }
        }
        return result
    }

    /// Whether the filter is being made anew, or was by one that has been killed: then it may lack what it knew of a VPS.
    borrowing func isFilterUnfinished() throws(CtrError) -> Bool { try target("filter") != nil }

    borrowing func beginFilter() throws(CtrError) { try replace("filter", "unfinished") }

    borrowing func finishFilter() throws(CtrError) { try unlink("filter") }

    borrowing func sync() throws(CtrError) {
        try describing(Self.failure) { () throws(SysError) in try fd.sync() }
    }

    /// Without the lock: many that come at once share what is written.
    consuming func unlockAndSync() throws(CtrError) {
        let fd = fd
        try describing(Self.failure) { () throws(SysError) in
            try fd.lock(.unlock, wait: true)
            try fd.sync()
        }
    }

    // MARK: links

    private borrowing func names() throws(CtrError) -> [String] {
        try describing(Self.failure) { () throws(SysError) in try fd.entries() }.map(\.name.description)
    }

    /// False if the name exists.
    private borrowing func make(_ name: String, _ target: String) throws(CtrError) -> Bool {
        try describing(Self.failure) { () throws(SysError) in
            do throws(SysError) { try fd.symlink(name, to: target) } catch  where error.errno == Errno.exists {
                return false
            }
            return true
        }
    }

    private borrowing func replace(_ name: String, _ target: String) throws(CtrError) {
        if try make(name, target) { return }
        try unlink("new")
        _ = try make("new", target)
        try describing(Self.failure) { () throws(SysError) in try fd.rename("new", to: fd, name) }
    }

    private borrowing func target(_ name: String) throws(CtrError) -> String? {
        try describing(Self.failure) { () throws(SysError) in
            do throws(SysError) { return try fd.readLink(name).description } catch
                where error.errno == Errno.noEntry || error.errno == Errno.invalid
            {
                return nil
            }
        }
    }

    private borrowing func unlink(_ name: String) throws(CtrError) {
        try describing(Self.failure) { () throws(SysError) in
            do throws(SysError) { try fd.unlink(name) } catch  where error.errno == Errno.noEntry {}
        }
    }
}

extension MACAddress {
    var registryName: String { "mac-\(self)" }
}

extension PublishedPort {
    var registryName: String { "\(isUDP ? "udp" : "tcp")-\(hostPort)" + (address.map { "-\($0)" } ?? "") }
}
