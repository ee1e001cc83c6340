internal import CLinux
internal import Glibc

/// Ids and capabilities of the calling process. See credentials(7) and capabilities(7).
///
/// Every function is one raw system call on the calling thread: glibc's versions of the id calls signal every thread
/// of the process, which the child of a clone must not do. Each fits between clone3(2) and execve(2).
public enum Credentials {
    /// The three capability sets that `capget(2)` shows; bit N is capability N.
    public struct Capabilities: Equatable, Sendable {
        public var effective: UInt64
        public var permitted: UInt64
        public var inheritable: UInt64
        public init(effective: UInt64 = 0, permitted: UInt64 = 0, inheritable: UInt64 = 0) {
            self.effective = effective
            self.permitted = permitted
            self.inheritable = inheritable
        }
    }

    /// Flags of `PR_SET_SECUREBITS`, see capabilities(7).
    public struct SecureBits: OptionSet, Sendable {
        public let rawValue: UInt
        public init(rawValue: UInt) { self.rawValue = rawValue }
        /// User id 0 gets no capabilities by executing.
        public static let noRoot = SecureBits(rawValue: 1 << 0)
        /// Changes of the user id leave the capability sets alone.
        public static let noSetuidFixup = SecureBits(rawValue: 1 << 2)
        /// The permitted set stays when all user ids become nonzero; ends at execve(2).
        public static let keepCapabilities = SecureBits(rawValue: 1 << 4)
    }

    /// The corresponding call is `capget(2)`.
    public static func capabilities() throws(SysError) -> Capabilities {
        var effective: [UInt32] = [0, 0]
        var permitted: [UInt32] = [0, 0]
        var inheritable: [UInt32] = [0, 0]
        try check(ctr_capget(&effective, &permitted, &inheritable), "capget")
        return Capabilities(
            effective: joined(effective), permitted: joined(permitted), inheritable: joined(inheritable))
    }

    /// EPERM for a permitted set that is not part of the present one. The corresponding call is `capset(2)`.
    public static func setCapabilities(_ sets: Capabilities) throws(SysError) {
        try check(ctr_capset(halves(sets.effective), halves(sets.permitted), halves(sets.inheritable)), "capset")
    }

    /// Whether the bounding set has a capability; nil: the running kernel does not know that number.
    /// The corresponding call is `prctl(2)` with PR_CAPBSET_READ.
    public static func boundingSetHas(_ capability: Int) throws(SysError) -> Bool? {
        let result = ctr_prctl(Int32(CTR_PR_CAPBSET_READ), UInt(capability), 0, 0, 0)
        if result == -Int(EINVAL) { return nil }
        return try check(result, "prctl", "PR_CAPBSET_READ \(capability)") == 1
    }

    /// Wants CAP_SETPCAP; can't be undone. The corresponding call is `prctl(2)` with PR_CAPBSET_DROP.
    public static func dropFromBoundingSet(_ capability: Int) throws(SysError) {
        try check(
            ctr_prctl(Int32(CTR_PR_CAPBSET_DROP), UInt(capability), 0, 0, 0), "prctl", "PR_CAPBSET_DROP \(capability)")
    }

    /// The corresponding call is `prctl(2)` with PR_CAP_AMBIENT_CLEAR_ALL.
    public static func clearAmbientSet() throws(SysError) {
        try check(
            ctr_prctl(Int32(CTR_PR_CAP_AMBIENT), UInt(CTR_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0), "prctl",
            "PR_CAP_AMBIENT_CLEAR_ALL")
    }

    /// EPERM unless the capability is permitted and inheritable. The corresponding call is `prctl(2)` with
    /// PR_CAP_AMBIENT_RAISE.
    public static func raiseAmbient(_ capability: Int) throws(SysError) {
        try check(
            ctr_prctl(Int32(CTR_PR_CAP_AMBIENT), UInt(CTR_PR_CAP_AMBIENT_RAISE), UInt(capability), 0, 0), "prctl",
            "PR_CAP_AMBIENT_RAISE \(capability)")
    }

    /// The corresponding call is `prctl(2)` with PR_GET_SECUREBITS.
    public static func secureBits() throws(SysError) -> SecureBits {
        SecureBits(rawValue: UInt(try check(ctr_prctl(Int32(CTR_PR_GET_SECUREBITS), 0, 0, 0, 0), "prctl")))
    }

    /// Wants CAP_SETPCAP. The corresponding call is `prctl(2)` with PR_SET_SECUREBITS.
    public static func setSecureBits(_ bits: SecureBits) throws(SysError) {
        try check(ctr_prctl(Int32(CTR_PR_SET_SECUREBITS), bits.rawValue, 0, 0, 0), "prctl", "PR_SET_SECUREBITS")
    }

    /// Whether the permitted set survives the change from user 0 to another; ends at execve(2).
    /// The corresponding call is `prctl(2)` with PR_SET_KEEPCAPS.
    public static func setKeepCapabilities(_ on: Bool) throws(SysError) {
        try check(ctr_prctl(Int32(CTR_PR_SET_KEEPCAPS), on ? 1 : 0, 0, 0, 0), "prctl", "PR_SET_KEEPCAPS")
    }

    /// From now on no execve(2) grants a privilege; can't be undone. The corresponding call is `prctl(2)` with
    /// PR_SET_NO_NEW_PRIVS.
    public static func setNoNewPrivileges() throws(SysError) {
        try check(ctr_prctl(Int32(CTR_PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS")
    }

    /// The supplementary groups. EPERM in a user namespace whose `setgroups` says deny. See `setgroups(2)`.
    public static func setGroups(_ groups: [UInt32]) throws(SysError) {
        try check(ctr_setgroups(groups.count, groups), "setgroups")
    }

    /// Real, effective and saved group id; nil leaves one as it is. EINVAL for an id that is not mapped.
    /// The corresponding call is `setresgid(2)`.
    public static func setGroupID(real: UInt32?, effective: UInt32?, saved: UInt32?) throws(SysError) {
        try refuseMinusOne("setresgid", real, effective, saved)
        try check(ctr_setresgid(real ?? .max, effective ?? .max, saved ?? .max), "setresgid")
    }

    /// Real, effective and saved user id; nil leaves one as it is. EINVAL for an id that is not mapped.
    /// The corresponding call is `setresuid(2)`.
    public static func setUserID(real: UInt32?, effective: UInt32?, saved: UInt32?) throws(SysError) {
        try refuseMinusOne("setresuid", real, effective, saved)
        try check(ctr_setresuid(real ?? .max, effective ?? .max, saved ?? .max), "setresuid")
    }

    /// -1 means "leave it" to the kernel, so an id of 4294967295 would quietly keep the present one.
    private static func refuseMinusOne(_ call: String, _ ids: UInt32?...) throws(SysError) {
        if ids.contains(UInt32.max) { throw SysError(call, EINVAL, "4294967295") }
    }

    private static func joined(_ halves: [UInt32]) -> UInt64 { UInt64(halves[0]) | UInt64(halves[1]) << 32 }

    private static func halves(_ set: UInt64) -> [UInt32] {
        [UInt32(truncatingIfNeeded: set), UInt32(truncatingIfNeeded: set >> 32)]
    }
}
