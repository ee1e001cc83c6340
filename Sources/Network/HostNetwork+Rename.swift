internal import Kernel
public import Model

// A VPS that gets another name keeps its addresses and its totals. A directory's name is its VPS's, and to change it is one call;
// what has the old name here follows. So that a crash in between gives nothing to a stranger, it is written down first, with
// the directory's inode: by that the next verb knows how far it came.
extension HostNetwork {
    /// Before a stopped VPS's directory is renamed.
    /// - Parameter inode: of the directory.
    public func prepareRename(_ old: String, inode: UInt64, to new: String) throws(CtrError) {
        guard let registry = try registry(mending: old) else { return }
        try mendRename(of: new, registry)
        let (note, totals) = (try registry.note(of: old), try registry.totals(of: old))
        if note == nil, totals == nil, try registry.further(of: old).isEmpty { return }
        try registry.writeRename(old, inode: inode, to: new)
        try registry.sync()
    }

    /// After it was renamed, or was not.
    public func finishRename(to new: String) throws(CtrError) { _ = try registry(mending: new) }

    /// The registry, if there is one, with all in it that belongs to a VPS under the VPS's name.
    func registry(mending vps: String) throws(CtrError) -> AddressRegistry? {
        guard let registry = try AddressRegistry.open(directory, make: false) else { return nil }
        try mendRename(of: vps, registry)
        try mendFilter(registry)
        return registry
    }

    func mendRename(of port: String, _ registry: borrowing AddressRegistry) throws(CtrError) {
        let vps = HostNetwork.owner(of: port)
        if let (old, _) = try registry.origin(of: vps) { try mendRename(from: old, to: vps, registry) }
        if let new = try registry.destination(of: vps) { try mendRename(from: vps, to: new, registry) }
    }

    private func mendRename(
        from old: String, to new: String, _ registry: borrowing AddressRegistry
    ) throws(CtrError) {
        if let origin = try registry.origin(of: new), origin.name == old, isDirectory(origin.inode, of: new) {
            let further = try registry.further(of: old)
            if !further.isEmpty { try registry.write(further: further, of: new) }
            try move(old, to: new, registry)
            for name in further {
                try move(VPSConfig.portName(name, of: old), to: VPSConfig.portName(name, of: new), registry)
            }
            try registry.forgetFurther(of: old)
        }
        try registry.forgetRename(old, to: new)
    }

    private func isDirectory(_ inode: UInt64, of vps: String) -> Bool {
        (try? open("\(root)/vps", [.path, .directory]).status(of: vps).inode) == inode
    }

    /// Each step may have been taken before.
    private func move(_ old: String, to new: String, _ registry: borrowing AddressRegistry) throws(CtrError) {
        if let totals = try registry.totals(of: old) {
            try registry.write(totals, of: new)
            try registry.forgetTotals(of: old)
        }
        if let answers = try registry.answers(of: old) {
            try registry.write(answers, of: new)
            try registry.forgetAnswers(of: old)
        }
        guard let note = try registry.note(of: old) else { return }
        try takeBack(old, note, registry.plan(), registry)
        try registry.write(note, of: new)
        for item in note.items {
            try registry.release(item, of: old)
            _ = try registry.claim(item, for: new)
        }
        try registry.forget(old)
    }
}
