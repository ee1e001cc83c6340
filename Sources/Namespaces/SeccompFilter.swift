internal import CSeccomp
public import Kernel
public import Model

/// A seccomp profile as the kernel takes it: a classic BPF program, and the flags to load it with.
public struct SeccompFilter: Equatable, Sendable {
    /// struct sock_filter after struct sock_filter, in the machine's byte order.
    public var program: [UInt8]
    public var flags: Seccomp.Flags
    /// Names of the profile that no architecture here has: they were skipped, as docker and runc do.
    public var unknownNames: [String] = []

    /// Compiles a profile through libseccomp.
    ///
    /// Each stage is a libseccomp filter of its own whose default action is a mark; the marks become jumps to the next
    /// stage, and the last stage is followed by the profile's default action. A call of an architecture that is not in
    /// the profile kills the process.
    /// Throws `badInput` for a profile that libseccomp or the kernel would not take.
    public static func compile(
        _ profile: SeccompProfile, architecture: SeccompProfile.Architecture = .native
    ) throws(CtrError) -> SeccompFilter {
        var program = BPFProgram()
        var unknown: [String] = []
        for stage in profile.stages where !stage.rules.isEmpty {
            var newer: [(number: UInt32, action: UInt32)] = []
            let context = try SeccompContext()
            try context.configure([architecture] + profile.architectures)
            for rule in stage.rules {
                for name in rule.names {
                    switch try context.add(name, rule) {
                    case .added: break
                    case .newer(let number): newer.append((number, rule.action.word))
                    case .unknown: unknown.append(name)
                    }
                }
            }
            try program.append(context.export(), fallingThrough: SeccompContext.mark)
            program.append(newer)
        }
        program.appendReturn(profile.defaultAction.word)
        if program.count > Seccomp.longestProgram {
            throw CtrError(
                .badInput,
                "seccomp profile: compiles to \(program.count) instructions, the kernel takes 4096 (use fewer rules)")
        }
        var flags: Seccomp.Flags = []
        if profile.log { flags.insert(.log) }
        if profile.allowSpeculation { flags.insert(.speculationAllowed) }
        return SeccompFilter(program: program.bytes, flags: flags, unknownNames: unknown)
    }

    /// Reads a profile in OCI or docker form for `--seccomp FILE` and compiles it. Nothing is cached.
    public static func compile(file: String, json: [UInt8], host: SeccompProfile.Host) throws(CtrError)
        -> SeccompFilter
    {
        try compile(SeccompProfile.parse(json, file: file, host: host), architecture: host.architecture)
    }

    /// Binds the calling thread and all that it executes, for good. After it the child may only call what the profile
    /// allows: execve(2), close(2), write(2) to report an error, exit_group(2).
    ///
    /// Wants CAP_SYS_ADMIN in the user namespace, or no_new_privs; see ``CapabilityPlan``.
    public func load() throws(SysError) { try Seccomp.load(program, flags: flags) }
}

extension SeccompProfile.Action {
    /// The value that a filter returns, see seccomp(2).
    var word: UInt32 {
        switch self {
        case .allow: 0x7fff_0000
        case .log: 0x7ffc_0000
        case .trace(let message): 0x7ff0_0000 | UInt32(message)
        case .errno(let number): 0x0005_0000 | UInt32(number)
        case .trap: 0x0003_0000
        case .killThread: 0x0000_0000
        case .killProcess: 0x8000_0000
        }
    }
}

extension SeccompProfile.Architecture {
    /// libseccomp's token: the number in struct seccomp_data, but for x32, which shares it.
    var token: UInt32 {
        switch self {
        case .amd64: 0xc000_003e
        case .i386: 0x4000_0003
        case .x32: 0x4000_003e
        case .arm64: 0xc000_00b7
        case .arm: 0x4000_0028
        }
    }
}

