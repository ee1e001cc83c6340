import Kernel
import Model
import Testing

@testable import Storage

@Suite("Hostile archives")
struct HostileArchiveTests {
    /// One archive that must be refused.
    struct Case: CustomTestStringConvertible, Sendable {
        let name: String
        let words: [String]
        let build: @Sendable (inout TarBuilder) -> Void
        var testDescription: String { name }
        init(_ name: String, _ words: String..., build: @escaping @Sendable (inout TarBuilder) -> Void) {
            self.name = name
            self.words = words
            self.build = build
        }
    }

    static let cases: [Case] = [
        Case("dot dot", "'../evil'", "'..'") { $0.file("../evil", "x") },
        Case("dot dot inside", "'a/../../evil'") { $0.file("a/../../evil", "x") },
        Case("absolute", "'/etc/evil'", "absolute") { $0.file("/etc/evil", "x") },
        Case("through an absolute symbolic link", "'l/evil'", "symbolic link") {
            $0.symlink("l", "/tmp")
            $0.file("l/evil", "x")
        },
        Case("through a relative symbolic link", "'l/evil'", "symbolic link") {
            $0.symlink("l", "../../../outside")
            $0.file("l/evil", "x")
        },
        Case("through a symbolic link inside", "'l/f'", "symbolic link") {
            $0.directory("d")
            $0.symlink("l", "d")
            $0.file("l/f", "x")
        },
        Case("empty directory replaced by a link, written through", "'d/f'", "symbolic link") {
            $0.directory("d")
            $0.symlink("d", "../../../outside")
            $0.file("d/f", "x")
        },
        Case("full directory replaced by a link", "'d'", "takes the place of a directory") {
            $0.directory("d")
            $0.file("d/f", "x")
            $0.symlink("d", "../../../outside")
        },
        Case("directory through a link", "'l/d'", "symbolic link") {
            $0.symlink("l", "..")
            $0.directory("l/d")
        },
        Case("hard link to an absolute name", "'h'", "hard link to outside") { $0.hardLink("h", "/etc/passwd") },
        Case("hard link through dot dot", "'h'", "hard link to outside") { $0.hardLink("h", "../../template.json") },
        Case("hard link through a symbolic link", "'h'", "symbolic link") {
            $0.symlink("l", "/etc")
            $0.hardLink("h", "l/passwd")
        },
        Case("hard link to nothing", "'h'", "not in the archive") { $0.hardLink("h", "nothing") },
        Case("hard link into nothing", "'h'", "not there") { $0.hardLink("h", "no/thing") },
        Case("hard link to a directory", "'h'", "directory") {
            $0.directory("d")
            $0.hardLink("h", "d")
        },
        Case("hard link to itself", "'h'", "itself") {
            $0.file("h", "x")
            $0.hardLink("h", "h")
        },
        Case("symbolic link to nothing at all", "'l'", "empty") { $0.symlink("l", "") },
        Case("block device", "'disk'", "device node") {
            $0.add(TarBuilder.header(Array("disk".utf8), type: "4", device: (8, 0)))
        },
        Case("memory device outside of dev", "'tmp/mem'", "device node") {
            $0.add(TarBuilder.header(Array("tmp/mem".utf8), type: "3", device: (1, 1)))
        },
        Case("overlay's mark of deletion", "'dev/gone'", "device node") {
            $0.add(TarBuilder.header(Array("dev/gone".utf8), type: "3", device: (0, 0)))
        },
        Case("absurd device number", "absurd") {
            $0.add(TarBuilder.header(Array("disk".utf8), type: "4", device: (0o777777, 0)))
        },
        Case("NUL in an extended name", "NUL") {
            $0.pax([("path", Array("a\u{0}b".utf8))])
            $0.file("x", "x")
        },
        Case("control characters are escaped", "\\u{1b}") { $0.file("../\u{1b}[2Jevil\n", "x") },
        Case("a component too long", "255") {
            $0.pax("path", String(repeating: "n", count: 256))
            $0.file("x", "x")
        },
        Case("a path too long", "4095") {
            $0.pax("path", String(repeating: "d/", count: 2100) + "f")
            $0.file("x", "x")
        },
        Case("too deep", "deep") {
            $0.pax("path", String(repeating: "d/", count: 300) + "f")
            $0.file("x", "x")
        },
        Case("no name", "no name") { $0.file("", "x") },
        Case("file is a directory", "'a/b'", "no directory") {
            $0.file("a", "x")
            $0.file("a/b", "x")
        },
        Case("root is a link", "root") { $0.symlink("./", "/") },
        Case("unknown type", "'f'", "type 'Z'") { $0.add(TarBuilder.header(Array("f".utf8), type: "Z")) },
        Case("negative size", "absurd") {
            var header = TarBuilder.header(Array("f".utf8))
            for i in 124..<136 { header[i] = 0xff }
            $0.add(TarBuilder.sum(header))
        },
        Case("huge size", "too large") {
            var header = TarBuilder.header(Array("f".utf8))
            header[124] = 0x80
            header[125] = 0xff
            $0.add(TarBuilder.sum(header))
        },
        Case("size in words", "'f'", "no number") { $0.add(TarBuilder.header(Array("f".utf8), size: "many")) },
        Case("owner 2^32-1", "uid") {
            $0.pax("uid", "4294967295")
            $0.file("f", "x")
        },
        Case("extended size negative", "size") {
            $0.pax("size", "-5")
            $0.file("f", "x")
        },
        Case("malformed extended header", "malformed") {
            $0.add(TarBuilder.header(Array("p".utf8), type: "x", size: "5"), Array("99 a=b\n".utf8.prefix(5)))
            $0.file("f")
        },
        Case("extended header without a size that fits", "extended header of") {
            $0.add(TarBuilder.header(Array("p".utf8), type: "x", size: "77777777777"))
        },
        Case("global header renames every entry", "global header") {
            $0.pax([("path", Array("x".utf8))], type: "g")
            $0.file("f")
        },
        Case("sparse map beyond the file", "sparse map") {
            $0.pax([
                ("GNU.sparse.size", Array("100".utf8)), ("GNU.sparse.map", Array("0,512,1000,512".utf8)),
            ])
            $0.add(TarBuilder.header(Array("f".utf8), size: "2000"), [UInt8](repeating: 1, count: 1024))
        },
        Case("sparse map overlaps", "sparse map") {
            $0.pax([
                ("GNU.sparse.size", Array("9000".utf8)), ("GNU.sparse.map", Array("512,512,0,512".utf8)),
            ])
            $0.add(TarBuilder.header(Array("f".utf8), size: "2000"), [UInt8](repeating: 1, count: 1024))
        },
        Case("sparse map overflows", "sparse map") {
            $0.pax([
                ("GNU.sparse.size", Array("9000".utf8)),
                ("GNU.sparse.map", Array("9223372036854775807,1024".utf8)),
            ])
            $0.add(TarBuilder.header(Array("f".utf8), size: "2000"), [UInt8](repeating: 1, count: 1024))
        },
        Case("sparse 1.0 with a billion pieces", "sparse map") {
            $0.pax([
                ("GNU.sparse.major", Array("1".utf8)), ("GNU.sparse.minor", Array("0".utf8)),
                ("GNU.sparse.realsize", Array("9000".utf8)),
            ])
            $0.add(
                TarBuilder.header(Array("f".utf8), size: "1000"),
                Array("1000000000\n".utf8) + [UInt8](repeating: 48, count: 501))
        },
        Case("malformed capability", "'f'", "capability") {
            $0.pax([("SCHILY.xattr.security.capability", [1, 2, 3])])
            $0.file("f", "x")
        },
        Case("data behind the end", "behind") {
            $0.file("f", "x")
            $0.bytes += [UInt8](repeating: 0, count: 1024)
            $0.file("hidden", "x")
        },
        Case("wrong checksum", "checksum") {
            $0.file("f", "x")
            $0.bytes[0] = UInt8(ascii: "g")
        },
        Case("nothing in it", "nothing") { _ in },
    ]

