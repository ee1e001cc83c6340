import Glibc
import Kernel
import Testing

@testable import Runtime

/// What a VPS's init says of itself, hostile words included.
@Suite struct ReadinessTests {
    private func message(_ text: String) -> ReadyMessage { ReadyMessage(datagram: Array(text.utf8)) }

    @Test func systemdsMessages() {
        #expect(message("READY=1\nSTATUS=Startup finished in 722ms.").isReady)
        #expect(message("READY=1\nSTATUS=Startup finished in 722ms.").status == "Startup finished in 722ms.")
        #expect(message("STATUS=a\nREADY=1\n") == message("READY=1\nSTATUS=b\nX_SYSTEMD_A=1\nSTATUS=a\nMAINPID=1"))
    }

    @Test(arguments: [
        "", "READY", "READY=", "READY=0", "READY=11", " READY=1", "READY=1 ", "ready=1", "READY=1\0", "STATUS=READY=1",
        "X\u{0}READY=1", "READY=1\r",
    ])
    func isNotReady(_ text: String) {
        #expect(!message(text).isReady)
    }

    @Test func statusIsBoundedAndHarmless() {
        #expect(message("STATUS=\u{1b}[2Jred\u{7}").status.map { $0.utf8.allSatisfy { $0 >= 32 && $0 != 127 } } == true)
        #expect(message("STATUS=").status == nil)
        for text in [String(repeating: "x", count: 4000), String(repeating: "\u{1b}", count: 4000), "é\u{301}"] {
            let status = message("STATUS=\(text)").status
            #expect((1...ReadyMessage.longestStatus).contains(status?.utf8.count ?? 0), "\(status ?? "none")")
        }
        let broken = ReadyMessage(datagram: Array("STATUS=".utf8) + [0xff, 0xc0, 0x80] + Array("\nREADY=1".utf8))
        #expect(broken.isReady)
        #expect(broken.status != nil)
        // What lies beyond the limit is not looked at.
        #expect(!message(String(repeating: "\n", count: ReadyMessage.longest) + "READY=1").isReady)
    }

    // MARK: the socket

    /// A socket in a directory of the test, and a way to send to it.
    private func withListener(_ body: (inout ReadyListener, (String) -> Int) throws -> Void) throws {
        let path = "/tmp/ctr-ready-test-\(UInt32.random(in: .min ... .max))"
        try open("/tmp", [.directory]).makeDirectory(path, mode: 0o700)
        defer { try? open("/tmp", [.directory]).removeTree(String(path.dropFirst(5))) }
        let directory = try open(path, [.path, .directory])
        var listener = ReadyListener(SharedFD(try directory.bindDatagramSocket("notify")))
        #expect(try directory.open("notify", [.path]).status().permissions == 0o600)
        let sender = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        defer { close(sender) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array("\(path)/notify".utf8)) }
        try body(&listener) { text in
            let bytes = Array(text.utf8)
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(sender, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }

    @Test func listensUntilReady() throws {
        try withListener { (listener, send) throws in
            #expect(try listener.take() == .waiting)
            #expect(send("STATUS=one") == 10)
            #expect(send("STATUS=two\n") == 11)
            #expect(try listener.take() == .waiting)
            #expect(listener.status == "two")
            // Longer than any that counts, whatever it begins with; and an empty one.
            #expect(send("READY=1\n" + String(repeating: "x", count: ReadyMessage.longest)) > 0)
            #expect(send("") == 0)
            #expect(try listener.take() == .waiting)
            #expect(send("READY=1") == 7)
            #expect(try listener.take() == .ready)
            #expect(listener.status == "two")
        }
    }

    @Test func aBabblerIsNotHeardForEver() throws {
        try withListener { (listener, send) throws in
            var sent = 0
            var state = ReadyListener.State.waiting
            while state == .waiting, sent < 3 * ReadyListener.most {
                while send("STATUS=\(sent)") > 0 { sent += 1 }
                // One turn takes only so many: some of a full queue of ten or more are left only beyond that.
                state = try listener.take()
            }
            #expect(state == .babbling)
            #expect(sent >= ReadyListener.most)
        }
    }

    // MARK: the marker

    /// Looks into the root of a process; `prepare` is a shell script in it, beside `outside/run/host/ready`.
    private func marker(_ prepare: String) throws -> Bool {
        let name = "ctr-ready-test-\(UInt32.random(in: .min ... .max))"
        try open("/tmp", [.directory]).makeDirectory("/tmp/\(name)", mode: 0o700)
        defer { try? open("/tmp", [.directory]).removeTree(name) }
        let script = """
            cd /tmp/\(name) && mkdir -p root outside/run/host && : > outside/run/host/ready &&
            cp /bin/busybox root/ && cd root && { \(prepare)
            }
            """
        try #require(try ToolProcess("sh", ["-c", script]).wait() == .exited(0))
        let process = try ToolProcess("chroot", ["/tmp/\(name)/root", "/busybox", "sleep", "1000"])
        // chroot(8) executes busybox in the new root.
        let inside = { try open("/proc/\(process.pid)/cmdline", [.readOnly]).readAll().starts(with: "/busybox".utf8) }
        while try !inside() { CurrentProcess.sleep(milliseconds: 5) }
        return try Readiness.marker(of: process.pid)
    }

    @Test(
        .enabled(if: getuid() == 0, "needs root"),
        arguments: [
            (":", false), ("mkdir -p run/host", false), ("mkdir -p run/host; : > run/host/ready", true),
            ("mkdir -p run/host/ready", true), ("mkdir -p run/host; mkfifo run/host/ready", true),
            // No link is followed, to wherever it leads.
            ("mkdir run; ln -s ../../outside/run/host run/host", false), ("ln -s ../outside/run run", false),
            ("mkdir -p run/host there; : > there/ready; rmdir run/host; ln -s ../there run/host", false),
            (": > run", false),
        ])
    func looksForTheMarker(_ prepare: String, _ found: Bool) throws {
        #expect(try marker(prepare) == found)
    }

    @Test func aProcessThatHasEnded() {
        // Above the highest number that a kernel gives.
        #expect(throws: SysError.self) { try Readiness.marker(of: 1 << 23) }
    }
}
