import Kernel
import Model
import Testing

@testable import Storage

@Suite("Formats of archives")
struct FormatTests {
    /// A tree with everything that must survive; sparse files have data at the start, the middle and a hole at the end.
    static let tree = """
        mkdir -p src/etc src/dev src/deep/er
        echo hello >src/etc/file; ln src/etc/file src/etc/hard; ln -s file src/etc/soft; ln -s /nowhere src/etc/dangling
        : >src/empty; echo setuid >src/setuid; chown 1000:2000 src/setuid; chmod 6755 src/setuid
        echo dir >src/deep/er/f; chmod 1777 src/deep; chmod 0500 src/deep/er; chown 12:34 src/deep
        mkfifo -m 600 src/fifo; mknod -m 666 src/dev/null c 1 3; mknod -m 620 src/dev/console c 5 1
        truncate -s 3M src/sparse; printf start | dd of=src/sparse conv=notrunc status=none
        printf middle | dd of=src/sparse bs=1 seek=1000000 conv=notrunc status=none
        truncate -s 1M src/hole
        for i in $(seq 60); do printf x | dd of=src/pieces bs=1 seek=$((i*65536)) conv=notrunc status=none; done
        touch -h -d '2001-02-03 04:05:06' src/etc/soft src/etc/dangling src/fifo src/dev/null src/dev/console
        find src -type f -exec touch -d '2009-08-07 06:05:04' {} +
        find src -depth -type d -exec touch -d '1999-12-31 23:59:59' {} +

        """

    /// Makes the tree beyond what old formats can hold.
    static let more = """
        n=$(printf '%0120d' 7); mkdir -p src/$n/$n; echo long >src/$n/$n/f; ln -s $n/$n/$n src/longlink
        ln src/$n/$n/f src/longhard; printf 'ümläut' >src/ümläut; printf b >"src/$(printf 'new\\nline')"
        find src -type f -exec touch -d '2009-08-07 06:05:04' {} +
        touch -h -d '2001-02-03 04:05:06' src/longlink
        find src -depth -type d -exec touch -d '1999-12-31 23:59:59' {} +

        """

    struct Format: CustomTestStringConvertible, Sendable {
        let flags: String
        var more = true
        var exact = false
        var testDescription: String { flags }
    }

    static let formats: [Format] = [
        Format(flags: "--format=v7", more: false), Format(flags: "--format=ustar", more: false),
        Format(flags: "--format=oldgnu"), Format(flags: "--format=gnu"), Format(flags: "--format=gnu --sparse"),
        Format(flags: "--format=oldgnu --sparse"), Format(flags: "--format=pax"),
        Format(flags: "--format=pax --sparse --sparse-version=0.0"),
        Format(flags: "--format=pax --sparse --sparse-version=0.1"),
        Format(flags: "--format=pax --sparse --sparse-version=1.0"),
        Format(flags: "--format=pax --sparse --pax-option=exthdr.name=%d/x/%f"),
    ]

    @Test("What GNU tar writes comes in as it was", arguments: formats)
    func gnuTar(_ format: Format) throws {
        try Fixture.with { f in
            try f.sh(FormatTests.tree + (format.more ? FormatTests.more : ""))
            // Version 7 has no devices and fifos.
            if format.flags.contains("v7") { try f.sh("rm -r src/fifo src/dev; touch -d '1999-12-31 23:59:59' src") }
            try f.sh("tar \(format.flags) --numeric-owner -cf t.tar -C src .")
            try f.store.importTemplate(from: "\(f.path)/t.tar", name: "t")
            #expect(try f.describe(f.rootfs("t")) == f.describe("\(f.path)/src"))
            if format.flags.contains("sparse") {
                let blocks = try f.sh("stat -c %b root/templates/t/rootfs/sparse root/templates/t/rootfs/hole")
                let counts = blocks.split(separator: "\n").map { Int($0)! }
                #expect(counts[0] < 100 && counts[1] == 0)
            }
        }
    }