    @Test("is refused, names its entry, leaves nothing", arguments: cases)
    func refused(_ one: Case) throws {
        try Fixture.with { f in
            var tar = TarBuilder()
            // Entries before the bad one show that half-made trees go.
            if one.name != "nothing in it" {
                tar.directory("./")
                tar.file("good", "good")
            }
            one.build(&tar)
            try f.write("t.tar", tar.ended)
            do throws(CtrError) {
                try f.store.importTemplate(from: "\(f.path)/t.tar", name: "t")
                Issue.record("imported")
            } catch {
                #expect(error.code == .badInput, "\(error.message)")
                for word in one.words { #expect(error.message.contains(word), "\(error.message)") }
                #expect(!error.message.unicodeScalars.contains { $0.value < 32 })
            }
            #expect(try f.templates() == [])
        }
    }

    @Test("A truncated archive is refused wherever it is cut")
    func truncated() throws {
        try Fixture.with { f in
            var tar = TarBuilder()
            tar.file("a", String(repeating: "x", count: 1500))
            tar.pax("mtime", "1.5")
            tar.file("b", "b")
            for cut in stride(from: 0, through: tar.bytes.count, by: 256) {
                try f.write("cut.tar", Array(tar.bytes.prefix(cut)))
                try f.expectFailure("cut.tar", .badInput, cut == 0 ? "empty" : "truncated")
            }
            try f.write("whole.tar", tar.ended)
            try f.sh("gzip -k whole.tar; head -c 100 whole.tar.gz >cut.tar.gz; xz -k whole.tar; zstd -q whole.tar")
            try f.expectFailure("cut.tar.gz", .badInput, "gzip")
            try f.sh("head -c 80 whole.tar.xz >cut.tar.xz; head -c 60 whole.tar.zst >cut.tar.zst")
            try f.expectFailure("cut.tar.xz", .badInput, "xz")
            try f.expectFailure("cut.tar.zst", .badInput, "zstd")
        }
    }

    @Test("A damaged packed archive is refused although its data were complete")
    func badChecksum() throws {
        try Fixture.with { f in
            var tar = TarBuilder()
            tar.file("a", "a")
            try f.write("t.tar", tar.ended)
            try f.sh("gzip t.tar")
            var packed = try f.bytes("t.tar.gz")
            packed[packed.count - 6] ^= 0xff
            try f.write("bad.tar.gz", packed)
            try f.expectFailure("bad.tar.gz", .badInput, "gzip")
        }
    }

    @Test("Of several files of one name the last stays, and another name of the first keeps its data")
    func duplicates() throws {
        try Fixture.with { f in
            var tar = TarBuilder()
            tar.file("a", "first")
            tar.hardLink("b", "a")
            tar.file("a", "second")
            tar.symlink("c", "../../../../outside/canary")
            tar.file("c", "in the link's place")
            tar.file("d", "file")
            tar.directory("d")
            tar.file("d/e", "below")
            tar.directory("empty")
            tar.file("empty", "no longer")
            try f.write("t.tar", tar.ended)
            try f.store.importTemplate(from: "\(f.path)/t.tar", name: "t")
            #expect(
                try f.sh("cd root/templates/t/rootfs; cat a b c d/e empty")
                    == "secondfirstin the link's placebelowno longer")
        }
    }

