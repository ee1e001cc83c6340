import Kernel
import Model
import Testing

@testable import Storage

/// Writes an OCI image layout, right or wrong as a test wants it.
struct LayoutBuilder {
    let fixture: Fixture
    let directory: String
    var architecture = Host.architecture
    var process =
        #"{"Entrypoint":["/bin/e"],"Cmd":["c","d"],"Env":["A=b"],"User":"7:8","WorkingDir":"/w","Labels":{"l":"m"},"StopSignal":"SIGQUIT"}"#

    init(_ fixture: Fixture, _ directory: String) {
        self.fixture = fixture
        self.directory = directory
    }

    func blob(_ bytes: [UInt8]) throws -> (digest: String, size: Int) {
        var hash = SHA256()
        hash.update(bytes)
        let hex = hash.hex()
        try fixture.write("\(directory)/blobs/sha256/\(hex)", bytes)
        return ("sha256:\(hex)", bytes.count)
    }

    func descriptor(_ type: String, _ blob: (digest: String, size: Int), _ more: String = "") -> String {
        #"{"mediaType":"\#(type)","digest":"\#(blob.digest)","size":\#(blob.size)\#(more)}"#
    }

    /// Writes a layout of these layers; `packer` is a command such as gzip, or nil.
    func write(_ layers: [[UInt8]], type: String = "application/vnd.oci.image.layer.v1.tar", packer: String? = nil)
        throws
    {
        let manifest = try manifest(layers, type: type, packer: packer)
        try index(descriptor("application/vnd.oci.image.manifest.v1+json", manifest))
    }

    func manifest(
        _ layers: [[UInt8]], type: String = "application/vnd.oci.image.layer.v1.tar", packer: String? = nil
    ) throws -> (digest: String, size: Int) {
        var descriptors: [String] = []
        var ids: [String] = []
        for layer in layers {
            ids.append("\"\(try blob(layer).digest)\"")
            var stored = layer
            if let packer {
                try fixture.write("layer", layer)
                try fixture.sh("\(packer) <layer >layer.packed")
                stored = try fixture.bytes("layer.packed")
                try fixture.sh("rm layer layer.packed")
            }
            descriptors.append(descriptor(type, try blob(stored)))
        }
        let config = try blob(
            Array(
                #"{"architecture":"\#(architecture)","os":"linux","config":\#(process),"rootfs":{"type":"layers","diff_ids":[\#(ids.joined(separator: ","))]}}"#
                    .utf8))
        return try blob(
            Array(
                #"{"schemaVersion":2,"config":\#(descriptor("application/vnd.oci.image.config.v1+json", config)),"layers":[\#(descriptors.joined(separator: ","))]}"#
                    .utf8))
    }

    func index(_ manifests: String...) throws {
        try fixture.write("\(directory)/oci-layout", #"{"imageLayoutVersion":"1.0.0"}"#)
        try fixture.write(
            "\(directory)/index.json", #"{"schemaVersion":2,"manifests":[\#(manifests.joined(separator: ","))]}"#)
    }
}

@Suite("OCI images")
struct ImageTests {
    static func layer(_ build: (inout TarBuilder) -> Void) -> [UInt8] {
        var tar = TarBuilder()
        build(&tar)
        return tar.ended
    }

    static let layers: [[UInt8]] = [
        layer {
            $0.directory("bin/")
            $0.file("bin/sh", "shell", mode: "4755")
            $0.directory("gone/")
            $0.file("gone/f", "x")
            $0.directory("opaque/")
            $0.file("opaque/old", "x")
            $0.directory("opaque/sub/")
            $0.file("opaque/sub/old", "x")
            $0.directory("swap/")
            $0.file("swap/f", "x")
            $0.file("changed", "one")
            $0.symlink("link", "/bin")
        },
        layer {
            $0.file(".wh.gone")
            // The mark may come after what the layer itself puts there.
            $0.file("opaque/sub/new", "n")
            $0.file("opaque/new", "n")
            $0.file("opaque/.wh..wh..opq")
            $0.file("swap", "now a file")
            $0.file("changed", "two")
            $0.file(".wh..wh.plnk")
            $0.file("not/there/.wh.f")
        },
        layer { $0.hardLink("again", "changed") },
    ]

    func expectFlattened(_ f: Fixture, _ name: String = "t") throws {
        let files = try f.sh("cd root/templates/\(name)/rootfs; find . -mindepth 1 | LC_ALL=C sort | tr '\\n' ' '")
        #expect(
            files
                == "./again ./bin ./bin/sh ./changed ./link ./opaque ./opaque/new ./opaque/sub ./opaque/sub/new ./swap "
        )
        #expect(
            try f.sh("cd root/templates/\(name)/rootfs; cat again changed swap; stat -c %a bin/sh")
                == "twotwonow a file4755\n")
        let template = try f.store.show(name)
        #expect(template.entrypoint == ["/bin/e"])
        #expect(template.command == ["c", "d"])
        #expect(template.env == ["A=b"])
        #expect(template.user == "7:8")
        #expect(template.workdir == "/w")
        #expect(template.labels == ["l": "m"])
        #expect(template.stopSignal == "SIGQUIT")
    }

