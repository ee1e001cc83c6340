internal import Kernel
internal import Model

/// A list of device rules in the form in which both kernel interfaces want it: each pair of kind and numbers once, with
/// all that is allowed for it.
struct DeviceAccess: Equatable {
    /// Which devices a rule is about. nil is every number.
    struct Key: Hashable, Comparable {
        var isBlock: Bool
        var major: UInt32?
        var minor: UInt32?

        static func < (a: Key, b: Key) -> Bool {
            if a.isBlock != b.isBlock { return b.isBlock }
            if a.major != b.major { return (a.major ?? .max) < (b.major ?? .max) }
            return (a.minor ?? .max) < (b.minor ?? .max)
        }
        /// As devices.allow takes it: `c 1:3`, `b *:*`.
        var text: String {
            "\(isBlock ? "b" : "c") \(major.map { "\($0)" } ?? "*"):\(minor.map { "\($0)" } ?? "*")"
        }
    }

    /// What may be done: the bits BPF_DEVCG_ACC_* of linux/bpf.h.
    struct Rights: OptionSet, Hashable {
        let rawValue: UInt8
        static let mknod = Rights(rawValue: 1)
        static let read = Rights(rawValue: 2)
        static let write = Rights(rawValue: 4)
        static let all: Rights = [.mknod, .read, .write]

        var letters: String {
            (contains(.read) ? "r" : "") + (contains(.write) ? "w" : "") + (contains(.mknod) ? "m" : "")
        }
    }

    private(set) var entries: [Key: Rights] = [:]

    /// Throws `usage` for access letters other than `rwm`.
    init(_ rules: [DeviceRule]) throws(CtrError) {
        for rule in rules {
            var rights: Rights = []
            for letter in rule.access {
                switch letter {
                case "r": rights.insert(.read)
                case "w": rights.insert(.write)
                case "m": rights.insert(.mknod)
                default: throw DeviceAccess.bad(rule)
                }
            }
            if rights.isEmpty { throw DeviceAccess.bad(rule) }
            for isBlock in [false, true] where rule.kind != (isBlock ? .character : .block) {
                entries[Key(isBlock: isBlock, major: rule.major, minor: rule.minor), default: []].formUnion(rights)
            }
        }
    }

    private static func bad(_ rule: DeviceRule) -> CtrError {
        CtrError(.usage, "device rule access '\(rule.access.escaped)': not one or more of r, w, m")
    }

    /// What the v1 file devices.list says; nil where everything is allowed (`a *:* rwm`).
    init?(list: String) {
        for line in list.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3, words[0] == "c" || words[0] == "b" else { return nil }
            let numbers = words[1].split(separator: ":")
            guard numbers.count == 2 else { return nil }
            let key = Key(isBlock: words[0] == "b", major: UInt32(numbers[0]), minor: UInt32(numbers[1]))
            var rights: Rights = []
            if words[2].contains("r") { rights.insert(.read) }
            if words[2].contains("w") { rights.insert(.write) }
            if words[2].contains("m") { rights.insert(.mknod) }
            entries[key, default: []].formUnion(rights)
        }
    }

    /// In a fixed order.
    var sorted: [(key: Key, rights: Rights)] { entries.sorted { $0.key < $1.key }.map { ($0.key, $0.value) } }

    /// The program for the unified hierarchy: allows what an entry covers entirely, denies all else.
    ///
    /// Registers: 1 the context (struct bpf_cgroup_dev_ctx), 2 the kind, 3 what is asked for, 4 major, 5 minor, 0 result.
    var program: [BPFInstruction] {
        var code: [BPFInstruction] = [
            .init(BPF.loadWord, 2, 1, offset: 0),
            .init(BPF.move, 3, 2),
            .init(BPF.shiftRight, 3, immediate: 16),
            .init(BPF.and, 2, immediate: 0xffff),
            .init(BPF.loadWord, 4, 1, offset: 4),
            .init(BPF.loadWord, 5, 1, offset: 8),
        ]
        for (key, rights) in sorted { code += DeviceAccess.test(key, rights) }
        return code + [.init(BPF.moveConstant, 0, immediate: 0), .init(BPF.exit)]
    }

    /// Ends the program with 1 if this entry covers the request, else goes on behind these instructions.
    private static func test(_ key: Key, _ rights: Rights) -> [BPFInstruction] {
        var code = [BPFInstruction(BPF.jumpUnlessConstant, 2, immediate: key.isBlock ? 1 : 2)]
        if rights != .all {
            code += [
                .init(BPF.move, 0, 3), .init(BPF.and, 0, immediate: Int32(rights.rawValue)),
                .init(BPF.jumpUnlessRegister, 0, 3),
            ]
        }
        for (register, number) in [(UInt8(4), key.major), (5, key.minor)] {
            guard let number else { continue }
            code.append(.init(BPF.jumpUnlessConstant, register, immediate: Int32(bitPattern: number)))
        }
        code += [.init(BPF.moveConstant, 0, immediate: 1), .init(BPF.exit)]
        for index in code.indices where BPF.jumps.contains(code[index].opcode) {
            code[index].offset = Int16(code.count - index - 1)
        }
        return code
    }
}

