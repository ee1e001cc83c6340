import Model
import Runtime
import Testing

@Suite struct CopyEndTests {
    @Test(arguments: [
        ("-", CopyEnd.archive), ("web:/etc", .guest(name: "web", path: "/etc")),
        ("web:", .guest(name: "web", path: "")),
        ("web:a:b", .guest(name: "web", path: "a:b")), ("/a:b", .host("/a:b")), ("/", .host("/")),
        ("/a/.", .host("/a/.")),
    ])
    func words(_ word: String, _ end: CopyEnd) throws {
        #expect(try CopyEnd(word) == end)
    }

    /// Names relative to the working directory keep their end, which has a meaning.
    @Test(arguments: [(".", "/./."), ("./a:b", "/./a:b"), ("a/.", "/a/."), ("a/", "/a/"), ("..", "/..")])
    func relative(_ word: String, _ end: String) throws {
        guard case .host(let path) = try CopyEnd(word) else {
            Issue.record("\(word) is no file of the host")
            return
        }
        #expect(path.hasPrefix("/") && path.hasSuffix(end), "\(path)")
    }

    @Test(arguments: ["", "UPPER:/x", ":/x", "a b:/x", "-x:/y"]) func refused(_ word: String) {
        #expect { try CopyEnd(word) } throws: { ($0 as? CtrError)?.code == .usage }
    }
}
