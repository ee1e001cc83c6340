import Foundation
import Kernel
import Model
import Testing

@testable import Namespaces

@Suite struct SeccompCacheTests {
    /// A directory of the test's own, gone afterwards.
    static func withDirectory(_ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.path + "/ctr-seccomp-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    static let key = SeccompCache.Key.default(capabilities: [], nesting: false, userns: .own)
    static let sample = SeccompFilter(
        program: Array(repeating: 7, count: 64), flags: [.log], unknownNames: ["one", "two"])

    @Test func compilesOnceThenReads() throws {
        try Self.withDirectory { root in
            let cache = SeccompCache(directory: root + "/seccomp")
            let first = try cache.default(capabilities: [], nesting: false, userns: .own)
            let again = try cache.filter(Self.key) { () throws(CtrError) in
                throw CtrError(.failed, "compiled a second time")
            }
            #expect(again == first)
            let attributes = try FileManager.default.attributesOfItem(atPath: root + "/seccomp")
            #expect((attributes[.posixPermissions] as? Int) == 0o700)
            #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/seccomp") == [Self.key.text])
        }
    }

    @Test func flagsAndUnknownNamesComeBack() throws {
        try Self.withDirectory { root in
            let cache = SeccompCache(directory: root + "/seccomp")
            for _ in 0..<2 {
                let filter = try cache.filter(Self.key) { () throws(CtrError) in Self.sample }
                #expect(filter == Self.sample)
            }
            #expect(try cache.filter(Self.key) { () throws(CtrError) in throw CtrError(.failed, "") } == Self.sample)
        }
    }

    @Test func everyDamageIsNoticed() throws {
        let good = SeccompCache.encode(Self.sample, Self.key)
        #expect(SeccompCache.decode(good, Self.key) == Self.sample)
        for length in 0..<good.count {
            #expect(SeccompCache.decode(Array(good[..<length]), Self.key) == nil, "cut to \(length)")
        }
        #expect(SeccompCache.decode(good + [0], Self.key) == nil)
        for index in good.indices {
            var bad = good
            bad[index] ^= 0x10
            #expect(SeccompCache.decode(bad, Self.key) == nil, "byte \(index)")
        }
        let other = SeccompCache.Key.default(capabilities: [], nesting: true, userns: .own)
        #expect(SeccompCache.decode(good, other) == nil, "another key's file under this name")
    }

    @Test func aDamagedFileIsReplaced() throws {
        try Self.withDirectory { root in
            let cache = SeccompCache(directory: root + "/seccomp")
            let good = try cache.default(capabilities: [], nesting: false, userns: .own)
            let file = "\(root)/seccomp/\(Self.key.text)"
            try Data("garbage".utf8).write(to: URL(fileURLWithPath: file))
            #expect(try cache.default(capabilities: [], nesting: false, userns: .own) == good)
            let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
            #expect(SeccompCache.decode(bytes, Self.key) == good)
        }
    }

    @Test func aLinkInTheFilesPlaceIsNotFollowed() throws {
        try Self.withDirectory { root in
            let cache = SeccompCache(directory: root + "/seccomp")
            _ = try cache.default(capabilities: [], nesting: true, userns: .own)
            let file = "\(root)/seccomp/\(Self.key.text)"
            try Data(SeccompCache.encode(Self.sample, Self.key)).write(to: URL(fileURLWithPath: root + "/elsewhere"))
            try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: root + "/elsewhere")
            #expect(try cache.default(capabilities: [], nesting: false, userns: .own) != Self.sample)
        }
    }

    @Test func anUnwritablePlaceStillGivesAFilter() throws {
        let filter = try SeccompCache(directory: "/proc/nowhere/seccomp").default(
            capabilities: [], nesting: false, userns: .own)
        #expect(filter.program.count > 1000)
    }

    @Test func keysDifferWhereFiltersDo() throws {
        var texts: Set<String> = []
        for userns in [SeccompProfile.UserNamespace.own, .host] {
            for nesting in [true, false] {
                texts.insert(SeccompCache.Key.default(capabilities: [], nesting: nesting, userns: userns).text)
            }
        }
        for name in SeccompProfile.capabilitiesThatMatter {
            texts.insert(SeccompCache.Key.default(capabilities: [name], nesting: false, userns: .host).text)
        }
        #expect(texts.count == 4 + SeccompProfile.capabilitiesThatMatter.count)
        #expect(texts.allSatisfy { !$0.contains("/") && $0.utf8.count < 200 })
        // What makes no difference to the filter makes none to the key.
        let plain = SeccompCache.Key.default(capabilities: [], nesting: false, userns: .own)
        #expect(SeccompCache.Key.default(capabilities: ["CAP_BPF"], nesting: false, userns: .own) == plain)

        let host = SeccompProfile.Host(capabilities: [], kernel: "6.1")
        let files = [
            SeccompCache.Key.file(Array("a".utf8), host: host), .file(Array("b".utf8), host: host),
            .file(Array("a".utf8), host: .init(capabilities: ["CAP_BPF"], kernel: "6.1")),
            .file(Array("a".utf8), host: .init(capabilities: [], kernel: "6.2")),
        ]
        #expect(Set(files.map(\.text)).count == 4)
    }
}
