internal import FoundationEssentials

extension SeccompProfile {
    /// What a docker profile's `includes` and `excludes` are held against.
    public struct Host: Equatable, Sendable {
        /// The VPS's bounding set, by name with CAP_.
        public var capabilities: Set<String>
        public var architecture: Architecture
        /// The kernel's release as uname(2) has it: `6.18.4`.
        public var kernel: String
        public init(capabilities: Set<String>, architecture: Architecture = .native, kernel: String) {
            self.capabilities = capabilities
            self.architecture = architecture
            self.kernel = kernel
        }
    }

    /// Reads `linux.seccomp` of the OCI runtime spec, or docker's and podman's form of it with `archMap`, `includes` and
    /// `excludes`. Throws `badInput` naming the place for anything it does not know: a field, an action, a comparison.
    /// - Parameter file: the file's name, for messages.
    public static func parse(_ json: [UInt8], file: String, host: Host) throws(CtrError) -> SeccompProfile {
        let form: ProfileForm
        do {
            form = try JSONDecoder().decode(ProfileForm.self, from: Data(json))
        } catch let error as DecodingError {
            throw CtrError(.badInput, "seccomp profile '\(file.escaped)': \(describe(error).escaped)")
        } catch { throw CtrError(.badInput, "seccomp profile '\(file.escaped)': \("\(error)".escaped)") }
        do throws(FormError) { return try form.profile(host) } catch {
            throw CtrError(.badInput, "seccomp profile '\(file.escaped)': \(error.text.escaped)")
        }
    }

    private static func describe(_ error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, let context):
            "'\(key.stringValue)' is missing\(place(context.codingPath))"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "wrong type of value\(place(context.codingPath))"
        case .dataCorrupted(let context):
            context.codingPath.isEmpty
                ? context.debugDescription : "\(context.debugDescription)\(place(context.codingPath))"
        @unknown default: "\(error)"
        }
    }

    private static func place(_ path: [any CodingKey]) -> String {
        if path.isEmpty { return "" }
        return " at "
            + path.map { key in key.intValue.map { "[\($0)]" } ?? ".\(key.stringValue)" }.joined().drop { $0 == "." }
    }
}

/// What a value of the file means to nobody.
struct FormError: Error {
    var text: String
    init(_ text: String) { self.text = text }
}

/// The file's top level.
private struct ProfileForm: Decodable {
    var defaultAction: String
    var defaultErrnoRet: UInt16?
    var defaultErrno: String?
    var architectures: [String]?
    var archMap: [ArchForm]?
    var flags: [String]?
    var listenerPath: String?
    var syscalls: [RuleForm]?

    init(from decoder: any Decoder) throws {
        let fields = try StrictFields(
            decoder,
            [
                "defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "flags",
                "listenerPath", "listenerMetadata", "syscalls",
            ])
        defaultAction = try fields.required("defaultAction")
        defaultErrnoRet = try fields.number("defaultErrnoRet")
        defaultErrno = try fields.optional("defaultErrno")
        architectures = try fields.optional("architectures")
        archMap = try fields.optional("archMap")
        flags = try fields.optional("flags")
        listenerPath = try fields.optional("listenerPath")
        syscalls = try fields.optional("syscalls")
    }

    func profile(_ host: SeccompProfile.Host) throws(FormError) -> SeccompProfile {
        if let listenerPath, !listenerPath.isEmpty {
            throw FormError("listenerPath: user notification is not supported")
        }
        if let architectures, !architectures.isEmpty, let archMap, !archMap.isEmpty {
            throw FormError("has both 'architectures' and 'archMap'")
        }
        let fallback = try SeccompForm.action(
            defaultAction, number: defaultErrnoRet, name: defaultErrno, "defaultAction")
        var rules: [SeccompProfile.Rule] = []
        for (index, form) in (syscalls ?? []).enumerated() {
            rules += try form.rules(host, place: "syscalls[\(index)]")
        }
        var profile = SeccompProfile(
            stages: [.init(rules)], defaultAction: fallback, architectures: try companions(host.architecture))
        try applyFlags(to: &profile)
        return profile
    }

    /// Those of the architectures named that this machine can run besides its own.
    private func companions(
        _ native: SeccompProfile.Architecture
    ) throws(FormError) -> [SeccompProfile.Architecture] {
        var named: [SeccompProfile.Architecture] = []
        for name in architectures ?? [] { if let known = try SeccompForm.architecture(name) { named.append(known) } }
        for entry in archMap ?? [] {
            let main = try SeccompForm.architecture(entry.architecture)
            for name in entry.subArchitectures ?? [] {
                if let known = try SeccompForm.architecture(name), main == native { named.append(known) }
            }
        }
        return native.companions.filter(named.contains)
    }

    private func applyFlags(to profile: inout SeccompProfile) throws(FormError) {
        for flag in flags ?? [] {
            switch flag {
            case "SECCOMP_FILTER_FLAG_LOG": profile.log = true
            case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": profile.allowSpeculation = true
            // One thread loads the filter, so there is none to bring along.
            case "SECCOMP_FILTER_FLAG_TSYNC": break
            default: throw FormError("unknown or unsupported flag '\(flag)'")
            }
        }
    }
}