    @Test("Layers, whiteouts, opaque directories and defaults", arguments: [nil, "gzip", "zstd -q", "gzip -9"])
    func layout(_ packer: String?) throws {
        try Fixture.with { f in
            let suffix = packer.map { $0.hasPrefix("gzip") ? "+gzip" : "+zstd" } ?? ""
            try LayoutBuilder(f, "image").write(
                ImageTests.layers, type: "application/vnd.oci.image.layer.v1.tar" + suffix, packer: packer)
            try f.store.importTemplate(from: "\(f.path)/image", name: "t")
            try expectFlattened(f)
        }
    }

    @Test("An archive of a layout, plain and packed, with the blobs before or behind the index")
    func archive() throws {
        try Fixture.with { f in
            try LayoutBuilder(f, "image").write(ImageTests.layers)
            try f.sh(
                "tar -cf a.tar -C image oci-layout index.json blobs; tar -cf b.tar -C image blobs index.json oci-layout"
            )
            try f.sh("gzip -k b.tar")
            for (i, name) in ["a.tar", "b.tar", "b.tar.gz"].enumerated() {
                try f.store.importTemplate(from: "\(f.path)/\(name)", name: "t\(i)")
                try expectFlattened(f, "t\(i)")
                #expect(try f.sh("ls root/templates/t\(i)") == "lock\nrootfs\ntemplate.json\n")
            }
        }
    }

    @Test(
        "What skopeo writes: oci layout, oci-archive, docker-archive", .enabled(if: ToolProcess.find("skopeo") != nil))
    func skopeo() throws {
        try Fixture.with { f in
            try LayoutBuilder(f, "image").write(ImageTests.layers)
            try f.sh("skopeo --insecure-policy copy -q oci:image oci:copy:tag")
            try f.sh("skopeo --insecure-policy copy -q oci:image oci-archive:copy.tar")
            try f.sh("skopeo --insecure-policy copy -q oci:image docker-archive:docker.tar:name:tag")
            for (i, name) in ["copy", "copy.tar", "docker.tar"].enumerated() {
                try f.store.importTemplate(from: "\(f.path)/\(name)", name: "t\(i)")
                try expectFlattened(f, "t\(i)")
            }
        }
    }