    @Test("Times to the nanosecond, attributes and capabilities come through PAX")
    func pax() throws {
        try Fixture.with { f in
            try f.sh(FormatTests.tree + "touch -d '2020-01-02 03:04:05.123456789' src/etc/file; cp /bin/true src/ping")
            try f.sh("touch -d '1960-01-02 03:04:05.25' src/empty; setcap cap_net_raw+ep src/ping")
            try Kernel.open("\(f.path)/src/etc/file", [.readOnly]).setAttribute("user.note", Array("a=b\nc\u{0}d".utf8))
            try Kernel.open("\(f.path)/src/etc", [.directory]).setAttribute("user.dir", [0, 255, 10])
            try f.sh("tar --format=pax --sparse --xattrs --xattrs-include='*' -cf t.tar -C src .")
            try f.store.importTemplate(from: "\(f.path)/t.tar", name: "t")
            #expect(try f.describe(f.rootfs("t")) == f.describe("\(f.path)/src"))
            #expect(try f.sh("getcap root/templates/t/rootfs/ping").contains("cap_net_raw=ep"))
        }
    }

    @Test("Packed archives are told by their first bytes, whatever their name")
    func packed() throws {
        try Fixture.with { f in
            try f.sh(
                FormatTests.tree + "tar -cf t.tar -C src .; gzip <t.tar >a.xz; xz <t.tar >b.zst; zstd -q <t.tar >c.tar")
            for (i, name) in ["a.xz", "b.zst", "c.tar"].enumerated() {
                let made = try f.store.importTemplate(from: "\(f.path)/\(name)", name: "t\(i)")
                #expect(try f.describe(f.rootfs("t\(i)")) == f.describe("\(f.path)/src"))
                let sum = try f.sh("sha256sum <\(name)").prefix(64)
                #expect(made.digest == "sha256:\(sum)")
            }
        }
    }

    @Test("A sparse file of more than 8 GiB")
    func large() throws {
        try Fixture.with { f in
            try f.sh("mkdir src; truncate -s 20G src/big; printf end >>src/big")
            for (i, flags) in ["--format=pax", "--format=gnu"].enumerated() {
                try f.sh("tar \(flags) --sparse -cf t\(i).tar -C src .")
                try f.store.importTemplate(from: "\(f.path)/t\(i).tar", name: "t\(i)")
                #expect(try f.sh("stat -c %s root/templates/t\(i)/rootfs/big") == "21474836483\n")
                #expect(try f.sh("tail -c 3 root/templates/t\(i)/rootfs/big") == "end")
            }
            // And out again: our writer keeps the holes.
            try f.store.exportTemplate("t0", to: "\(f.path)/out.tar")
            #expect(try f.sh("stat -c %s out.tar").count < 7)
            try f.sh(
                "mkdir back; tar -xf out.tar -C back; tail -c 3 back/big | grep -q end; cmp -n 1M back/big src/big")
        }
    }

    @Test("A header of base 256: a file of 8 GiB and more, a large owner")
    func base256() throws {
        var header = TarBuilder.header(Array("f".utf8), gnu: true)
        for i in 124..<136 { header[i] = 0 }
        header[124] = 0x80
        header[130] = 2  // 2 * 256^5
        #expect(try TarHeader(TarBuilder.sum(header)).number(124..<136, "size") == 2 << 40)
        for i in 136..<148 { header[i] = 0xff }
        header[147] = 0xfe
        #expect(try TarHeader(TarBuilder.sum(header)).number(136..<148, "mtime") == -2)
    }

    @Test("A name in ustar's prefix")
    func prefix() throws {
        try Fixture.with { f in
            let dirs = (0..<12).map { "directory\($0)" }.joined(separator: "/")
            try f.sh("mkdir -p src/\(dirs); echo x >src/\(dirs)/name; tar --format=ustar -cf t.tar -C src .")
            try f.store.importTemplate(from: "\(f.path)/t.tar", name: "t")
            #expect(try f.sh("cat root/templates/t/rootfs/\(dirs)/name") == "x\n")
        }
    }