/// A filter that libseccomp is building.
private struct SeccompContext: ~Copyable {
    /// A tracer's message that no profile of ours uses: what a stage has no rule for.
    static let mark = SeccompProfile.Action.trace(0xc71e).word

    enum Outcome {
        case added
        /// libseccomp has no such name, our own table has the number.
        case newer(UInt32)
        case unknown
    }

    private let context: scmp_filter_ctx

    init() throws(CtrError) {
        guard let made = seccomp_init(Self.mark) else {
            throw CtrError(.failed, "seccomp: libseccomp makes no filter (out of memory?)")
        }
        context = made
    }

    func configure(_ architectures: [SeccompProfile.Architecture]) throws(CtrError) {
        let native = seccomp_arch_native()
        for architecture in architectures where seccomp_arch_exist(context, architecture.token) != 0 {
            try Self.check(seccomp_arch_add(context, architecture.token), "architecture \(architecture.rawValue)")
        }
        if !architectures.contains(where: { $0.token == native }) {
            try Self.check(seccomp_arch_remove(context, native), "the machine's own architecture")
        }
        try Self.check(
            seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SeccompProfile.Action.killProcess.word),
            "action for other architectures")
        // A binary tree over the numbers: a call costs ten comparisons, not three hundred.
        try Self.check(seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimisation")
    }

    deinit { seccomp_release(context) }

    func add(_ name: String, _ rule: SeccompProfile.Rule) throws(CtrError) -> Outcome {
        let number = seccomp_syscall_resolve_name(name)
        if number == -1 {  // __NR_SCMP_ERROR
            guard let newer = NewerCalls.numbers[name] else { return .unknown }
            if rule.conditions.isEmpty { return .newer(newer) }
            throw CtrError(
                .badInput, "seccomp profile: '\(name)' is newer than this libseccomp, which can't test its arguments")
        }
        let comparisons = rule.conditions.map(\.comparisonForLibrary)
        let result = seccomp_rule_add_array(
            context, rule.action.word, number, UInt32(comparisons.count), comparisons)
        // A more general rule for the same call and action is there already.
        if result == -Errno.exists { return .added }
        try Self.check(result, "a rule for '\(name.escaped)'")
        return .added
    }

    func export() throws(CtrError) -> [UInt8] {
        try describing("seccomp: compile", code: .failed) { () throws(SysError) in
            let file = try MemoryFile.make()
            let result = seccomp_export_bpf(context, file.rawValue)
            if result < 0 { throw SysError("seccomp_export_bpf", -result) }
            return try MemoryFile.contents(of: file, limit: 1 << 20)
        }
    }

    private static func check(_ result: Int32, _ what: String) throws(CtrError) {
        if result < 0 {
            throw CtrError(
                .badInput, "seccomp profile: libseccomp refuses \(what): \(SysError.text(-result))", errno: -result)
        }
    }
}

extension SeccompProfile.Condition {
    /// As libseccomp takes it.
    fileprivate var comparisonForLibrary: scmp_arg_cmp {
        let (op, a, b): (scmp_compare, UInt64, UInt64) =
            switch comparison {
            case .notEqual: (SCMP_CMP_NE, value, 0)
            case .less: (SCMP_CMP_LT, value, 0)
            case .lessOrEqual: (SCMP_CMP_LE, value, 0)
            case .equal: (SCMP_CMP_EQ, value, 0)
            case .greaterOrEqual: (SCMP_CMP_GE, value, 0)
            case .greater: (SCMP_CMP_GT, value, 0)
            case .maskedEqual(let mask): (SCMP_CMP_MASKED_EQ, mask, value)
            }
        return scmp_arg_cmp(arg: index, op: op, datum_a: a, datum_b: b)
    }
}

/// System calls that libseccomp 2.5.4 does not know. Since Linux 5.1 new calls have the same number everywhere.
enum NewerCalls {
    static let numbers: [String: UInt32] = [
        "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455,
        "futex_requeue": 456, "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460,
        "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465,
        "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469,
    ]
}
