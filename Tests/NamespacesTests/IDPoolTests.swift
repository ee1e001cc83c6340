import Foundation
import Model
import Testing

@testable import Namespaces

@Suite struct IDPoolTests {
    /// A registry and directories of VPSs, gone afterwards.
    struct Place {
        let root: String
        var registry: String { root + "/ids" }

        func vps(_ name: String) throws -> String {
            let path = "\(root)/vps/\(name)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            return path
        }
        func pool(_ count: UInt64 = 64, base: UInt64 = 1_000_000) throws -> IDPool {
            IDPool(directory: registry, settings: try IDPoolSettings(base: base, count: count << 16))
        }
        func names() throws -> Set<String> { Set(try FileManager.default.contentsOfDirectory(atPath: registry)) }
    }

    static func withPlace(_ body: (Place) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.path + "/ctr-ids-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: root) }
        try body(Place(root: root))
    }

    // MARK: settings

    static func settings(_ subuid: String?, _ subgid: String?) throws(CtrError) -> IDPoolSettings {
        try IDPoolSettings(subuid: subuid.map { Array($0.utf8) }, subgid: subgid.map { Array($0.utf8) })
    }

    @Test func withoutFilesTheStandardPool() throws {
        let pool = try Self.settings(nil, nil)
        #expect(pool.intervals == [.init(first: 1_000_000, count: 28_000 << 16)])
        #expect(pool.excluded == [])
        #expect(pool.intervals[0].first + pool.intervals[0].count <= 1_879_048_191)
    }

    @Test func rootsRangeIsTaken() throws {
        for owner in ["root", "0"] {
            let line = "\(owner):2000000:1000000\n"
            let pool = try Self.settings(line + "user:100000:65536\n", line)
            #expect(pool.intervals == [.init(first: 2_000_000, count: 1_000_000)])
            #expect(pool.excluded == [.init(first: 100_000, count: 65536)])
        }
    }

    @Test func whatBothFilesGive() throws {
        let pool = try Self.settings("root:100000:200000\n", "root:200000:200000\n")
        #expect(pool.intervals == [.init(first: 200_000, count: 100_000)])
        #expect(throws: CtrError.self) { try Self.settings("root:100000:65536\n", "root:200000:65536\n") }
        #expect(throws: CtrError.self) { try Self.settings("root:100000:65536\n", nil) }
        #expect(throws: CtrError.self) { try Self.settings(nil, "root:100000:65536\n") }
    }

    @Test func tooSmallARangeIsLeftAlone() throws {
        let pool = try Self.settings("root:1000000:65535\n", "root:1000000:65535\n")
        #expect(pool.intervals == [IDPoolSettings.standard])
        #expect(pool.excluded.contains(.init(first: 1_000_000, count: 65535)))
    }

    @Test func linesThatAreNoneAreSkipped() throws {
        let bad = "root\nroot:1\nroot:a:65536\nroot:1:2:3\n:5:65536\nroot:-1:65536\nroot:4294967295:65536\nroot:1:0\n"
        #expect(try Self.settings(bad, bad).intervals == [IDPoolSettings.standard])
    }

    @Test(
        arguments: [(0, 65536), (1, 65536), (65536, 65535), (4_294_967_295, 65536), (4_294_910_000, 65536)]
            as [(UInt64, UInt64)])
    func poolsThatCantBe(base: UInt64, count: UInt64) {
        #expect { _ = try IDPoolSettings(base: base, count: count) } throws: { ($0 as? CtrError)?.code == .config }
    }

    @Test func slotsKeepOffOthersIDs() throws {
        let settings = try IDPoolSettings(
            base: 1_000_000, count: 4 << 16, subuid: Array("u:1065536:1\n".utf8),
            subgid: Array("u:1262143:10\nroot:1000000:65536\n".utf8))
        let slots = IDSlots(settings, offset: 1_000_000 % 65536)
        #expect(slots.count == 4)
        #expect((0..<4).map { slots.base($0) } == [1_000_000, nil, 1_131_072, nil])
    }

    @Test func slotsOfSeveralIntervalsAndAnotherGrid() throws {
        let settings = try Self.settings("root:100000:140000\nroot:500000:65536\n", "root:1:1000000\n")
        let own = IDSlots(settings, offset: 100_000 % 65536)
        #expect((0..<own.count).map { own.base($0) } == [100_000, 165_536])
        let aligned = IDSlots(settings, offset: 0)
        #expect((0..<aligned.count).map { aligned.base($0) } == [131_072])
    }

    // MARK: allocating

