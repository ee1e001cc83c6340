internal import CLinux

/// While this lives, file systems see other effective user and group ids in this process, with all capabilities kept:
/// what it makes belongs to these ids. See SECBIT_NO_SETUID_FIXUP in capabilities(7). For a process of root with one
/// thread.
public struct BorrowedIdentity: ~Copyable {
    private let before: Credentials.SecureBits?

    private init(before: Credentials.SecureBits?) { self.before = before }

    /// Nothing changes where both ids are 0.
    public static func borrow(user: UInt32, group: UInt32) throws(SysError) -> BorrowedIdentity {
        if user == 0, group == 0 { return BorrowedIdentity(before: nil) }
        let bits = try Credentials.secureBits()
        let identity = BorrowedIdentity(before: bits)
        try Credentials.setSecureBits(bits.union(.noSetuidFixup))
        try Credentials.setGroupID(real: nil, effective: group, saved: nil)
        try Credentials.setUserID(real: nil, effective: user, saved: nil)
        return identity
    }

    deinit {
        guard let before else { return }
        // Root may always go back; what fails here would have failed on the way in.
        try? Credentials.setUserID(real: nil, effective: 0, saved: nil)
        try? Credentials.setGroupID(real: nil, effective: 0, saved: nil)
        try? Credentials.setSecureBits(before)
    }
}

/// Whom file systems see in this process.
public enum Identity {
    /// Runs `body` with a ``BorrowedIdentity``.
    public static func acting<R: ~Copyable>(
        asUser user: UInt32, group: UInt32, _ body: () throws(SysError) -> R
    ) throws(SysError) -> R {
        let identity = try BorrowedIdentity.borrow(user: user, group: group)
        let result = try body()
        _ = consume identity
        return result
    }

    /// All three user and group ids become those given, and no supplementary group stays but `groups`. In a new user
    /// namespace a process is nobody until it takes an id that is mapped.
    public static func become(user: UInt32, group: UInt32, groups: [UInt32]) throws(SysError) {
        try Credentials.setGroups(groups)
        try Credentials.setGroupID(real: group, effective: group, saved: group)
        try Credentials.setUserID(real: user, effective: user, saved: user)
    }
}

/// The resource limits of a process. The corresponding call is `prlimit(2)`.
/// - Parameters:
///   - pid: 0 is the calling process.
///   - soft: `UInt64.max` is unlimited, and so for `hard`.
public func setResourceLimit(
    of pid: Int32, _ resource: Int32, soft: UInt64, hard: UInt64
) throws(SysError) {
    var limit = rlimit()
    limit.rlim_cur = rlim_t(soft)
    limit.rlim_max = rlim_t(hard)
    try check(ctr_prlimit(pid, resource, &limit, nil), "prlimit", "\(resource)")
}