    @Test("Of an index the image for this host is taken, also from an index within")
    func index() throws {
        try Fixture.with { f in
            var builder = LayoutBuilder(f, "image")
            let type = "application/vnd.oci.image.manifest.v1+json"
            let mine = try builder.manifest(ImageTests.layers)
            builder.architecture = "sparc"
            let other = try builder.manifest([ImageTests.layers[0]])
            let platform = { (name: String) in #","platform":{"os":"linux","architecture":"\#(name)"}"# }
            let inner = try builder.blob(
                Array(
                    #"{"schemaVersion":2,"manifests":[\#(builder.descriptor(type, other, platform("sparc"))),\#(builder.descriptor(type, mine, platform(Host.architecture)))]}"#
                        .utf8))
            try builder.index(builder.descriptor("application/vnd.oci.image.index.v1+json", inner))
            try f.store.importTemplate(from: "\(f.path)/image", name: "t")
            try expectFlattened(f)
            try f.store.remove("t")

            try builder.index(builder.descriptor(type, other, platform("sparc")))
            try f.expectFailure("image", .unavailable, "linux/sparc")
            try builder.index(builder.descriptor(type, other))
            try f.expectFailure("image", .unavailable, "linux/sparc")
            try builder.index(builder.descriptor(type, other), builder.descriptor(type, mine))
            try f.expectFailure("image", .badInput, "several images")
            try builder.index()
            try f.expectFailure("image", .badInput, "no image")
        }
    }

    @Test("A changed byte of any blob is found before the blob is used")
    func digests() throws {
        try Fixture.with { f in
            try LayoutBuilder(f, "image").write(ImageTests.layers)
            let blobs = try f.sh("ls image/blobs/sha256").split(separator: "\n").map(String.init)
            #expect(blobs.count == 5)
            for blob in blobs {
                let whole = try f.bytes("image/blobs/sha256/\(blob)")
                var changed = whole
                changed[whole.count / 2] ^= 1
                try f.write("image/blobs/sha256/\(blob)", changed)
                try f.expectFailure("image", .badInput, "wrong digest")
                try f.write("image/blobs/sha256/\(blob)", whole + [0])
                try f.expectFailure("image", .badInput, "bytes, not")
                try f.write("image/blobs/sha256/\(blob)", Array(whole.dropLast()))
                try f.expectFailure("image", .badInput, "bytes, not")
                try f.sh("rm image/blobs/sha256/\(blob); ln -s /etc/passwd image/blobs/sha256/\(blob)")
                try f.expectFailure("image", .badInput)
                try f.sh("rm image/blobs/sha256/\(blob); mkfifo image/blobs/sha256/\(blob)")
                try f.expectFailure("image", .badInput, "no regular file")
                try f.sh("rm image/blobs/sha256/\(blob)")
                try f.expectFailure("image", .badInput, blob)
                try f.write("image/blobs/sha256/\(blob)", whole)
            }
            try f.store.importTemplate(from: "\(f.path)/image", name: "t")
        }
    }

    @Test(
        "Whiteouts that lead outside",
        arguments: [".wh...", ".wh..", ".wh.", "l/.wh.canary", "l/.wh..wh..opq", "../.wh.x"])
    func whiteouts(_ name: String) throws {
        try Fixture.with { f in
            let bottom = ImageTests.layer {
                $0.symlink("l", "../../../../outside")
                $0.file("f", "x")
            }
            try LayoutBuilder(f, "image").write([bottom, ImageTests.layer { $0.file(name) }])
            try f.expectFailure("image", .badInput, "layer 2", "entry '\(name)'")
        }
    }

    @Test("A later layer replaces a directory by a link, and nothing is written through it")
    func swap() throws {
        try Fixture.with { f in
            let swapped = ImageTests.layer { $0.symlink("bin", "../../../../outside") }
            try LayoutBuilder(f, "image").write(
                [ImageTests.layers[0], swapped, ImageTests.layer { $0.file("bin/evil", "x") }])
            try f.expectFailure("image", .badInput, "layer 3", "'bin/evil'", "symbolic link")
        }
    }

    @Test(
        "Absurd documents",
        arguments: [
            ("index.json", "{}", "schemaVersion is missing"), ("index.json", "[", "not JSON"),
            ("index.json", #"{"schemaVersion":2,"manifests":null}"#, "manifests"),
            ("index.json", #"{"schemaVersion":1,"manifests":[]}"#, "schemaVersion"),
            (
                "index.json", #"{"schemaVersion":2,"manifests":[{"digest":"sha256:../../../etc/passwd","size":1}]}"#,
                "malformed"
            ),
            ("index.json", #"{"schemaVersion":2,"manifests":[{"digest":"md5:00","size":1}]}"#, "not sha256"),
            ("index.json", #"{"schemaVersion":2,"manifests":[{"digest":"sha256:00","size":9999999999}]}"#, "larger"),
            ("index.json", #"{"schemaVersion":2,"manifests":[{"digest":7,"size":"x"}]}"#, "wrong type"),
            ("oci-layout", "{}", "imageLayoutVersion is missing"),
            ("oci-layout", #"{"imageLayoutVersion":"9"}"#, "unknown"),
        ])
    func documents(_ file: String, _ json: String, _ word: String) throws {
        try Fixture.with { f in
            try LayoutBuilder(f, "image").write(ImageTests.layers)
            try f.write("image/\(file)", json)
            try f.expectFailure("image", .badInput, word)
        }
    }

    @Test("An index of 5 MB is refused, so is deep nesting")
    func huge() throws {
        try Fixture.with { f in
            try LayoutBuilder(f, "image").write(ImageTests.layers)
            try f.sh("head -c 5000000 /dev/zero | tr '\\0' ' ' >>image/index.json")
            try f.expectFailure("image", .badInput, "index.json")
            try f.write("image/index.json", String(repeating: "[", count: 100_000))
            try f.expectFailure("image", .badInput, "not JSON")
        }
    }

    @Test(
        "Absurd configurations",
        arguments: [
            (#"{"Env":["novalue"]}"#, "KEY=VALUE"), (#"{"Env":["A=\u0000"]}"#, "env"),
            (#"{"WorkingDir":"relative"}"#, "workdir"), (#"{"User":"a\nb"}"#, "user"),
            (#"{"StopSignal":"; rm"}"#, "stop signal"), (#"{"Entrypoint":[""]}"#, "entrypoint"),
            (#"{"Entrypoint":"text"}"#, "wrong type"), (#"{"Cmd":[null]}"#, "Cmd"),
        ])
    func configurations(_ process: String, _ word: String) throws {
        try Fixture.with { f in
            var builder = LayoutBuilder(f, "image")
            builder.process = process
            try builder.write(ImageTests.layers)
            try f.expectFailure("image", .badInput, word)
        }
    }

    @Test("Layers of an unknown kind")
    func unknownLayer() throws {
        try Fixture.with { f in
            try LayoutBuilder(f, "image").write(
                ImageTests.layers, type: "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
            try f.expectFailure("image", .badInput, "unknown type")
        }
    }
}
