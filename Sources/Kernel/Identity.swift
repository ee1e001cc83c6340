internal import CLinux

/// Whom file systems see in this process.
public enum Identity {
    /// Runs `body` with the effective user and group ids given and all capabilities kept: what it makes belongs to
    /// these ids. See SECBIT_NO_SETUID_FIXUP in capabilities(7). Nothing changes where both are 0.
    public static func acting<R: ~Copyable>(
        asUser user: UInt32, group: UInt32, _ body: () throws(SysError) -> R
    ) throws(SysError) -> R {
        if user == 0, group == 0 { return try body() }
        let unchanged = UInt32.max
        let before = try check(ctr_prctl(Int32(CTR_PR_GET_SECUREBITS), 0, 0, 0, 0), "prctl", "PR_GET_SECUREBITS")
        let noFixup = 4
        try check(
            ctr_prctl(Int32(CTR_PR_SET_SECUREBITS), UInt(before | noFixup), 0, 0, 0), "prctl", "PR_SET_SECUREBITS")
        defer {
            _ = ctr_setresuid(unchanged, 0, unchanged)
            _ = ctr_setresgid(unchanged, 0, unchanged)
            _ = ctr_prctl(Int32(CTR_PR_SET_SECUREBITS), UInt(before), 0, 0, 0)
        }
        try check(ctr_setresgid(unchanged, group, unchanged), "setresgid", "\(group)")
        try check(ctr_setresuid(unchanged, user, unchanged), "setresuid", "\(user)")
        return try body()
    }

    /// All three user and group ids become those given, and no supplementary group stays.
    public static func become(user: UInt32, group: UInt32, groups: [UInt32]) throws(SysError) {
        try check(ctr_setgroups(groups.count, groups.isEmpty ? nil : groups), "setgroups")
        try check(ctr_setresgid(group, group, group), "setresgid", "\(group)")
        try check(ctr_setresuid(user, user, user), "setresuid", "\(user)")
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