    @Test func aVPSKeepsItsRange() throws {
        try Self.withPlace { place in
            let (a, b) = (try place.vps("a"), try place.vps("b"))
            let pool = try place.pool()
            let first = try pool.allocate(a)
            #expect(first.count == 65536)
            #expect((first.base - 1_000_000) % 65536 == 0)
            #expect(try pool.allocate(a) == first)
            #expect(try pool.allocate(b) != first)
            #expect(try pool.lookup(a) == first)
            #expect(try pool.lookup(place.vps("c")) == nil)
            // What the registry is: a link by the range's name to the directory.
            #expect(
                try FileManager.default.destinationOfSymbolicLink(atPath: "\(place.registry)/\(first.base)") == a)
            let attributes = try FileManager.default.attributesOfItem(atPath: place.registry)
            #expect((attributes[.posixPermissions] as? Int) == 0o700)
        }
    }

    @Test func rangesAreDisjointUntilThePoolIsFull() throws {
        try Self.withPlace { place in
            let pool = try place.pool(16)
            var bases: Set<UInt32> = []
            for index in 0..<16 { bases.insert(try pool.allocate(place.vps("v\(index)"), durable: false).base) }
            #expect(bases == Set((0..<16).map { 1_000_000 + $0 * 65536 }))
            let extra = try place.vps("extra")
            #expect { _ = try pool.allocate(extra) } throws: {
                ($0 as? CtrError)?.code == .unavailable && "\($0)".contains("all ranges of the pool are in use")
            }
            // A VPS that is gone makes room without being asked.
            try FileManager.default.removeItem(atPath: place.vps("v3"))
            #expect(bases.contains(try pool.allocate(extra).base))
        }
    }

    /// A range found beyond its hashed slot stays when the slots before it become free.
    @Test func aCollisionIsRemembered() throws {
        try Self.withPlace { place in
            let pool = try place.pool(2)
            let names = try (0..<8).map { try place.vps("v\($0)") }
            let slot = { (path: String) in IDRegistry.hash(path) % 2 }
            let first = names[0]
            let second = try #require(names.dropFirst().first { slot($0) == slot(first) })
            let one = try pool.allocate(first)
            let two = try pool.allocate(second)
            #expect(one != two)
            try pool.release(one, first)
            #expect(try pool.allocate(second) == two)
            #expect(try pool.lookup(second) == two)
            // Also without its note, as after a crash between the two links, while the slot before is taken.
            _ = try pool.allocate(first)
            for name in try place.names() where name.hasPrefix("at-") {
                try FileManager.default.removeItem(atPath: "\(place.registry)/\(name)")
            }
            #expect(try pool.lookup(second) == two)
            #expect(try pool.allocate(second) == two)
            try pool.release(two, second)
            try pool.release(one, first)
            #expect(try place.names() == ["grid"])
        }
    }

    @Test func onlyTheOwnerReleases() throws {
        try Self.withPlace { place in
            let (a, b) = (try place.vps("a"), try place.vps("b"))
            let pool = try place.pool()
            let range = try pool.allocate(a)
            try pool.release(range, b)
            #expect(try pool.lookup(a) == range)
            try pool.release(range, a)
            #expect(try pool.lookup(a) == nil)
            try pool.release(range, a)
        }
    }

    @Test func aRenamedVPSTakesItsRangeAlong() throws {
        try Self.withPlace { place in
            let (a, b) = (try place.vps("a"), try place.vps("b"))
            let pool = try place.pool()
            let range = try pool.allocate(a)
            try pool.rename(a, to: b)
            #expect(try pool.lookup(b) == range)
            #expect(try pool.lookup(a) == nil)
            #expect(try pool.allocate(b) == range)
            #expect(try pool.allocate(a) != range)
            try pool.rename("\(place.root)/vps/none", to: a)
        }
    }

    @Test func reclaimSparesWhatMayComeBack() throws {
        try Self.withPlace { place in
            let pool = try place.pool()
            let (kept, gone) = (try place.vps("kept"), try place.vps("gone"))
            let elsewhere = place.root + "/disk/vps/far"
            try FileManager.default.createDirectory(atPath: elsewhere, withIntermediateDirectories: true)
            for vps in [kept, gone, elsewhere] { _ = try pool.allocate(vps) }
            try FileManager.default.removeItem(atPath: gone)
            // The whole disk is away, as when it is not mounted.
            try FileManager.default.removeItem(atPath: place.root + "/disk/vps")
            #expect(try pool.reclaim() == [gone])
            #expect(try pool.lookup(kept) != nil)
            #expect(try pool.lookup(gone) == nil)
            #expect(try pool.lookup(elsewhere) != nil)
            #expect(try pool.reclaim() == [])
        }
    }

    /// Of a rename that was killed half way.
    @Test func reclaimRemovesHalfARename() throws {
        try Self.withPlace { place in
            let pool = try place.pool()
            let kept = try place.vps("kept")
            let range = try pool.allocate(kept)
            try pool.rename(kept, to: place.root + "/vps/other")
            try FileManager.default.moveItem(atPath: kept, toPath: place.root + "/vps/other")
            for name in ["new", "at-1234"] {
                try FileManager.default.createSymbolicLink(
                    atPath: "\(place.registry)/\(name)", withDestinationPath: "/nowhere")
            }
            #expect(try pool.reclaim() == [])
            let left = try FileManager.default.contentsOfDirectory(atPath: place.registry)
            #expect(!left.contains("new") && !left.contains("at-1234"), "\(left)")
            #expect(left.contains { $0.hasPrefix("at-") }, "\(left)")
            #expect(try pool.lookup(place.root + "/vps/other") == range)
        }
    }

    @Test func anotherPoolStaysOnTheGrid() throws {
        try Self.withPlace { place in
            let (a, b, c) = (try place.vps("a"), try place.vps("b"), try place.vps("c"))
            _ = try place.pool().allocate(a)
            let moved = try place.pool(8, base: 1_000_001).allocate(b)
            #expect(moved.base % 65536 == 1_000_000 % 65536)
            // Too narrow to hold a range of the grid: refused while one is in use, and the grid moves afterwards.
            let narrow = try place.pool(1, base: 500_000)
            #expect { _ = try narrow.allocate(c) } throws: { ($0 as? CtrError)?.code == .config }
            for vps in [a, b] {
                let pool = try place.pool()
                try pool.release(try #require(try pool.lookup(vps)), vps)
            }
            #expect(try narrow.allocate(c).base == 500_000)
        }
    }

    @Test(arguments: ["", "/", "relative", "/trailing/", "/nul\u{0}"])
    func pathsThatAreNone(path: String) throws {
        try Self.withPlace { place in
            let pool = try place.pool()
            #expect(throws: CtrError.self) { try pool.allocate(path) }
        }
    }

    @Test func aForeignGridAndForeignFilesAreNotTrusted() throws {
        try Self.withPlace { place in
            let vps = try place.vps("a")
            try FileManager.default.createDirectory(atPath: place.registry, withIntermediateDirectories: false)
            try Data().write(to: URL(fileURLWithPath: place.registry + "/README"))
            try FileManager.default.createSymbolicLink(
                atPath: place.registry + "/grid", withDestinationPath: "70000")
            let pool = try place.pool()
            #expect { _ = try pool.allocate(vps) } throws: { "\($0)".contains("'grid' is '70000'") }
            try FileManager.default.removeItem(atPath: place.registry + "/grid")
            _ = try pool.allocate(vps)
            #expect(try pool.reclaim() == [])
        }
    }

    @Test func aRegistryThatIsALinkIsRefused() throws {
        try Self.withPlace { place in
            let vps = try place.vps("a")
            try FileManager.default.createSymbolicLink(atPath: place.registry, withDestinationPath: "/tmp")
            let pool = try place.pool()
            #expect(throws: CtrError.self) { try pool.allocate(vps) }
        }
    }

    // MARK: many at once

    /// 12 programs take ranges for 8 VPSs each from a pool of 128, while another frees and takes its own.
    @Test func manyProcessesGetNoRangeTwice() throws {
        try Self.withPlace { place in
            var running: [(process: Process, output: Pipe)] = []
            for index in 0..<12 {
                let process = Process()
                process.executableURL = URL(fileURLWithPath: SecurityProbe.path)
                process.arguments = try ["idpool", place.registry] + (0..<8).map { try place.vps("p\(index)-\($0)") }
                let output = Pipe()
                process.standardOutput = output
                try process.run()
                running.append((process, output))
            }
            let pool = try place.pool(128)
            let own = try place.vps("own")
            for _ in 0..<50 {
                let range = try pool.allocate(own, durable: false)
                try pool.release(range, own)
                _ = try pool.reclaim()
            }
            var bases: [Int] = []
            for (process, output) in running {
                let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                process.waitUntilExit()
                #expect(process.terminationStatus == 0)
                bases += text.split(separator: "\n").compactMap { Int($0) }
            }
            #expect(bases.count == 96)
            #expect(Set(bases).count == 96)
            for index in 0..<12 {
                for number in 0..<8 {
                    let range = try pool.lookup(place.vps("p\(index)-\(number)"))
                    #expect(range.map { Int($0.base) } == bases[index * 8 + number])
                }
            }
        }
    }
}