    @Test("Whatever is allowed below /dev is kept, the rest left out and told")
    func devices() throws {
        try Fixture.with { f in
            var tar = TarBuilder()
            tar.add(TarBuilder.header(Array("dev/null".utf8), type: "3", mode: "666", device: (1, 3)))
            tar.add(TarBuilder.header(Array("dev/sda".utf8), type: "4", device: (8, 0)))
            tar.add(TarBuilder.header(Array("dev/mem".utf8), type: "3", device: (1, 1)))
            try f.write("t.tar", tar.ended)
            var notes: [String] = []
            try f.store.importTemplate(from: "\(f.path)/t.tar", name: "t") {
                if case .note(let note) = $0 { notes.append(note) }
            }
            #expect(notes == ["device nodes left out: 2, the first 'dev/sda'"])
            #expect(try f.sh("cd root/templates/t/rootfs/dev; ls; stat -c %t:%T null") == "null\n1:3\n")
        }
    }

    @Test("Attributes that overlayfs or security modules read are left out")
    func attributes() throws {
        try Fixture.with { f in
            var tar = TarBuilder()
            let names = [
                "trusted.overlay.opaque", "trusted.other", "user.overlay.opaque", "security.selinux", "user.kept",
            ]
            tar.pax(names.map { ("SCHILY.xattr.\($0)", Array("y".utf8)) })
            tar.directory("d")
            try f.write("t.tar", tar.ended)
            try f.store.importTemplate(from: "\(f.path)/t.tar", name: "t")
            let names2 = try Kernel.open("\(f.rootfs("t"))/d", [.directory]).attributeNames()
            #expect(names2.filter { $0 != "security.selinux" } == ["user.kept"])
        }
    }

    @Test("Limits of bytes, entries, depth and ratio")
    func limits() throws {
        try Fixture.with { f in
            var tar = TarBuilder()
            for i in 0..<20 { tar.file("d/e/f\(i)", String(repeating: "x", count: 1000)) }
            try f.write("t.tar", tar.ended)
            var limits = ImportLimits()
            limits.bytes = 5000
            try f.expectFailure("t.tar", .badInput, "'d/e/f5'", "of data", limits: limits)
            limits = ImportLimits()
            limits.entries = 10
            try f.expectFailure("t.tar", .badInput, "10 entries", limits: limits)
            limits = ImportLimits()
            limits.depth = 2
            try f.expectFailure("t.tar", .badInput, "deep", limits: limits)
            limits = ImportLimits()
            limits.reserve = 1 << 60
            try f.expectFailure("t.tar", .io, "no space", limits: limits)
            for (tool, suffix) in [("gzip", "gz"), ("zstd -q", "zst"), ("xz -0", "xz")] {
                try f.sh("mkdir -p b; truncate -s 200M b/zeros; tar -c b | \(tool) >bomb.\(suffix)")
                try f.expectFailure("bomb.\(suffix)", .badInput, "bomb")
            }
        }
    }

    @Test("Inputs that are no archive")
    func noArchive() throws {
        try Fixture.with { f in
            try f.write("text", String(repeating: "not an archive\n", count: 100))
            try f.expectFailure("text", .badInput, "not a tar archive")
            try f.sh("bzip2 -k text 2>/dev/null || { printf BZh91AY >text.bz2; }; mkfifo fifo; ln -s outside link")
            try f.expectFailure("text.bz2", .badInput, "bzip2")
            try f.expectFailure("fifo", .badInput, "neither")
            try f.expectFailure("link", .badInput, "symbolic link")
            try f.expectFailure("link/", .badInput, "symbolic link")
            try f.expectFailure("nothing", .notFound, "no such file")
        }
    }
}
