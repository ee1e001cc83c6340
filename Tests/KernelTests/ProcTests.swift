import Foundation
import Kernel
import Testing

/// What /proc says of processes, whatever they call themselves, and processes that must not outlive us.
@Suite struct ProcTests {
    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined()
    }

    /// A guest names its first process; ctr must find it all the same, or it could be neither stopped nor destroyed.
    @Test func startTimeOfAProcessThatNamesItself() throws {
        let names: [[UInt8]] = [
            Array("a) S 1 1 1 1 1".utf8), Array(")))".utf8), Array("(".utf8), Array("a b\tc".utf8),
            Array("\u{600}".utf8),
            Array(") 1\u{600}".utf8), Array(") 1 \u{110BD}".utf8), [0xFF, 0xC3], Array("a\r".utf8),
            Array("a\nSigCgt:".utf8),
        ]
        let lines = try floor(["start-time"] + names.map(hex)).split(separator: "\n")
        #expect(lines.count == names.count + 1)
        #expect(Set(lines).count == 1, "\(lines)")
        #expect(lines[0].hasSuffix(" standard"))
    }

    @Test func startTimeOfOthers() throws {
        let own = try ProcFiles.startTime(of: getpid())
        #expect(try ProcFiles.startTime(of: getpid()) == own)
        let tool = try ToolProcess("sleep", ["1000"])
        #expect(try ProcFiles.startTime(of: tool.pid) >= own)
        let pid = tool.pid
        _ = try tool.kill()
        #expect(thrown { _ = try ProcFiles.startTime(of: pid) } == Errno.noEntry)
    }

    @Test func dispositions() throws {
        #expect(
            try floor("dispositions")
                == "standard ignored handled handled ignored ignored standard standard standard standard\n")
        #expect(thrown { _ = try ProcFiles.disposition(of: Int32.max, 15) } == Errno.noEntry)
    }

    @Test(.requiresRoot) func aUserNamespaceIsHeldByNobody() throws {
        #expect(try floor("user-namespace") == "true true ''\n")
    }

    /// ctr is killed while a helper process holds the namespace open.
    @Test(.requiresRoot) func theHelperDiesWithItsParent() throws {
        var line = ""
        try Place.with { (place, directory) throws in
            _ = try floor(["orphan", place.path], ends: .signaled(Signal.kill))
            line = String(decoding: try directory.readFile("orphan"), as: UTF8.self)
        }
        let words = line.split(separator: " ")
        let pid = try #require(Int32(words[0]))
        do throws(SysError) {
            let process = try ProcessHandle(pid: pid)
            guard try ProcFiles.startTime(of: pid) == UInt64(words[1]) else { return }
            var poll = Poll()
            poll.add(process.pidfd, .readable)
            let ended = try poll.wait(milliseconds: 30_000)[0].contains(.readable)
            if !ended { try process.signal(Signal.kill) }
            #expect(ended)
        } catch { #expect(error.errno == Errno.noProcess || error.errno == Errno.noEntry) }
    }

    @Test func timestamps() {
        #expect(Timestamp.text(seconds: 0) == "1970-01-01T00:00:00Z")
        #expect(Timestamp.text(seconds: 951_782_400) == "2000-02-29T00:00:00Z")
        #expect(Timestamp.text(seconds: -1) == "1969-12-31T23:59:59Z")
    }

    /// It is written out for the sake of speed.
    @Test func toolsAreFoundWhereTheirEnvironmentSays() {
        #expect(ToolProcess.cleanEnvironment.first == "PATH=" + ToolProcess.searchPath.joined(separator: ":"))
    }
}
