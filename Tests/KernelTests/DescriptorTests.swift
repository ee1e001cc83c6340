import Kernel
import Testing

/// Who owns a descriptor, and what reads and writes do.
@Suite struct DescriptorTests {
    /// First that a leak is seen, then that there is none.
    @Test(.requiresRoot) func leaks() throws {
        let detector = try floor("leak", "detector").split(whereSeparator: \.isWhitespace).map { Int($0)! }
        #expect(detector[1] == detector[0] + 50, "the detector sees nothing: \(detector)")
        for what in ["scope", "errors", "spawn", "receive"] {
            let counts = try floor("leak", what).split(whereSeparator: \.isWhitespace)
            #expect(counts.count == 2 && counts[0] == counts[1], "\(what): \(counts)")
        }
    }

    /// A signal every millisecond, without SA_RESTART: read, waitpid, flock, poll and recvmsg go on.
    @Test func interruptedCallsGoOn() throws {
        try Place.with { (place, _) throws in
            let output = try floor("interrupted", place.path)
            #expect(output == "true read message status 3 true\n")
        }
    }

    @Test func closedStandardStreamsAreFilled() throws {
        #expect(try floor("fill") == "[\"/dev/null\", \"/dev/null\", \"/dev/null\"] true\n")
    }

    @Test func everyDescriptorIsCloseOnExec() throws {
        func flags(_ fd: borrowing FD) throws -> String {
            let info = try Kernel.open("/proc/self/fdinfo/\(fd.procPath.split(separator: "/").last!)", .readOnly).readAll()
            let line = String(decoding: info, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("flags:") }
            return String(line?.split(separator: "\t").last ?? "")
        }
        func isCloseOnExec(_ fd: borrowing FD) throws -> Bool { try Int(flags(fd), radix: 8)! & 0o2000000 != 0 }
        let file = try open("/dev/null", .readWrite)
        #expect(try isCloseOnExec(file))
        #expect(try isCloseOnExec(try file.duplicate()))
        #expect(try isCloseOnExec(try FD.standard(2)))
        #expect(try isCloseOnExec(try open("/", [.path, .directory]).open("etc", [.path], resolve: [.beneath])))
        let pipe = try Pipe()
        #expect(try isCloseOnExec(pipe.reading.fd) && isCloseOnExec(pipe.writing.fd))
        let (first, second) = try SocketPair().split()
        #expect(try isCloseOnExec(first.fd) && isCloseOnExec(second.fd))
        try first.fd.send([1], passing: file)
        #expect(try isCloseOnExec(try #require(try second.fd.receive().descriptors.first).fd))
        try file.setCloseOnExec(false)
        #expect(try !isCloseOnExec(file))
    }

    @Test func readingToTheEnd() throws {
        try Place.with { (place, directory) throws in
            try place.sh("head -c 200000 /dev/zero > zeros; printf 'a\\nb' > text; : > empty")
            #expect(try directory.open("zeros", .readOnly).readAll(limit: 200_000).count == 200_000)
            #expect(thrown { _ = try directory.open("zeros", .readOnly).readAll(limit: 199_999) } == Errno.fileTooBig)
            #expect(try directory.open("empty", .readOnly).readAll(limit: 0) == [])
            #expect(try directory.open("text", .readOnly).readLine(limit: 10) == Array("a\nb".utf8))
            #expect(thrown { _ = try directory.open("text", .readOnly).readLine(limit: 2) } == Errno.fileTooBig)
            #expect(thrown { _ = try directory.open("text", .writeOnly).read(upTo: 1) } == Errno.badFile)
            #expect(thrown { try directory.open("text", .readOnly).writeAll([1]) } == Errno.badFile)
            #expect(thrown { _ = try open("/dev/full", .writeOnly).writeAll([1]) } == Errno.noSpace)
        }
    }

    @Test func writingAllThroughAPipe() throws {
        let pipe = try Pipe()
        let reader = try ToolProcess("sh", ["-c", "test $(wc -c) = 1000000"], stdin: .file(pipe.reading))
        try pipe.writing.fd.writeAll([UInt8](repeating: 7, count: 1_000_000))
        let (_, writing) = (0, pipe.writing)
        try writing.fd.setNonBlocking(true)
        #expect(thrown { while true { try writing.fd.writeAll([UInt8](repeating: 7, count: 1 << 20)) } } == Errno.again)
        #expect(try reader.kill() == .signaled(Signal.kill))
    }

    @Test func locks() throws {
        try Place.with { (place, directory) throws in
            let one = try directory.open("lock", [.create, .readWrite])
            let two = try directory.open("lock", .readWrite)
            try one.lock(.shared, wait: false)
            try two.lock(.shared, wait: true)
            #expect(thrown { try two.lock(.exclusive, wait: false) } == Errno.again)
            try one.lock(.unlock, wait: false)
            try two.lock(.exclusive, wait: false)
            #expect(thrown { try one.lock(.shared, wait: false) } == Errno.again)
        }
    }
}
