import Model
import Namespaces
import Testing

@Suite struct CapabilityTests {
    @Test(arguments: ["CAP_SYS_ADMIN", "SYS_ADMIN", "sys_admin", "cap_sys_admin", "Cap_Sys_Admin"])
    func namesWithAndWithoutPrefix(name: String) throws {
        #expect(try CapabilityName.number(of: name, source: "--cap-add") == 21)
    }

    @Test(arguments: [
        "", "CAP_", "21", "cap_21", "SYS_ADMINX", "CAP_CAP_CHOWN", "all ", "=ep", "cap_chown+ep", "a\u{0}",
    ])
    func unknownNamesAreRefused(name: String) {
        do throws(CtrError) {
            _ = try CapabilityName.number(of: name, source: "--cap-add")
            Issue.record("accepted \(name.escaped)")
        } catch {
            #expect(error.code == .usage)
            #expect(error.message.hasPrefix("--cap-add '\(name.escaped)': unknown capability"))
        }
    }

    @Test func everyNumberHasItsName() throws {
        #expect(CapabilityName.name(of: 0) == "CAP_CHOWN")
        #expect(CapabilityName.name(of: 40) == "CAP_CHECKPOINT_RESTORE")
        for number in 0...40 {
            #expect(try CapabilityName.number(of: CapabilityName.name(of: number), source: "") == number)
        }
    }

    @Test(arguments: [CapabilitySet.system, .hostUser])
    func theDefaultsAreKnownAndNothingIsInheritable(set: CapabilitySet) throws {
        for name in set.bounding {
            #expect(CapabilityName.name(of: try CapabilityName.number(of: name, source: "")) == name)
        }
        #expect(set.effective == set.bounding && set.permitted == set.bounding)
        #expect(set.inheritable.isEmpty && set.ambient.isEmpty)
        #expect(Set(set.bounding).count == set.bounding.count)
    }

    @Test func theDefaultsLackWhatTheHostMustKeep() {
        let never = [
            "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_SYSLOG",
            "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_AUDIT_CONTROL", "CAP_PERFMON", "CAP_BPF",
            "CAP_CHECKPOINT_RESTORE", "CAP_SYS_PACCT",
        ]
        #expect(Set(never).isDisjoint(with: CapabilitySet.system.bounding))
        #expect(Set(CapabilitySet.hostUser.bounding).isStrictSubset(of: CapabilitySet.system.bounding))
        for name in ["CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_RAW"] {
            #expect(!CapabilitySet.hostUser.bounding.contains(name))
        }
    }

    // MARK: --cap-add and --cap-drop

    @Test func addsAndDrops() throws {
        let set = try CapabilitySet.hostUser.changed(adding: ["net_raw", "CAP_NET_RAW"], dropping: ["chown"])
        #expect(set.bounding.contains("CAP_NET_RAW") && set.effective.contains("CAP_NET_RAW"))
        #expect(set.bounding.filter { $0 == "CAP_NET_RAW" }.count == 1)
        #expect(!set.bounding.contains("CAP_CHOWN") && !set.permitted.contains("CAP_CHOWN"))
        #expect(set.inheritable.isEmpty && set.ambient.isEmpty)
    }

    @Test func all() throws {
        let none = try CapabilitySet.system.changed(adding: [], dropping: ["all"])
        #expect(none == CapabilitySet())
        let one = try CapabilitySet.system.changed(adding: ["KILL"], dropping: ["ALL"])
        #expect(one == CapabilitySet(["CAP_KILL"]))
        let most = try CapabilitySet.system.changed(adding: ["all"], dropping: ["sys_module"])
        #expect(most.bounding.count >= 40 && !most.bounding.contains("CAP_SYS_MODULE"))
    }

    @Test func contradictionsAreRefused() {
        #expect(throws: CtrError.self) { try CapabilitySet.system.changed(adding: ["all"], dropping: ["all"]) }
        #expect(throws: CtrError.self) { try CapabilitySet.system.changed(adding: ["KILL"], dropping: ["CAP_KILL"]) }
        #expect(throws: CtrError.self) { try CapabilitySet.system.changed(adding: ["KILLL"], dropping: []) }
        #expect(throws: CtrError.self) { try CapabilitySet.system.changed(adding: [], dropping: ["KILLL"]) }
    }

    @Test func droppingTakesItOutOfAmbientToo() throws {
        var set = CapabilitySet(["CAP_KILL", "CAP_CHOWN"])
        set.inheritable = ["CAP_KILL"]
        set.ambient = ["CAP_KILL"]
        #expect(try set.changed(adding: [], dropping: ["KILL"]) == CapabilitySet(["CAP_CHOWN"]))
    }

    // MARK: plans

    @Test func setsThatTheKernelWouldRefuseAreRefusedBefore() {
        for set in [
            CapabilitySet(effective: ["CAP_KILL"]),
            CapabilitySet(bounding: ["CAP_KILL"], permitted: ["CAP_KILL"], ambient: ["CAP_KILL"]),
            CapabilitySet(inheritable: ["CAP_KILL"]), CapabilitySet(["CAP_NO_SUCH"]),
        ] {
            #expect { _ = try CapabilityPlan(set, userns: .own) } throws: { ($0 as? CtrError)?.code == .config }
        }
    }

    @Test func plansOfTheDefaults() throws {
        #expect(try CapabilityPlan(.system, userns: .own).missing == [])
        _ = try CapabilityPlan(.hostUser, userns: .host)
    }
}
