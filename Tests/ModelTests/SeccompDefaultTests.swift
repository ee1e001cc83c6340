import Testing

@testable import Model

@Suite struct SeccompDefaultTests {
    /// Fails when the profile changes and its version does not: caches would keep the old one.
    @Test func theVersionFollowsTheContent() {
        var sum: UInt64 = 0xcbf2_9ce4_8422_2325
        for userns in [SeccompProfile.UserNamespace.own, .host] {
            for nesting in [false, true] {
                for capabilities in [[], ["CAP_SYS_ADMIN"], SeccompProfile.capabilitiesThatMatter] {
                    let profile = SeccompProfile.default(
                        capabilities: capabilities, nesting: nesting, userns: userns, architecture: .amd64)
                    for byte in "\(profile)".utf8 { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01b3 }
                }
            }
        }
        let recorded: [Int: UInt64] = [1: 1_092_161_207_215_689_793]
        #expect(
            recorded[SeccompProfile.defaultVersion] == sum,
            "the default profile changed: raise SeccompProfile.defaultVersion and record \(sum) for it here")
    }

    @Test func noCallIsInTwoLists() {
        let lists: [[String]] =
            [
                DefaultPolicy.processes, DefaultPolicy.memory, DefaultPolicy.files, DefaultPolicy.events,
                DefaultPolicy.network, DefaultPolicy.ids, DefaultPolicy.time, DefaultPolicy.oldCalls,
                DefaultPolicy.mounts, DefaultPolicy.mountContexts, DefaultPolicy.keyrings, DefaultPolicy.hostOnly,
            ] + DefaultPolicy.gated.map(\.names)
        var seen: Set<String> = []
        for name in lists.joined() { #expect(seen.insert(name).inserted, "\(name) is named twice") }
    }
}
