import Kernel
import Model
import Testing

@testable import Cgroups

/// Runs a device program the way the kernel does; nil where it would leave the program or use what we don't emit.
private func run(
    _ code: [BPFInstruction], isBlock: Bool, _ rights: DeviceAccess.Rights, _ major: UInt32, _ minor: UInt32
)
    -> UInt32?
{
    let context = [UInt32(rights.rawValue) << 16 | (isBlock ? 1 : 2), major, minor]
    var r = [UInt32](repeating: 0, count: 11)
    var pc = 0
    var steps = 0
    while code.indices.contains(pc), steps < 10_000 {
        let i = code[pc]
        pc += 1
        steps += 1
        let (d, s) = (Int(i.destination), Int(i.source))
        let k = UInt32(bitPattern: i.immediate)
        switch i.opcode {
        case 0x61:
            guard s == 1, i.offset % 4 == 0, context.indices.contains(Int(i.offset) / 4) else { return nil }
            r[d] = context[Int(i.offset) / 4]
        case 0xbc: r[d] = r[s]
        case 0xb4: r[d] = k
        case 0x54: r[d] &= k
        case 0x74: r[d] >>= k
        case 0x56: if r[d] != k { pc += Int(i.offset) }
        case 0x5e: if r[d] != r[s] { pc += Int(i.offset) }
        case 0x95: return r[0]
        default: return nil
        }
    }
    return nil
}

@Suite struct DeviceProgramTests {
    @Test func bytesAreThoseOfTheInstructionSet() throws {
        let access = try DeviceAccess([DeviceRule(.character, 1, 3, "rw")])
        #expect(
            access.program.map(\.encoded) == [
                0x0000_0000_0000_1261,  // r2 = *(u32 *)(r1 + 0)
                0x0000_0000_0000_23bc,  // w3 = w2
                0x0000_0010_0000_0374,  // w3 >>= 16
                0x0000_ffff_0000_0254,  // w2 &= 0xffff
                0x0000_0000_0004_1461,  // r4 = *(u32 *)(r1 + 4)
                0x0000_0000_0008_1561,  // r5 = *(u32 *)(r1 + 8)
                0x0000_0002_0007_0256,  // if w2 != 2 goto +7
                0x0000_0000_0000_30bc,  // w0 = w3
                0x0000_0006_0000_0054,  // w0 &= 6
                0x0000_0000_0004_305e,  // if w0 != w3 goto +4
                0x0000_0001_0003_0456,  // if w4 != 1 goto +3
                0x0000_0003_0002_0556,  // if w5 != 3 goto +2
                0x0000_0001_0000_00b4,  // w0 = 1
                0x0000_0000_0000_0095,  // exit
                0x0000_0000_0000_00b4,  // w0 = 0
                0x0000_0000_0000_0095,  // exit
            ])
    }

    @Test func decidesAsTheRulesSay() throws {
        let code = try DeviceAccess(DeviceRule.standard).program
        #expect(run(code, isBlock: false, [.read, .write], 1, 3) == 1)
        #expect(run(code, isBlock: false, .all, 1, 3) == 1)
        #expect(run(code, isBlock: false, [.read], 136, 4711) == 1)
        #expect(run(code, isBlock: false, [.mknod], 10, 200) == 1)
        #expect(run(code, isBlock: true, [.mknod], 8, 0) == 1)
        #expect(run(code, isBlock: true, [.read], 8, 0) == 0)
        #expect(run(code, isBlock: false, [.read], 1, 1) == 0)
        #expect(run(code, isBlock: true, [.read], 1, 3) == 0, "block 1:3 is not character 1:3")
        #expect(run(code, isBlock: false, [.mknod, .read], 10, 200) == 0, "partly allowed is not allowed")
    }

    @Test func everyCombinationAgreesWithThePlainMeaning() throws {
        let rules = [
            DeviceRule(.all, nil, nil, "m"), DeviceRule(.character, 1, nil, "r"), DeviceRule(.block, nil, 3, "rw"),
            DeviceRule(.all, 7, 7, "rwm"), DeviceRule(.character, 4_294_967_295, 2_147_483_648, "w"),
        ]
        let code = try DeviceAccess(rules).program
        for isBlock in [false, true] {
            for bits in UInt8(1)...7 {
                for major in [UInt32(0), 1, 7, 4_294_967_295] {
                    for minor in [UInt32(0), 3, 7, 2_147_483_648] {
                        let asked = DeviceAccess.Rights(rawValue: bits)
                        let allowed = rules.contains { rule in
                            (rule.kind == .all || (rule.kind == .block) == isBlock) && (rule.major ?? major) == major
                                && (rule.minor ?? minor) == minor
                                && asked.letters.allSatisfy { rule.access.contains($0) }
                        }
                        #expect(run(code, isBlock: isBlock, asked, major, minor) == (allowed ? 1 : 0))
                    }
                }
            }
        }
    }

    @Test func noRulesDenyAll() throws {
        let code = try DeviceAccess([]).program
        #expect(run(code, isBlock: false, [.read], 1, 3) == 0)
    }

    @Test func rulesForOneDeviceAreOneEntry() throws {
        let access = try DeviceAccess([DeviceRule(.character, 1, 3, "r"), DeviceRule(.character, 1, 3, "wm")])
        #expect(access.sorted.map { "\($0.key.text) \($0.rights.letters)" } == ["c 1:3 rwm"])
        let all = try DeviceAccess([DeviceRule(.all, nil, nil, "rwm")])
        #expect(all.sorted.map { "\($0.key.text) \($0.rights.letters)" } == ["c *:* rwm", "b *:* rwm"])
    }

    @Test(arguments: ["", "x", "rwx", "r w"])
    func badAccess(access: String) {
        #expect(thrown { try DeviceAccess([DeviceRule(.character, 1, 3, access)]) }?.code == .usage)
    }

    @Test func readsTheKernelsList() throws {
        #expect(DeviceAccess(list: "a *:* rwm\n") == nil)
        let rules = [DeviceRule(.character, 1, 3, "rw"), DeviceRule(.block, nil, nil, "m")]
        #expect(try DeviceAccess(list: "c 1:3 rw\nb *:* m\n") == DeviceAccess(rules))
        #expect(try DeviceAccess(list: "") == DeviceAccess([]))
    }
}