/// docker's `archMap`.
private struct ArchForm: Decodable {
    var architecture: String
    var subArchitectures: [String]?

    init(from decoder: any Decoder) throws {
        let fields = try StrictFields(decoder, ["architecture", "subArchitectures"])
        architecture = try fields.required("architecture")
        subArchitectures = try fields.optional("subArchitectures")
    }
}

/// One entry of `syscalls`.
private struct RuleForm: Decodable {
    var names: [String]
    var action: String
    var errnoRet: UInt16?
    var errno: String?
    var args: [ConditionForm]
    var includes: FilterForm?
    var excludes: FilterForm?

    init(from decoder: any Decoder) throws {
        let fields = try StrictFields(
            decoder, ["name", "names", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes"])
        let list: [String]? = try fields.optional("names")
        let single: String? = try fields.optional("name")
        names = (list ?? []) + (single.map { [$0] } ?? [])
        action = try fields.required("action")
        errnoRet = try fields.number("errnoRet")
        errno = try fields.optional("errno")
        args = try fields.optional("args") ?? []
        includes = try fields.optional("includes")
        excludes = try fields.optional("excludes")
    }

    func rules(_ host: SeccompProfile.Host, place: String) throws(FormError) -> [SeccompProfile.Rule] {
        // Looked at before the filters, so that a mistake shows on every machine.
        let result = try SeccompForm.action(action, number: errnoRet, name: errno, "\(place).action")
        var conditions: [SeccompProfile.Condition] = []
        for (index, form) in args.enumerated() { conditions.append(try form.condition("\(place).args[\(index)]")) }
        if names.isEmpty { throw FormError("\(place): no names") }
        // libseccomp would see a name only up to a NUL.
        if let bad = names.first(where: { !SeccompForm.isCallName($0) }) {
            throw FormError("\(place).names: '\(bad)' is no system call's name")
        }
        if let includes, try !includes.allows(host, place) { return [] }
        if let excludes, try excludes.matchesAny(host, place) { return [] }
        if Set(conditions.map(\.index)).count == conditions.count {
            return [.init(names, result, where: conditions)]
        }
        // Several values of one argument: runc and docker mean any of them. Where that is not plainly so, no guess.
        guard conditions.allSatisfy({ $0.index == conditions[0].index && $0.isEquality }) else {
            throw FormError("\(place).args: more than one condition on an argument (only several values are supported)")
        }
        return conditions.map { .init(names, result, where: [$0]) }
    }
}

extension SeccompProfile.Condition {
    fileprivate var isEquality: Bool {
        switch comparison {
        case .equal, .maskedEqual: true
        default: false
        }
    }
}

/// One entry of `args`.
private struct ConditionForm: Decodable {
    var index: UInt32
    var value: UInt64
    var valueTwo: UInt64?
    var op: String

    init(from decoder: any Decoder) throws {
        let fields = try StrictFields(decoder, ["index", "value", "valueTwo", "op", "comment"])
        index = try fields.requiredNumber("index")
        value = try fields.requiredNumber("value")
        valueTwo = try fields.number("valueTwo")
        op = try fields.required("op")
    }

    func condition(_ place: String) throws(FormError) -> SeccompProfile.Condition {
        if index > 5 { throw FormError("\(place).index: \(index) is above 5") }
        let comparison: SeccompProfile.Condition.Comparison
        switch op {
        case "SCMP_CMP_NE": comparison = .notEqual
        case "SCMP_CMP_LT": comparison = .less
        case "SCMP_CMP_LE": comparison = .lessOrEqual
        case "SCMP_CMP_EQ": comparison = .equal
        case "SCMP_CMP_GE": comparison = .greaterOrEqual
        case "SCMP_CMP_GT": comparison = .greater
        // The mask is the first value there, as in libseccomp's own macro.
        case "SCMP_CMP_MASKED_EQ": return .init(index: index, .maskedEqual(mask: value), valueTwo ?? 0)
        default: throw FormError("\(place).op: unknown comparison '\(op)'")
        }
        return .init(index: index, comparison, value)
    }
}

/// docker's `includes` and `excludes`.
private struct FilterForm: Decodable {
    var caps: [String]
    var arches: [String]
    var minKernel: String?

    init(from decoder: any Decoder) throws {
        let fields = try StrictFields(decoder, ["caps", "arches", "minKernel"])
        caps = try fields.optional("caps") ?? []
        arches = try fields.optional("arches") ?? []
        minKernel = try fields.optional("minKernel")
    }

    /// All that is asked for holds: each capability, one of the architectures, the kernel.
    func allows(_ host: SeccompProfile.Host, _ place: String) throws(FormError) -> Bool {
        if !caps.allSatisfy(host.capabilities.contains) { return false }
        if !arches.isEmpty && !arches.contains(dockerName(host.architecture)) { return false }
        return minKernel == nil ? true : try isAtLeast(host, place)
    }

    func matchesAny(_ host: SeccompProfile.Host, _ place: String) throws(FormError) -> Bool {
        if caps.contains(where: host.capabilities.contains) { return true }
        if arches.contains(dockerName(host.architecture)) { return true }
        return minKernel == nil ? false : try isAtLeast(host, place)
    }

    private func isAtLeast(_ host: SeccompProfile.Host, _ place: String) throws(FormError) -> Bool {
        guard let wanted = minKernel.flatMap(version), let present = version(host.kernel) else {
            throw FormError("\(place): minKernel '\(minKernel ?? "")' is not a version (for example 4.8)")
        }
        return present >= wanted
    }

    /// The first two numbers of a release.
    private func version(_ text: String) -> (Int, Int)? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).prefix(2)
        let numbers = parts.compactMap { Int($0.prefix { $0.isASCII && $0.isNumber }) }
        return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
    }

