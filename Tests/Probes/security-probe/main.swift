// security-probe: binds itself with a filter or with capabilities, then makes system calls or executes a program.
//
//   security-probe calls [OPTIONS] CALL...       each CALL is [i386:]NUMBER[,ARGUMENT...]; prints the result or -errno
//   security-probe run [OPTIONS] -- CMD [ARG...] executes CMD
//   security-probe idpool DIRECTORY VPS...       takes a range for each VPS; prints the bases
//
// Options: --own BASE enter a user namespace · --plan apply capabilities · --uid N --gid N --group N · --add NAME
//   --drop NAME --ambient NAME · --seccomp default|FILE · --nesting · --cache DIR · --no-new-privileges
import CSecurityProbe
import Glibc
import Kernel
import Model
import Namespaces

struct Options {
    var userns = SeccompProfile.UserNamespace.host
    var base: UInt32 = 0
    var plan = false
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    var groups: [UInt32] = []
    var adds: [String] = []
    var drops: [String] = []
    var ambient: [String] = []
    var seccomp: String?
    var nesting = false
    var cache: String?
    var noNewPrivileges = false
    var rest: [String] = []

    init(_ words: [String]) {
        var words = words[...]
        func value(_ words: inout ArraySlice<String>) -> String { words.isEmpty ? "" : words.removeFirst() }
        while let word = words.popFirst() {
            switch word {
            case "--own":
                userns = .own
                base = UInt32(value(&words))!
            case "--plan": plan = true
            case "--uid": uid = UInt32(value(&words))!
            case "--gid": gid = UInt32(value(&words))!
            case "--group": groups.append(UInt32(value(&words))!)
            case "--add": adds.append(value(&words))
            case "--drop": drops.append(value(&words))
            case "--ambient": ambient.append(value(&words))
            case "--seccomp": seccomp = value(&words)
            case "--nesting": nesting = true
            case "--cache": cache = value(&words)
            case "--no-new-privileges": noNewPrivileges = true
            case "--":
                rest = Array(words)
                return
            default: rest.append(word)
            }
        }
    }
}

func say(_ text: String) {
    let line = text + "\n"
    _ = line.withCString { write(2, $0, strlen($0)) }
}

func fail(_ text: String) -> Never {
    say("security-probe: \(text)")
    _exit(125)
}

/// The order of a VPS's child: the user namespace, the plan, no_new_privs, the filter last.
func bind(_ options: Options) throws {
    var names = try (options.userns == .own ? CapabilitySet.system : .hostUser).changed(
        adding: options.adds, dropping: options.drops)
    names.ambient = options.ambient
    names.inheritable = options.ambient
    let plan = options.plan ? try CapabilityPlan(names, userns: options.userns, required: options.adds) : nil
    let filter = try filter(options, names)
    for name in filter?.unknownNames ?? [] { say("unknown call \(name)") }
    if options.userns == .own {
        let result = probe_enter_user_namespace(options.base)
        if result < 0 { throw SysError("unshare", Int32(-result)) }
    }
    if let plan {
        try plan.apply(
            uid: options.uid, gid: options.gid, groups: options.groups,
            keepingAdmin: filter != nil && !options.noNewPrivileges)
    }
    if options.noNewPrivileges { try Credentials.setNoNewPrivileges() }
    try filter?.load()
}

func filter(_ options: Options, _ names: CapabilitySet) throws -> SeccompFilter? {
    guard let seccomp = options.seccomp else { return nil }
    if seccomp == "default" {
        guard let cache = options.cache else {
            return try SeccompFilter.compile(
                .default(capabilities: names.bounding, nesting: options.nesting, userns: options.userns))
        }
        return try SeccompCache(directory: cache).default(
            capabilities: names.bounding, nesting: options.nesting, userns: options.userns)
    }
    let json = try open(seccomp, .readOnly).readAll(limit: 4 << 20)
    let host = SeccompProfile.Host(capabilities: Set(names.bounding), kernel: KernelRelease.text)
    return try SeccompFilter.compile(file: seccomp, json: json, host: host)
}

func call(_ word: String) -> Int {
    let is32 = word.hasPrefix("i386:")
    let numbers = word.dropFirst(is32 ? 5 : 0).split(separator: ",").map { text in
        text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16)! : UInt64(bitPattern: Int64(text)!)
    }
    let arguments = Array((numbers.dropFirst() + Array(repeating: 0, count: 6)).prefix(6))
    return is32
        ? probe_syscall_i386(Int(bitPattern: UInt(numbers[0])), arguments.map { UInt32(truncatingIfNeeded: $0) })
        : probe_syscall(Int(bitPattern: UInt(numbers[0])), arguments)
}

func execute(_ words: [String]) -> Never {
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    execvp(words[0], &arguments)
    fail("\(words[0]): \(SysError.text(errno))")
}

guard let verb = CommandLine.arguments.dropFirst().first else { fail("no verb") }
let options = Options(Array(CommandLine.arguments.dropFirst(2)))
do {
    switch verb {
    case "calls":
        try bind(options)
        // Each call in turn in this process, so that one which ends it shows by what is missing.
        for word in options.rest {
            let line = "\(word) \(call(word))\n"
            _ = line.withCString { write(1, $0, strlen($0)) }
        }
    case "run":
        try bind(options)
        execute(options.rest)
    case "idpool":
        let pool = IDPool(directory: options.rest[0], settings: try IDPoolSettings(base: 1_000_000, count: 128 << 16))
        for vps in options.rest.dropFirst() { print(try pool.allocate(vps, durable: false).base) }
    default: fail("unknown verb \(verb)")
    }
} catch { fail("\(error)") }