@Suite struct DeviceKernelTests {
    private func checkRules(_ f: Fixture) throws {
        let rules = [DeviceRule(.character, 1, 3, "rwm")]
        let cgroup = try f.create(devices: rules)
        let first = try f.run(cgroup, "cat /dev/null && echo null; head -c1 /dev/zero && echo zero")
        #expect(first.output.contains("null\n"))
        #expect(!first.output.contains("zero\n"))
        #expect(first.output.contains("/dev/zero"), "the refusal names it: \(first.output)")
        try cgroup.apply(devices: [DeviceRule(.character, 1, 5, "r")])
        let second = try f.run(cgroup, "cat /dev/null && echo null; head -c1 /dev/zero >&2 && echo zero")
        #expect(!second.output.contains("null\n"))
        #expect(second.output.contains("zero\n"))
        try cgroup.apply(devices: DeviceRule.standard)
        let third = try f.run(cgroup, "cat /dev/null && head -c1 /dev/zero >/dev/null && echo both")
        #expect(third.output.contains("both"))
    }

    @Test(.requires(.v1(.devices))) func listsOfV1() throws {
        try Fixture.with { try checkRules($0) }
    }

    @Test(.requires(.v2)) func programOfV2() throws {
        let real = try CgroupHost.detect()
        // Where v1 has the controller too, v2's program is tried all the same.
        let host = CgroupHost(v2: real.v2, v2Controllers: real.v2Controllers, v1: real.v1.filter { $0.key != .devices })
        #expect(host.place(of: .devices) == .v2)
        try Fixture.with(host: host) { try checkRules($0) }
    }

    @Test(.requires(.v1(.devices))) func v1ListIsExactlyWhatWasAsked() throws {
        try Fixture.with { f in
            let cgroup = try f.create(devices: DeviceRule.standard)
            let path = try #require(cgroup.directory(of: .devices))
            let list = try #require(try path.readText("devices.list"))
            #expect(try DeviceAccess(list: list) == DeviceAccess(DeviceRule.standard))
        }
    }

    @Test(.requires(.v2)) func oneProgramHoweverOftenItChanges() throws {
        let real = try CgroupHost.detect()
        try Fixture.with(host: CgroupHost(v2: real.v2, v2Controllers: [], v1: [:])) { f in
            let cgroup = try f.create(devices: DeviceRule.standard)
            for _ in 0..<3 { try cgroup.apply(devices: DeviceRule.standard) }
            let directory = try #require(cgroup.unified)
            #expect(try directory.open("", [.readOnly, .directory]).devicePrograms().count == 1)
        }
    }

    @Test(.requires(.controller(.devices))) func withoutRulesThereIsNothingToChange() throws {
        try Fixture.with { f in
            let cgroup = try f.create()
            if cgroup.unified != nil, cgroup.directory(of: .devices) == nil {
                #expect(thrown { try cgroup.apply(devices: []) }?.code == .unavailable)
            }
        }
    }
}