    @Test("A directory comes in as it is", arguments: [false, true])
    func directory(_ slash: Bool) throws {
        try Fixture.with { f in
            try f.sh(FormatTests.tree + FormatTests.more)
            try Kernel.open("\(f.path)/src/etc/file", [.readOnly]).setAttribute("user.note", [1, 2, 3])
            // A link to the canary must be copied as a link.
            try f.sh("ln -s \(f.path)/outside/canary src/escape; touch -d '1999-12-31 23:59:59' src")
            let made = try f.store.importTemplate(from: "\(f.path)/src" + (slash ? "/" : ""), name: "t")
            #expect(try f.describe(f.rootfs("t")) == f.describe("\(f.path)/src"))
            #expect(made.source?.hasPrefix("directory ") == true)
            let blocks = try f.sh("stat -c %b root/templates/t/rootfs/sparse")
            #expect(Int(blocks.dropLast())! < 100)
        }
    }

    @Test("A directory that holds the templates themselves is copied without them")
    func itself() throws {
        try Fixture.with { f in
            try f.store.importTemplate(from: "\(f.path)/outside", name: "first")
            try f.store.importTemplate(from: f.path, name: "second")
            #expect(try f.sh("ls root/templates/second/rootfs root/templates/second/rootfs/root").contains("outside"))
            #expect(try f.sh("ls -A root/templates/second/rootfs/root") == "")
        }
    }

    @Test(
        "Export and import again: the same content, metadata and defaults",
        arguments: ["tar", "tar.gz", "tar.xz", "tar.zst"])
    func roundTrip(_ suffix: String) throws {
        try Fixture.with { f in
            try f.sh(FormatTests.tree + FormatTests.more + "touch -d '1960-01-02 03:04:05.25' src/empty")
            try f.sh("cp /bin/true src/ping; setcap cap_net_raw+ep src/ping; chown 70000:4000000 src/hole")
            try Kernel.open("\(f.path)/src/etc", [.directory]).setAttribute("user.dir", [0, 255, 10])
            try f.store.importTemplate(from: "\(f.path)/src", name: "one")
            var manifest = try f.store.show("one")
            manifest.command = ["/bin/sh", "-c", "echo 'a b'"]
            manifest.env = ["A=ü", "B="]
            manifest.stopSignal = "SIGUSR2"
            manifest.ready = .marker
            manifest.labels = ["k": "v"]
            try Kernel.open("\(f.store.path)/one", [.directory]).replaceFile("template.json", JSONFile.encode(manifest))
            try f.store.exportTemplate("one", to: "\(f.path)/out.\(suffix)")
            let two = try f.store.importTemplate(from: "\(f.path)/out.\(suffix)", name: "two")
            #expect(two.defaults == manifest.defaults)
            #expect(try f.describe(f.rootfs("two")) == f.describe("\(f.path)/src"))
            // Another program reads it too.
            try f.sh("mkdir back; tar --xattrs --xattrs-include='*' -xpf out.\(suffix) -C back")
            #expect(try f.describe("\(f.path)/back") == f.describe("\(f.path)/src"))
        }
    }

    @Test("Export refuses a file that exists and a name it does not know")
    func exportRefuses() throws {
        try Fixture.with { f in
            try f.store.importTemplate(from: "\(f.path)/outside", name: "t")
            try f.write("there.tar", "precious")
            #expect(throws: CtrError.self) { try f.store.exportTemplate("t", to: "\(f.path)/there.tar") }
            #expect(try f.text("there.tar") == "precious")
            do throws(CtrError) { try f.store.exportTemplate("t", to: "\(f.path)/x.zip") } catch {
                #expect(error.code == .usage)
            }
            do throws(CtrError) { try f.store.exportTemplate("none", to: "\(f.path)/x.tar") } catch {
                #expect(error.code == .notFound)
            }
            do throws(CtrError) { try f.store.exportTemplate("t", to: "\(f.path)/no/x.tar") } catch {
                #expect(error.code == .cannotCreate)
            }
            #expect(try f.sh("ls") == "outside\nroot\nthere.tar\n")
        }
    }
}