/// The opcodes that the device program needs, all of the 32-bit kind. See the kernel's instruction-set document.
enum BPF {
    static let loadWord: UInt8 = 0x61
    static let move: UInt8 = 0xbc
    static let moveConstant: UInt8 = 0xb4
    static let and: UInt8 = 0x54
    static let shiftRight: UInt8 = 0x74
    static let jumpUnlessConstant: UInt8 = 0x56
    static let jumpUnlessRegister: UInt8 = 0x5e
    static let exit: UInt8 = 0x95
    static let jumps: Set<UInt8> = [jumpUnlessConstant, jumpUnlessRegister]
}

extension Cgroup {
    /// Allows what is listed and denies all else, from now on. What a process has open stays open.
    /// - Parameter isNew: nothing was denied yet and no process is there.
    func limitDevices(_ access: DeviceAccess, isNew: Bool) throws(CtrError) {
        guard let directory = directory(of: .devices) else {
            throw CtrError(.unavailable, "device rules: this cgroup was made without any")
        }
        if directory.isUnified {
            try directory.attachProgram(access, isNew: isNew)
        } else {
            try directory.writeDeviceLists(access, isNew: isNew)
        }
    }
}

extension CgroupDirectory {
    fileprivate func writeDeviceLists(_ access: DeviceAccess, isNew: Bool) throws(CtrError) {
        do throws(SysError) {
            // First what is new, then away with what is old: at no moment is a running guest without its devices.
            let before = isNew ? nil : DeviceAccess(list: try readText("devices.list") ?? "")
            if before == nil { try write("devices.deny", "a") }
            let old = before?.entries ?? [:]
            let allow = try open("devices.allow", .writeOnly)
            for (key, rights) in access.sorted where old[key] != rights {
                try allow.writeAll(Array("\(key.text) \(rights.letters)".utf8))
            }
            for (key, rights) in old {
                let surplus = rights.subtracting(access.entries[key] ?? [])
                if !surplus.isEmpty { try write("devices.deny", "\(key.text) \(surplus.letters)") }
            }
        } catch { throw CtrError(cgroup: "\(path): device rules", cause: error) }
    }

    fileprivate func attachProgram(_ access: DeviceAccess, isNew: Bool) throws(CtrError) {
        do throws(SysError) {
            let directory = try open("", [.readOnly, .directory])
            let program = try DeviceProgram(access.program)
            let old = isNew ? [] : try directory.devicePrograms()
            if old.count == 1 {
                return try directory.attach(program, replacing: DeviceProgram(id: old[0]))
            }
            try directory.attach(program)
            for id in old { try directory.detach(DeviceProgram(id: id)) }
        } catch {
            let lacks = [Errno.invalid, Errno.perm, Errno.notImplemented, Errno.access].contains(error.errno)
            throw CtrError(
                lacks ? .unavailable : .io,
                "cgroup \(path): device rules: \(error)"
                    + (lacks ? " (cgroup v2 needs a kernel with CONFIG_CGROUP_BPF, CAP_BPF and CAP_NET_ADMIN)" : ""),
                errno: error.errno)
        }
    }
}