    /// As Go names them.
    private func dockerName(_ architecture: SeccompProfile.Architecture) -> String {
        architecture == .i386 ? "x86" : architecture.rawValue
    }
}

/// Words of the file.
private enum SeccompForm {
    static func isCallName(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy {
                (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || $0 == 95
            }
    }

    static func action(
        _ word: String, number: UInt16?, name: String?, _ place: String
    ) throws(FormError) -> SeccompProfile.Action {
        let number = try name.map { (name) throws(FormError) in try errno(name, place) } ?? number
        switch word {
        case "SCMP_ACT_ALLOW": return .allow
        case "SCMP_ACT_LOG": return .log
        case "SCMP_ACT_TRAP": return .trap
        case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD": return .killThread
        case "SCMP_ACT_KILL_PROCESS": return .killProcess
        case "SCMP_ACT_ERRNO":
            // Above 4095 a result is no error to the C library: the call would seem to have succeeded.
            if let number, number > 4095 { throw FormError("\(place): errno \(number) is above 4095") }
            return .errno(number ?? 1)
        case "SCMP_ACT_TRACE": return .trace(number ?? 1)
        case "SCMP_ACT_NOTIFY": throw FormError("\(place): SCMP_ACT_NOTIFY is not supported")
        default: throw FormError("\(place): unknown action '\(word)'")
        }
    }

    /// podman's `errno`. Those that a profile has reason to return.
    private static func errno(_ name: String, _ place: String) throws(FormError) -> UInt16 {
        let known: [String: UInt16] = [
            "EPERM": 1, "ENOENT": 2, "EINTR": 4, "EIO": 5, "EBADF": 9, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13,
            "EFAULT": 14, "EBUSY": 16, "EEXIST": 17, "ENODEV": 19, "EINVAL": 22, "ENOTTY": 25, "ENOSPC": 28,
            "EROFS": 30, "ENOSYS": 38, "EAFNOSUPPORT": 97, "EOPNOTSUPP": 95, "EPROTONOSUPPORT": 93,
        ]
        guard let number = known[name] else { throw FormError("\(place): unknown errno '\(name)'") }
        return number
    }

    /// nil: a known architecture that no machine of ours runs.
    static func architecture(_ name: String) throws(FormError) -> SeccompProfile.Architecture? {
        switch name {
        case "SCMP_ARCH_X86_64": return .amd64
        case "SCMP_ARCH_X86": return .i386
        case "SCMP_ARCH_X32": return .x32
        case "SCMP_ARCH_AARCH64": return .arm64
        case "SCMP_ARCH_ARM": return .arm
        case "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
            "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390",
            "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
            "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB":
            return nil
        default: throw FormError("unknown architecture '\(name)'")
        }
    }
}

/// A JSON object that may have these fields and no others.
private struct StrictFields {
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
    private let container: KeyedDecodingContainer<Key>

    init(_ decoder: any Decoder, _ known: Set<String>) throws {
        container = try decoder.container(keyedBy: Key.self)
        if let unknown = container.allKeys.map(\.stringValue).filter({ !known.contains($0) }).min() {
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: "unknown field '\(unknown)'"))
        }
    }

    func required<T: Decodable>(_ name: String) throws -> T {
        try container.decode(T.self, forKey: Key(stringValue: name))
    }

    /// An unsigned number; Foundation's own error for one that does not fit says only that the JSON is bad.
    func number<T: FixedWidthInteger & UnsignedInteger & Decodable>(_ name: String) throws -> T? {
        let key = Key(stringValue: name)
        guard container.contains(key), try !container.decodeNil(forKey: key) else { return nil }
        do {
            return try container.decode(T.self, forKey: key)
        } catch {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: container.codingPath + [key], debugDescription: "not a number from 0 to \(T.max)"))
        }
    }

    func requiredNumber<T: FixedWidthInteger & UnsignedInteger & Decodable>(_ name: String) throws -> T {
        if let number: T = try number(name) { return number }
        throw DecodingError.keyNotFound(
            Key(stringValue: name), .init(codingPath: container.codingPath, debugDescription: ""))
    }

    /// Missing and null are the same: Go's encoder writes null for an empty list.
    func optional<T: Decodable>(_ name: String) throws -> T? {
        try container.decodeIfPresent(T.self, forKey: Key(stringValue: name))
    }
}
