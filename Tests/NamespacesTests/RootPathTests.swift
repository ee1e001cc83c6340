import Kernel
import Model
import Namespaces
import Testing

/// Paths in trees that somebody else made. As root, where the kernel would let everything through.
@Suite(.requiresRoot) struct RootPathTests {
    /// - Parameter commands: run in the fixture's directory, where `tree` is the root and `outside` must stay as it is.
    private func with(_ commands: String, _ body: (Fixture, borrowing FD) throws -> Void) throws {
        try Fixture.with { (fixture) throws in
            try fixture.sh("mkdir tree; \(commands)")
            try body(fixture, try open("\(fixture.path)/tree", [.path, .directory]))
        }
    }

    private func inode(_ path: String) throws -> UInt64 { try open(path, .path).status().inode }

    private func errno(_ body: () throws -> Void) -> Int32? {
        do {
            try body()
            return nil
        } catch { return (error as? SysError)?.errno }
    }

    @Test func linksAndDotsStayInside() throws {
        try with("mkdir -p tree/etc tree/a; echo in > tree/etc/f; ln -s /etc tree/absolute; ln -s ../../../../etc tree/a/up; ln -s a tree/self") { (fixture, root) throws in
            let wanted = try inode("\(fixture.path)/tree/etc/f")
            for path in [
                "/etc/f", "etc/f", "//etc//f", "/absolute/f", "/a/up/f", "/self/up/f", "/../../etc/f", "/a/../../../etc/f",
                "/a/up/../../../etc/./f",
            ] {
                #expect(try RootPath.locate(path, in: root).status().inode == wanted, "\(path)")
            }
            let top = try root.status().inode
            for path in ["", "/", "..", "/../..", "a/../.."] {
                #expect(try RootPath.locate(path, in: root, directory: true).status().inode == top, "\(path)")
            }
            #expect(errno { _ = try RootPath.locate("/etc/f", in: root, directory: true) } == Errno.notDirectory)
            #expect(errno { _ = try RootPath.locate("/etc\0/f", in: root) } == Errno.invalid)
            #expect(errno { _ = try RootPath.locate(String(repeating: "d/", count: 3000), in: root) } == Errno.nameTooLong)
        }
    }

    @Test func magicLinksAreRefused() throws {
        let host = try open("/", [.path, .directory])
        for path in ["/proc/self/root/etc", "/proc/self/cwd", "/proc/self/exe", "/proc/thread-self/root"] {
            #expect(errno { _ = try RootPath.locate(path, in: host) } == Errno.loop, "\(path)")
        }
        #expect(errno { _ = try RootPath.read("/proc/self/exe", in: host, limit: 1 << 20) } == Errno.loop)
        // Ordinary links of /proc are none.
        _ = try RootPath.locate("/proc/mounts", in: host)
    }

    @Test func fixedDirectoriesAreNoLinks() throws {
        try with("ln -s etc tree/dev; mkdir tree/etc; touch tree/proc; ln -s nowhere tree/sys") { (_, root) throws in
            for (name, wanted) in [("dev", Errno.loop), ("sys", Errno.loop), ("proc", Errno.notDirectory)] {
                #expect(errno { _ = try RootPath.locateFixed(name, in: root) } == wanted)
                #expect(errno { _ = try RootPath.ensureFixed(name, in: root, mode: 0o755) } == wanted)
            }
            #expect(errno { _ = try RootPath.locateFixed("run", in: root) } == Errno.noEntry)
            _ = try RootPath.ensureFixed("run", in: root, mode: 0o700)
            #expect(try root.status(of: "run").permissions == 0o700)
            _ = try RootPath.ensureFixed("run", in: root, mode: 0o755)
            #expect(try root.status(of: "run").permissions == 0o700)
        }
    }

    @Test func targetsAreMadeInside() throws {
        try with("mkdir -p tree/real; ln -s ../../outside tree/out; ln -s /real tree/absolute; ln -s nowhere tree/dangling; touch tree/file") { (fixture, root) throws in
            #expect(try RootPath.ensure("/a/b/c", in: root, directory: true).status().type == .directory)
            #expect(try RootPath.ensure("/a/b/f", in: root, directory: false).status().type == .regular)
            #expect(try RootPath.ensure("/absolute/x/f", in: root, directory: false).status().type == .regular)
            #expect(try fixture.sh("ls tree/real/x") == "f\n")
            // What is there is taken as it is.
            #expect(try RootPath.ensure("/a/b", in: root, directory: false).status().type == .directory)
            #expect(errno { _ = try RootPath.ensure("/file", in: root, directory: true) } == Errno.notDirectory)
            for path in ["/out/made", "/out", "/dangling", "/dangling/x"] {
                #expect(errno { _ = try RootPath.ensure(path, in: root, directory: true) } == Errno.noEntry, "\(path)")
                #expect(errno { _ = try RootPath.ensure(path, in: root, directory: false) } != nil, "\(path)")
            }
            #expect(errno { _ = try RootPath.ensure("/file/x", in: root, directory: true) } == Errno.notDirectory)
            _ = try RootPath.ensure("/a/../../../up", in: root, directory: true)
            #expect(try fixture.sh("ls -d tree/up; ls -A outside; ls") == "tree/up\ncanary\ndisk\noutside\npoint\ntemplate\ntree\n")
        }
    }

    @Test func onlyRegularFilesAreRead() throws {
        try with("mkfifo tree/fifo; mknod tree/device c 1 5; mkdir tree/directory; echo text > tree/f; ln -s ../../../f tree/link; ln -s ../outside/canary tree/out; head -c 100000 /dev/zero > tree/large") { (_, root) throws in
            #expect(try RootPath.read("/f", in: root, limit: 10) == Array("text\n".utf8))
            #expect(try RootPath.read("/link", in: root, limit: 10) == Array("text\n".utf8))
            // Never waited for.
            #expect(errno { _ = try RootPath.read("/fifo", in: root, limit: 10) } == Errno.invalid)
            #expect(errno { _ = try RootPath.read("/device", in: root, limit: 10) } == Errno.invalid)
            #expect(errno { _ = try RootPath.read("/directory", in: root, limit: 10) } == Errno.invalid)
            #expect(errno { _ = try RootPath.read("/large", in: root, limit: 99_999) } == Errno.fileTooBig)
            #expect(try RootPath.read("/large", in: root, limit: 100_000).count == 100_000)
            #expect(errno { _ = try RootPath.read("/out", in: root, limit: 100) } == Errno.noEntry)
        }
    }

    /// Another process exchanges a directory with a link to the outside all the time.
    @Test func renamesDuringTheWalk() throws {
        try with("mkdir -p tree/a/deep; ln -s ../outside tree/b; ln -s ../../outside tree/a/deep/out") { (fixture, root) throws in
            let racer = try ToolProcess(Fixture.probe, ["race", "\(fixture.path)/tree"])
            let forbidden = try inode("\(fixture.path)/outside/canary")
            var found = 0
            for round in 0..<2000 {
                do {
                    let file = try RootPath.locate(round % 2 == 0 ? "/a/canary" : "/a/deep/out/canary", in: root)
                    #expect(try file.status().inode != forbidden)
                } catch {}
                if (try? RootPath.ensure("/a/deep/made\(round % 50)", in: root, directory: round % 3 == 0)) != nil { found += 1 }
            }
            _ = try racer.kill()
            #expect(found > 0, "the walks never met the directory")
            #expect(try fixture.sh("ls -A outside") == "canary\n")
        }
    }
}
