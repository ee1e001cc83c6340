import Glibc
import Kernel
import Model
import Testing

@testable import Checkpoint

/// A checkpoint is whole, or it is refused before anything else is done.
@Suite struct ManifestTests {
    /// A checkpoint with three files.
    private func with(_ body: (SharedFD) throws -> Void) throws {
        let name = "ctr-manifest-\(UInt32.random(in: 0 ... .max))"
        let top = try open("/tmp", [.directory])
        try top.makeDirectory(name, mode: 0o700)
        defer { #expect(throws: Never.self) { try top.removeTree(name) } }
        let directory = SharedFD(try top.open(name, [.directory]))
        try directory.fd.makeDirectory("images", mode: 0o755)
        for (name, text) in [("vps.json", "{}\n"), ("images/pages-1.img", "memory"), ("images/core-1.img", "")] {
            try directory.fd.open(name, [.writeOnly, .create], mode: 0o600).writeAll(Array(text.utf8))
        }
        let sealed = try Manifest.seal(directory, criu: "4.2.1")
        #expect(sealed.files.map(\.name) == ["images/core-1.img", "images/pages-1.img", "vps.json"])
        #expect(sealed.size == 9)
        try body(directory)
    }

    private func checked(_ directory: SharedFD) throws { try #require(try Manifest.read(directory)).check(directory) }

    private func message(_ directory: SharedFD) -> String? {
        do { try checked(directory) } catch let error as CtrError { return error.message } catch {}
        return nil
    }

    @Test func `a whole one passes`() throws {
        try with { try checked($0) }
    }

    @Test func `each damage is found and named`() throws {
        try with { (directory) in
            try directory.fd.open("images/pages-1.img", [.writeOnly]).writeAll(Array("Memory".utf8))
            #expect(
                message(directory) == "checkpoint: damaged: images/pages-1.img is changed (its checksum is another)")
        }
        try with { (directory) in
            try directory.fd.open("images/pages-1.img", [.writeOnly]).truncate(3)
            #expect(message(directory)?.contains("3 bytes long, written with 6") == true)
        }
        try with { (directory) in
            try directory.fd.unlink("vps.json")
            #expect(message(directory) == "checkpoint: damaged: vps.json is missing")
        }
        try with { (directory) in
            _ = try directory.fd.open("images/more.img", [.writeOnly, .create])
            #expect(message(directory)?.contains("images/more.img is not one that was written") == true)
        }
        try with { (directory) in
            try directory.fd.unlink("vps.json")
            try directory.fd.symlink("vps.json", to: "/etc/passwd")
            #expect(message(directory)?.contains("vps.json is missing") == true)
        }
    }

    @Test func `a damaged manifest is an error and none is nil`() throws {
        try with { (directory) in
            try directory.fd.open(Manifest.name, [.writeOnly]).truncate(20)
            #expect(throws: CtrError.self) { try Manifest.read(directory) }
            try directory.fd.unlink(Manifest.name)
            #expect(try Manifest.read(directory) == nil)
        }
    }

    @Test func `one of another format is refused with the way out`() throws {
        try with { (directory) in
            let later = #"{"version": 4, "files": [{"name": "vps.json", "size": 3, "sum": "00"}]}"#
            try directory.fd.replaceFile(Manifest.name, Array(later.utf8), durable: false)
            #expect { try Manifest.read(directory) } throws: {
                ($0 as? CtrError)?.message.contains("format 4 is not known to this ctr (resume it with") == true
            }
        }
    }

    @Test func `one of the first format is checked by its hashes`() throws {
        func manifest(_ sums: [String]) -> [UInt8] {
            let files = zip([("images/core-1.img", 0), ("images/pages-1.img", 6), ("vps.json", 3)], sums)
                .map { #"{"name": "\#($0.0)", "size": \#($0.1), \#($1)}"# }.joined(separator: ", ")
            return Array(
                #"{"version": 1, "created": "", "criu": "", "kernel": "", "architecture": "", "processor": [], "files": [\#(files)]}"#
                    .utf8)
        }
        let sums = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "c064fbca9d9de8dd9bb0624984403b28d0da807a69365d4f7fb09123ecb0c405",
            "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356",
        ]
        try with { (directory) in
            try directory.fd.replaceFile(Manifest.name, manifest(sums.map { #""sha256": "\#($0)""# }), durable: false)
            try checked(directory)
            try directory.fd.open("images/pages-1.img", [.writeOnly]).writeAll(Array("Memory".utf8))
            #expect(
                message(directory) == "checkpoint: damaged: images/pages-1.img is changed (its checksum is another)")
            // Sums of the other format, or none.
            for other in [#""crc32c": "00000000""#, #""more": 1"#] {
                try directory.fd.replaceFile(Manifest.name, manifest(sums.map { _ in other }), durable: false)
                #expect(message(directory) == "manifest of the checkpoint: damaged")
            }
        }
    }

    @Test func `missing instruction sets are named`() throws {
        var manifest = Manifest(
            created: "", criu: "", kernel: "", architecture: "x86_64", processor: ["avx2", "avx512f", "sse2"])
        try manifest.checkProcessor(has: ["avx2", "avx512f", "sse2", "more"], architecture: "x86_64")
        #expect { try manifest.checkProcessor(has: ["sse2"], architecture: "x86_64") } throws: {
            ($0 as? CtrError)?.message.contains("lacks avx2, avx512f,") == true
        }
        manifest.architecture = "aarch64"
        #expect(throws: CtrError.self) { try manifest.checkProcessor(has: [], architecture: "x86_64") }
    }

    @Test func `flags of the processor`() {
        let text = "processor\t: 0\nflags\t\t: sse2 hypervisor avx2 fpu\nbugs\t\t: a b\n\nflags\t\t: other\n"
        #if arch(x86_64)
        #expect(Processor.flags(text) == ["avx2", "fpu", "sse2"])
        #endif
        #expect(Processor.flags("").isEmpty)
    }
}
