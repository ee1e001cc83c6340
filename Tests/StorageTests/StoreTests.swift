import Kernel
import Model
import Testing

@testable import Storage

@Suite("The template store")
struct StoreTests {
    @Test("A template is listed, shown, opened and removed")
    func life() throws {
        try Fixture.with { f in
            #expect(try f.templates() == [])
            let made = try f.store.importTemplate(from: "\(f.path)/outside", name: "b")
            try f.store.importTemplate(from: "\(f.path)/outside", name: "a")
            #expect(try f.templates() == ["a", "b"])
            #expect(try f.store.show("b") == made)
            #expect(made.size == 9)
            #expect(made.architecture == Host.architecture)
            let layer = try f.store.open("b").openLayer()
            #expect(try String(decoding: layer.readFile("canary"), as: UTF8.self) == "untouched")
            try f.store.remove("b")
            #expect(try f.templates() == ["a"])
            #expect(try f.sh("stat -c %a root root/templates root/templates/a") == "700\n700\n700\n")
        }
    }

    @Test("Unknown names, bad names, taken names")
    func refusals() throws {
        try Fixture.with { f in
            func code(_ body: () throws(CtrError) -> Void) -> CtrError.Code? {
                do { try body() } catch { return error.code }
                return nil
            }
            #expect(code { () throws(CtrError) in _ = try f.store.open("none") } == .notFound)
            #expect(code { () throws(CtrError) in try f.store.remove("none") } == .notFound)
            #expect(code { () throws(CtrError) in _ = try f.store.show("../x") } == .usage)
            #expect(code { () throws(CtrError) in try f.store.remove(".lock") } == .usage)
            let outside = "\(f.path)/outside"
            try f.store.importTemplate(from: outside, name: "t")
            let before = try f.describe(f.rootfs("t"))
            #expect(
                code { () throws(CtrError) in try f.store.importTemplate(from: outside, name: "t") } == .cannotCreate)
            #expect(code { () throws(CtrError) in try f.store.importTemplate(from: outside, name: "T") } == .usage)
            #expect(try f.describe(f.rootfs("t")) == before)
        }
    }

    @Test("A template in use is not removed: neither one that is open nor one that has users")
    func inUse() throws {
        try Fixture.with { f in
            try f.store.importTemplate(from: "\(f.path)/outside", name: "t")
            func failure(_ users: [String]) -> CtrError? {
                do { try f.store.remove("t") { () throws(CtrError) in users } } catch { return error }
                return nil
            }
            #expect(failure(["web", "db"])?.message == "template t: in use by db, web (destroy them first)")
            do {
                let open = try f.store.open("t")
                #expect(failure([])?.code == .busy)
                #expect(failure(["web"])?.message.contains("web") == true)
                #expect(try f.templates() == ["t"])
                withExtendedLifetime(open.lock) {}
            }
            try hold(f)
        }
        try Fixture.with { f in
            try f.store.importTemplate(from: "\(f.path)/outside", name: "t")
            do { _ = try f.store.open("t") }
            try f.store.remove("t")
            #expect(try f.templates() == [])
        }
    }

    /// Another process has it open, until that is killed.
    private func hold(_ f: Fixture) throws {
        let input = try Pipe()
        let output = try Pipe()
        do {
            let holder = try ToolProcess(
                try Fixture.probe, ["\(f.path)/root", "hold", "t"], stdin: .file(input.reading),
                stdout: .file(output.writing))
            #expect(try output.reading.fd.read(upTo: 5).count == 5)
            #expect(throws: CtrError.self) { try f.store.remove("t") }
            _ = try holder.stop()
            withExtendedLifetime(input) {}
        }
        try f.store.remove("t")
        #expect(try f.templates() == [])
    }

    @Test("A broken template does not hide the others, and can be removed")
    func broken() throws {
        try Fixture.with { f in
            for name in ["a", "b"] { try f.store.importTemplate(from: "\(f.path)/outside", name: name) }
            try f.write("root/templates/a/template.json", "{")
            var told: [String] = []
            let names = try f.store.list { name, _ in told.append(name) }.map(\.name)
            #expect(names == ["b"] && told == ["a"])
            do throws(CtrError) { _ = try f.store.open("a") } catch {
                #expect(error.message.contains("damaged"))
            }
            try f.store.remove("a")
        }
    }

    @Test("A store that others may read is not used")
    func permissions() throws {
        try Fixture.with { f in
            try f.sh("mkdir -p root/templates; chmod 755 root/templates")
            do throws(CtrError) {
                try f.store.importTemplate(from: "\(f.path)/outside", name: "t")
                Issue.record("imported")
            } catch { #expect(error.code == .cannotCreate) }
        }
    }

    @Test("What a killed import left is swept by the next verb", arguments: [0, 1, 3, 7, 20, 60, 150])
    func killed(_ steps: Int) throws {
        try Fixture.with { f in
            // An archive that is read from a fifo through gzip never ends by itself: many small files, then it stalls.
            try f.sh("mkdir src; for i in $(seq 400); do echo $i >src/$i; done; head -c 3000000 /dev/urandom >src/big")
            try f.sh("tar -cf t.tar -C src .")
            let process = try ToolProcess(
                try Fixture.probe, ["\(f.path)/root", "import", "\(f.path)/t.tar", "t"], stdout: .null)
            // Killed at some moment; which one differs from run to run, and every one must do.
            try f.sh("sleep 0.\(steps < 10 ? "00" : steps < 100 ? "0" : "")\(steps)")
            _ = try process.kill()
            let state = try f.templates()
            #expect(state == [] || state == ["t"])
            f.store.sweep()
            #expect(try f.leftovers() == [])
            if state == ["t"] {
                #expect(try f.describe(f.rootfs("t")).count == (try f.describe("\(f.path)/src")).count)
            }
        }
    }

    @Test("What lives is not swept, what died half-made or half-removed is")
    func sweep() throws {
        try Fixture.with { f in
            try f.store.importTemplate(from: "\(f.path)/outside", name: "t")
            try f.sh(
                """
                cd root/templates
                mkdir -p .importing-1/rootfs/a/b .importing-2 .removing-3/rootfs .importing-live/rootfs
                : >.importing-1/lock; : >.removing-3/lock; : >.importing-live/lock; ln -s ../../../outside .removing-3/x
                """)
            let live = try Kernel.open("\(f.store.path)/.importing-live/lock", [.readOnly])
            try live.lock(.exclusive, wait: false)
            f.store.sweep()
            #expect(try f.leftovers() == [".importing-live"])
            #expect(try f.templates() == ["t"])
            try live.lock(.unlock, wait: false)
            f.store.sweep()
        }
    }

    @Test(
        "A full disk: a clear error, nothing left, the templates there untouched",
        arguments: ["reserve=0", "reserve=200000"])
    func fullDisk(_ reserve: String) throws {
        try Fixture.with { f in
            let probe = try Fixture.probe
            // zstd packs it to little, so that only the unpacked data do not fit.
            try f.sh(
                "mkdir src; for i in $(seq 9); do yes $i | head -c 1000000 >src/$i; done; tar -c src | zstd -q >t.zst")
            // In a mount namespace of the script's own.
            try f.sh(
                """
                mkdir small; unshare -m --propagation private /bin/sh -ec '
                mount -t tmpfs -o size=4m,mode=700 none small
                \(probe) \(f.path)/small import outside first reserve=0 >/dev/null
                set +e; \(probe) \(f.path)/small import t.zst t \(reserve) >out; echo $? >status; set -e
                ls -A small/templates >left; \(probe) \(f.path)/small list >list
                '
                """)
            #expect(try f.text("status") == "74\n")
            #expect(try f.text("out").contains(reserve == "reserve=0" ? "No space left" : "pace"))
            #expect(try f.text("left") == ".lock\nfirst\n")
            #expect(try f.text("list") == "first 9\n")
        }
    }

    @Test("Two imports of one name at once: one makes it")
    func race() throws {
        try Fixture.with { f in
            let probe = try Fixture.probe
            let output = try f.sh(
                """
                set +e; for i in 1 2 3 4; do { \(probe) \(f.path)/root import outside t >/dev/null; echo $?; } >rc$i & done; wait
                cat rc* | sort | tr '\\n' ' '; rm rc*
                """)
            #expect(output == "0 73 73 73 ")
            #expect(try f.templates() == ["t"])
        }
    }
}
