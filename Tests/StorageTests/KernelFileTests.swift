import Kernel
import Testing

@Suite("Whole files and tools")
struct KernelFileTests {
    @Test("A file is replaced whole, with its mode, and its temporary file goes", arguments: [true, false])
    func replace(_ durable: Bool) throws {
        try Fixture.with { f in
            let directory = try Kernel.open(f.path, [.directory])
            try f.write(".state.new", "left by a crash")
            try directory.replaceFile("state", Array("one".utf8), mode: 0o640, durable: durable)
            try directory.replaceFile("state", Array("two".utf8), mode: 0o640, durable: durable)
            #expect(try f.sh("cat state; stat -c ' %a' state; ls -A") == "two 640\noutside\nstate\n")
            #expect(try directory.readFile("state") == Array("two".utf8))
        }
    }

    @Test("A file is read whole up to the limit; links, fifos and directories are not read")
    func read() throws {
        try Fixture.with { f in
            try f.write("f", "12345")
            try f.sh("ln -s f link; mkfifo fifo; : >empty")
            let directory = try Kernel.open(f.path, [.directory])
            func errno(_ name: String, _ limit: Int = 100) -> Int32? {
                do { _ = try directory.readFile(name, limit: limit) } catch { return error.errno }
                return nil
            }
            #expect(errno("f", 5) == nil && errno("f", 4) == Errno.fileTooBig)
            #expect(errno("link") == Errno.loop && errno("fifo") == Errno.invalid && errno("outside") != nil)
            #expect(errno("none") == Errno.noEntry)
            #expect(try directory.readFile("empty") == [])
        }
    }

    @Test("A tool gets its three streams, a clean environment, default signals, and no other descriptor")
    func spawn() throws {
        try Fixture.with { f in
            let held = try Kernel.open(f.path, [.directory])
            try held.setCloseOnExec(false)
            let pipe = try Pipe()
            try pipe.writing.fd.writeAll(Array("from stdin\n".utf8))
            let output = SharedFD(try Kernel.open("\(f.path)/out", [.readWrite, .create]))
            let script =
                "read line; echo $line; ls /proc/self/fd | wc -l; env | grep -c TEST_; grep SigIgn /proc/self/status"
            let status = try ignoringSIGPIPE { () throws(SysError) in
                try ToolProcess(
                    "sh", ["-c", script], environment: ToolProcess.cleanEnvironment + ["TEST_A=1"],
                    stdin: .file(pipe.reading), stdout: .file(output), stderr: .null
                ).wait()
            }
            #expect(status == .exited(0))
            // The fourth descriptor is the one that ls reads the directory with.
            let lines = try f.text("out").split(separator: "\n")
            #expect(lines.prefix(3) == ["from stdin", "4", "1"])
            // glibc leaves its own signals 32 and 33 ignored.
            let ignored = UInt64(lines.last?.suffix(16) ?? "", radix: 16)
            #expect(ignored.map { $0 & 0x7fff_ffff } == 0)
            withExtendedLifetime(held) {}
        }
    }

    @Test("How tools end, and a tool that is not there")
    func statuses() throws {
        #expect(try ToolProcess("sh", ["-c", "exit 7"]).wait() == .exited(7))
        #expect(try ToolProcess("sh", ["-c", "kill -9 $$"]).wait() == .signaled(9))
        #expect(try ToolProcess("sleep", ["1000"]).stop() == .signaled(15))
        #expect(ToolProcess.find("no-such-tool") == nil)
        do throws(SysError) { _ = try ToolProcess("no-such-tool", []).wait() } catch {
            #expect(error.errno == Errno.noEntry)
        }
    }

    @Test("Writing to a tool that has died is an error and not our end")
    func pipe() throws {
        try ignoringSIGPIPE {
            let pipe = try Pipe()
            let writing = pipe.writing
            let status = try ToolProcess("true", [], stdin: .file(pipe.reading)).wait()
            #expect(status.succeeded)
            let broken = try Pipe().writing
            do throws(SysError) {
                try broken.fd.writeAll([1])
                Issue.record("written")
            } catch { #expect(error.errno == Errno.pipe) }
            withExtendedLifetime(writing) {}
        }
    }
}
