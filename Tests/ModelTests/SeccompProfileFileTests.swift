import Model
import Testing

@Suite struct SeccompProfileFileTests {
    static let host = SeccompProfile.Host(
        capabilities: ["CAP_SYS_ADMIN"], architecture: .amd64, kernel: "6.1.0-13-cloud-amd64")

    static func parse(_ json: String, host: SeccompProfile.Host = host) throws(CtrError) -> SeccompProfile {
        try SeccompProfile.parse(Array(json.utf8), file: "p.json", host: host)
    }

    /// A profile with one entry of `syscalls`.
    static func rules(_ entry: String) throws(CtrError) -> [SeccompProfile.Rule] {
        try parse(#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [\#(entry)]}"#).stages[0].rules
    }

    static func message(_ json: String) -> String {
        do throws(CtrError) {
            _ = try parse(json)
            return "accepted"
        } catch {
            #expect(error.code == .badInput)
            return error.message
        }
    }

    @Test func ociForm() throws {
        let profile = try Self.parse(
            """
            {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
             "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_MIPS"],
             "flags": ["SECCOMP_FILTER_FLAG_LOG"],
             "syscalls": [
               {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
               {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
               {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22,
                "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}, {"index": 2, "value": 9, "op": "SCMP_CMP_EQ"}]}
             ]}
            """)
        #expect(profile.defaultAction == .errno(38))
        #expect(profile.architectures == [.i386])
        #expect(profile.log)
        #expect(
            profile.stages == [
                .init([
                    .init(["read", "write"], .allow),
                    .init(["clone"], .allow, where: [.init(index: 0, .maskedEqual(mask: 2_114_060_288), 0)]),
                    .init(
                        ["socket"], .errno(22),
                        where: [.init(index: 0, .equal, 16), .init(index: 2, .equal, 9)]),
                ])
            ])
    }

    @Test func dockerFormTakesWhatFitsTheHost() throws {
        let profile = try Self.parse(
            """
            {"defaultAction": "SCMP_ACT_ERRNO",
             "archMap": [
               {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
               {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
             "syscalls": [
               {"name": "a1", "action": "SCMP_ACT_ALLOW", "args": null, "comment": "", "includes": {}, "excludes": {}},
               {"names": ["a2"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
               {"names": ["b1"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}},
               {"names": ["b2"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
               {"names": ["a3"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_BPF"]}},
               {"names": ["a4"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm", "amd64"]}},
               {"names": ["b3"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
               {"names": ["a5"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
               {"names": ["a6"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.1"}},
               {"names": ["b4"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.10"}},
               {"names": ["b5"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.0"}}
             ]}
            """)
        #expect(profile.architectures == [.i386, .x32])
        #expect(profile.stages[0].rules.flatMap(\.names) == ["a1", "a2", "a3", "a4", "a5", "a6"])
    }

    @Test func severalValuesOfOneArgumentAreAlternatives() throws {
        let rules = try Self.rules(
            """
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}
            """)
        #expect(rules.map(\.conditions.count) == [1, 1])
        #expect(rules.map { $0.conditions[0].value } == [0, 8])
    }

    @Test func aRangeOnOneArgumentIsRefusedNotGuessed() {
        let text = Self.message(
            """
            {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 1, "value": 5, "op": "SCMP_CMP_GE"}, {"index": 1, "value": 9, "op": "SCMP_CMP_LE"}]}]}
            """)
        #expect(text.contains("syscalls[0].args: more than one condition"))
    }

    @Test func allBitsOfAValueCount() throws {
        let rules = try Self.rules(
            #"{"names": ["x"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 5, "value": 18446744073709551615, "op": "SCMP_CMP_NE"}]}"#
        )
        #expect(rules[0].conditions == [.init(index: 5, .notEqual, .max)])
    }

    @Test(arguments: [
        ("SCMP_ACT_ALLOW", SeccompProfile.Action.allow), ("SCMP_ACT_LOG", .log), ("SCMP_ACT_TRAP", .trap),
        ("SCMP_ACT_KILL", .killThread), ("SCMP_ACT_KILL_THREAD", .killThread),
        ("SCMP_ACT_KILL_PROCESS", .killProcess), ("SCMP_ACT_ERRNO", .errno(1)), ("SCMP_ACT_TRACE", .trace(1)),
    ])
    func actions(word: String, action: SeccompProfile.Action) throws {
        #expect(try Self.rules(#"{"names": ["x"], "action": "\#(word)"}"#)[0].action == action)
    }

    @Test func podmansErrnoName() throws {
        let rules = try Self.rules(
            #"{"names": ["x"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "ENOSYS"}"#)
        #expect(rules[0].action == .errno(38))
    }

    @Test(arguments: [
        ("{", "seccomp profile 'p.json': "),
        ("[]", "wrong type"),
        ("{}", "'defaultAction' is missing"),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "x": 1}"#, "unknown field 'x'"),
        (#"{"defaultAction": "ALLOW"}"#, "unknown action 'ALLOW'"),
        (#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY is not supported"),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/x"}"#, "listenerPath"),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["X86"]}"#, "unknown architecture 'X86'"),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "flags": ["F"]}"#, "flag 'F'"),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}"#, "defaultErrnoRet"),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}"#, "above 4095"),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"]}]}"#, "'action' is missing at syscalls[0]"),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": [], "action": "SCMP_ACT_ALLOW"}]}"#,
            "syscalls[0]: no names"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read\u0000x"], "action": "SCMP_ACT_ALLOW"}]}"#,
            "no system call's name"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "A", "includes": {"caps": ["CAP_BPF"]}}]}"#,
            "syscalls[0].action: unknown action 'A'"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", "arg": []}]}"#,
            "unknown field 'arg' at syscalls[0]"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
            "syscalls[0].args[0].index: 6 is above 5"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "EQ"}]}]}"#,
            "syscalls[0].args[0].op: unknown comparison 'EQ'"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]}"#,
            "args[0].value"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "new"}}]}"#,
            "minKernel 'new'"
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ERRNO", "errno": "EWHAT"}]}"#,
            "unknown errno 'EWHAT'"
        ),
    ])
    func refusalsNameThePlace(json: String, expected: String) {
        let text = Self.message(json)
        #expect(text.contains(expected), "\(text)")
    }
}
