public import Kernel
public import Model

/// Capabilities of a process worked out before clone(2), as bit masks, so that the child only makes system calls.
public struct CapabilityPlan: Equatable, Sendable {
    /// Numbers to take out of the bounding set, those that this program has no name for included.
    let dropped: [Int]
    let sets: Credentials.Capabilities
    /// Numbers to raise for a user other than 0.
    let ambient: [Int]
    /// Names of the set that the host does not have to give; only with the host's user namespace.
    public let missing: [String]

    /// Holds the names against libcap and the running kernel.
    ///
    /// With the host's user namespace the VPS can't have more than this process's bounding set: the rest is ``missing``.
    /// Throws `config` for an unknown name and for sets that the kernel would not take, `unavailable` for a capability
    /// that the kernel has not, or that is in `required` and missing.
    /// - Parameter required: what was asked for by name (`--cap-add`), so that it must not be missing; `all` asks for
    ///   what there is.
    public init(
        _ names: CapabilitySet, userns: SeccompProfile.UserNamespace, required: [String] = []
    ) throws(CtrError) {
        let last = try KernelCapabilities.last()
        var all: UInt64 = 0
        for number in 0...last where try userns == .own ? true : KernelCapabilities.isBounding(number) {
            all |= 1 << UInt64(number)
        }
        let bounding = try Self.mask(names.bounding, "bounding", last)
        // The usual case, at a third of the cost: ctr works this out at every start.
        let effective =
            names.effective == names.bounding ? bounding : try Self.mask(names.effective, "effective", last)
        let permitted =
            names.permitted == names.bounding ? bounding : try Self.mask(names.permitted, "permitted", last)
        let inheritable = try Self.mask(names.inheritable, "inheritable", last)
        let ambient = try Self.mask(names.ambient, "ambient", last)
        try Self.require(effective, within: permitted, "effective", "permitted")
        try Self.require(ambient, within: permitted & inheritable, "ambient", "permitted and inheritable")
        try Self.require(inheritable, within: bounding, "inheritable", "bounding")
        let absent = (bounding | permitted | inheritable) & ~all
        missing = Self.numbers(absent).map { CapabilityName.name(of: $0) }
        for name in required where name.lowercased() != "all" {
            let number = try CapabilityName.number(of: name, source: "--cap-add")
            if absent & 1 << UInt64(number) != 0 {
                throw CtrError(
                    .unavailable, "--cap-add \(name): ctr itself has not got it, so it can't be given (leave it out)")
            }
        }
        dropped = (0...last).filter { bounding & all & 1 << UInt64($0) == 0 }
        sets = .init(
            effective: effective & all, permitted: permitted & all, inheritable: inheritable & all)
        self.ambient = Self.numbers(ambient & all)
    }

    /// Turns the calling process into the user with the planned capabilities. The order matters:
    ///
    /// 1. The securebits go back to 0 and the bounding set shrinks while CAP_SETPCAP is there.
    /// 2. Groups, then the group id, then the user id: the last one takes the right to the others away.
    /// 3. The three sets, then the ambient one, which must be part of two of them.
    ///
    /// For a user other than 0 execve(2) would clear the sets anyway, so only ambient ones are set: ctr's own search for
    /// the program then sees what the user may see.
    /// - Parameter keepingAdmin: CAP_SYS_ADMIN stays until execve(2), for loading a seccomp filter after this without
    ///   no_new_privs. execve(2) works the sets out anew from the bounding and ambient ones, so the guest has it only
    ///   if the plan says so.
    public func apply(
        uid: UInt32, gid: UInt32, groups: [UInt32], keepingAdmin: Bool
    ) throws(SysError) {
        if try !Credentials.secureBits().isEmpty { try Credentials.setSecureBits([]) }
        for number in dropped { try Credentials.dropFromBoundingSet(number) }
        try Credentials.clearAmbientSet()

        try Credentials.setGroups(groups)
        try Credentials.setGroupID(real: gid, effective: gid, saved: gid)
        if uid != 0 { try Credentials.setKeepCapabilities(true) }
        try Credentials.setUserID(real: uid, effective: uid, saved: uid)
        if uid != 0 { try Credentials.setKeepCapabilities(false) }

        try Credentials.setCapabilities(beforeExec(uid: uid, keepingAdmin: keepingAdmin))
        if uid != 0 { for number in ambient { try Credentials.raiseAmbient(number) } }
    }

    private func beforeExec(uid: UInt32, keepingAdmin: Bool) -> Credentials.Capabilities {
        var result = sets
        if uid != 0 {
            let kept = ambient.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
            result = .init(effective: kept, permitted: kept, inheritable: sets.inheritable)
        }
        if keepingAdmin {
            let admin: UInt64 = 1 << 21  // CAP_SYS_ADMIN
            result.effective |= admin
            result.permitted |= admin
        }
        return result
    }

    private static func mask(_ names: [String], _ set: String, _ last: Int) throws(CtrError) -> UInt64 {
        var mask: UInt64 = 0
        for name in names {
            let number: Int
            do throws(CtrError) {
                number = try CapabilityName.number(of: name, source: "\(set) capability")
            } catch { throw CtrError(.config, error.message) }
            if number > last { throw KernelCapabilities.unknown(name, source: "\(set) capability") }
            mask |= 1 << UInt64(number)
        }
        return mask
    }

    private static func require(
        _ part: UInt64, within whole: UInt64, _ name: String, _ other: String
    ) throws(CtrError) {
        if let first = numbers(part & ~whole).first {
            throw CtrError(.config, "capabilities: \(CapabilityName.name(of: first)) is \(name) but not \(other)")
        }
    }

    private static func numbers(_ mask: UInt64) -> [Int] { (0..<64).filter { mask & 1 << UInt64($0) != 0 } }
}

/// What the running kernel knows.
enum KernelCapabilities {
    /// The highest capability of the running kernel; higher ones that this program has no name for are counted.
    static func last() throws(CtrError) -> Int {
        try describing("capabilities of the kernel", code: .failed) { () throws(SysError) in
            // Linux has had 41 since 5.9, so three questions are enough: 40, 41 and none between.
            var number = 40
            while number < 63, try Credentials.boundingSetHas(number + 1) != nil { number += 1 }
            while number > 0, try Credentials.boundingSetHas(number) == nil { number -= 1 }
            return number
        }
    }

    static func isBounding(_ number: Int) throws(CtrError) -> Bool {
        try describing("capabilities of ctr", code: .failed) { () throws(SysError) in
            try Credentials.boundingSetHas(number) == true
        }
    }

    static func unknown(_ name: String, source: String) -> CtrError {
        CtrError(.unavailable, "\(source) \(name.escaped): the running kernel has no such capability")
    }
}
