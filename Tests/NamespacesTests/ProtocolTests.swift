import Kernel
import Model
import Testing

@testable import Namespaces

/// What parent and child say to each other.
@Suite struct ProtocolTests {
    private func round(_ message: ChildMessage) -> ChildMessage? { ChildMessage(bytes: message.bytes) }

    @Test func everyMessageComesBackAsItWas() {
        #expect(round(.ready) == .ready)
        for path in [nil, "/a b", "ü\u{301}", "a\nb", String(repeating: "p", count: 4000)] {
            let failure = ChildFailure(step: "pivot root", error: SysError("pivot_root", Errno.busy, path))
            #expect(round(.failed(failure)) == .failed(failure), "\(path ?? "nil")")
        }
        #expect(ParentMessage(rawValue: 1) == .go && ParentMessage(rawValue: 2) == .execute)
    }

    /// An empty path is none.
    @Test func emptyFields() {
        let failure = ChildFailure(step: "", error: SysError("", 0, ""))
        #expect(round(.failed(failure)) == .failed(ChildFailure(step: "", error: SysError("", 0, nil))))
    }

    /// Step, call and errno arrive whatever the path is.
    @Test(arguments: ["a\0b", "\0", "\0\0\0", String(repeating: "é", count: 40_000)])
    func hostilePaths(path: String) throws {
        let message = ChildMessage.failed(ChildFailure(step: "execute", error: SysError("execve", Errno.invalid, path)))
        #expect(message.bytes.count <= 4096)
        guard case .failed(let failure)? = round(message) else {
            Issue.record("not understood")
            return
        }
        #expect(failure.step == "execute" && failure.error.call == "execve" && failure.error.errno == Errno.invalid)
        #expect(failure.ctrError.code == .notExecutable)
        #expect(failure.ctrError.message.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 })
    }

    @Test(arguments: [
        "", "read", "ready ", "ready\0", "\0ready", "failed", "failed\0a\0b", "failed\0a\0b\0x\0p", "failed\0a\0b\0\0p",
        "failed\0a\0b\099999999999\0p", "FAILED\0a\0b\01\0p", "\0\0\0\0\0",
    ])
    func garbage(text: String) {
        #expect(ChildMessage(bytes: Array(text.utf8)) == nil)
    }

    @Test func noBytesMakeItFail() {
        var seed: UInt64 = 42
        for count in 0..<400 {
            var bytes: [UInt8] = count % 2 == 0 ? [] : Array("failed\0".utf8)
            for _ in 0..<count {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(UInt8(truncatingIfNeeded: seed >> 56))
            }
            if case .failed(let failure)? = ChildMessage(bytes: bytes) { _ = failure.ctrError }
        }
    }

    @Test(arguments: [
        (Errno.noEntry, CtrError.Code.commandNotFound), (Errno.notDirectory, .commandNotFound),
        (Errno.access, .notExecutable), (Errno.noExec, .notExecutable), (Errno.textBusy, .notExecutable),
    ])
    func codesOfCommands(errno: Int32, code: CtrError.Code) {
        let failure = ChildFailure(step: ChildFailure.executing, error: SysError("execve", errno, "/bin/x"))
        #expect(failure.ctrError.code == code && failure.ctrError.errno == errno)
        let elsewhere = ChildFailure(step: "pivot root", error: SysError("execve", errno, "/bin/x"))
        #expect(elsewhere.ctrError.code == .failed && elsewhere.ctrError.step == "pivot root")
        #expect(elsewhere.ctrError.message == "pivot root: execve /bin/x: \(SysError.text(errno))")
    }

    /// A message that is not the one expected is named; here both are read by this process.
    @Test func theWrongMessage() throws {
        let (parent, child) = try SocketPair().split()
        try parent.fd.send([ParentMessage.execute.rawValue])
        #expect {
            try ParentMessage.go.expect(on: child)
        } throws: { error in
            (error as? SysError) == SysError("receive [2] instead of go", Errno.proto)
        }
        try parent.fd.send([1, 2])
        #expect(throws: SysError("receive [1, 2] instead of go", Errno.proto)) { try ParentMessage.go.expect(on: child) }
        try parent.fd.send([ParentMessage.go.rawValue])
        try ParentMessage.go.expect(on: child)
    }
}
