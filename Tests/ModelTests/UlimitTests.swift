import Model
import Testing

@Suite struct UlimitTests {
    @Test func parsesSoftAndHard() throws {
        let limit = try Ulimit.parse("nofile=1024:4096")
        #expect(limit == Ulimit(name: "nofile", resource: 7, soft: 1024, hard: 4096))
    }

    @Test func oneValueIsBoth() throws {
        #expect(try Ulimit.parse("CORE=0") == Ulimit(name: "core", resource: 4, soft: 0, hard: 0))
    }

    @Test(arguments: ["unlimited", "-1"])
    func unlimited(word: String) throws {
        #expect(try Ulimit.parse("memlock=\(word)").soft == UInt64.max)
        #expect(
            try Ulimit.parse("stack=8388608:\(word)") == Ulimit(name: "stack", resource: 3, soft: 8_388_608, hard: .max)
        )
    }

    @Test(arguments: [
        "", "nofile", "nofile=", "nofile=:", "nofile=1:", "nofile=:1", "nofile=1:2:3", "nofile=2:1",
        "nofile=unlimited:5", "nofile=-2", "nofile=+1", "nofile=1k", "nofile= 1", "files=1",
        "nofile=99999999999999999999", "=1",
    ])
    func refuses(text: String) {
        do throws(CtrError) {
            _ = try Ulimit.parse(text)
            Issue.record("accepted \(text)")
        } catch { #expect(error.code == .usage) }
    }
}
