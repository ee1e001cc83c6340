internal import Kernel
public import Model

// What can be changed while a VPS runs: its published ports and its rates.
extension HostNetwork {
    /// Whether a running VPS takes on the difference of two configurations at once; all else waits for its next start.
    public static func isLive(_ old: VPSConfig, _ new: VPSConfig) -> Bool {
        let b = new.onNetwork
        var a = old.onNetwork
        (a.published, a.rateIn, a.rateOut) = (b.published, b.rateIn, b.rateOut)
        return old.network == new.network && a == b
    }

    /// Changes published ports and rates of a VPS that runs; its addresses stay as they are.
    /// - Throws: `cannotCreate` for a port that another VPS has published; then nothing has changed.
    public func change(_ vps: String, to own: VPSNetwork) throws(CtrError) {
        let registry = try registry()
        guard let before = try registry.note(of: vps) else {
            throw CtrError(.failed, "network: VPS \(vps) has no interface", step: "network")
        }
        let plan = try plan(registry)
        var after = before
        after.published = own.published
        after.rateOut = own.rateOut
        let new = after.items.filter { !before.items.contains($0) }
        for (index, item) in new.enumerated() where try !registry.claim(item, for: vps) {
            let owner = try registry.owner(of: item) ?? "another"
            for taken in new.prefix(index) { try registry.release(taken, of: vps) }
            throw CtrError(.cannotCreate, "network: VPS \(owner.escaped) has \(item) (choose another)", step: "network")
        }
        try shape(interfaceName(of: vps, before, plan), own.rateIn, NetlinkSocket())
        try exchange(before, after, vps, plan)
        try registry.write(after, of: vps)
        for item in before.items where !after.items.contains(item) { try registry.release(item, of: vps) }
    }

    /// Out with the old elements and in with the new.
    private func exchange(
        _ before: AddressRegistry.Note, _ after: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan
    ) throws(CtrError) {
        let out = FilterChange.removing(from: table)
        changeable(before, vps, plan, in: out)
        // Somebody may have taken the table away: then there is nothing to take out.
        if !out.isEmpty, let refusal = try out.commit(), refusal.errno != Errno.noEntry { throw refusal.error() }
        let into = FilterChange.adding(to: table)
        changeable(after, vps, plan, in: into)
        if !into.isEmpty, let refusal = try into.commit() { throw refusal.error() }
    }

    /// What of a VPS's elements may differ while it runs.
    func changeable(
        _ note: AddressRegistry.Note, _ vps: String, _ plan: NetworkPlan?, in change: FilterChange
    ) {
        for published in note.published { publish(published, note.addresses, in: change) }
        if let rate = note.rateOut {
            let name = interfaceName(of: vps, note, plan)
            change.limit(
                note.kind == .routed ? .inet : .bridge, "rates", FilterChange.Key().interface(name), name, rate)
        }
    }
}
