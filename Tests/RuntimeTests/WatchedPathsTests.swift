import Testing

@testable import Runtime

/// The names that criu is told of watched files.
@Suite struct WatchedPathsTests {
    @Test func fewStayAsTheyAre() {
        let paths = ["/etc/a", "/etc/b", "/"]
        #expect(WatchedPaths.condensed(paths, room: 1000) == paths)
    }

    @Test func manyBecomeTheirDirectories() {
        let paths = (1...100).map { "/srv/\($0 % 10)/file\($0)" } + ["/etc/x"]
        let some = WatchedPaths.condensed(paths, room: 600)
        #expect(some.count == 11 && some.contains("/srv/3") && some.contains("/etc"))
        // Never the root itself, with all that is mounted there.
        #expect(WatchedPaths.condensed(paths, room: 0) == ["/srv", "/etc"])
    }
}
