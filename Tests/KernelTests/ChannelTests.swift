import Kernel
import Testing

/// Messages with descriptors, polls, signals.
@Suite struct ChannelTests {
    @Test func messagesKeepTheirBounds() throws {
        let (one, two) = try SocketPair().split()
        try one.fd.send([1, 2, 3])
        try one.fd.send([])
        try one.fd.send([UInt8](repeating: 9, count: 4096))
        #expect(try two.fd.receive().bytes == [1, 2, 3])
        #expect(try two.fd.receive().bytes == [])
        #expect(try two.fd.receive().bytes.count == 4096)
        // What is longer is cut, not carried over.
        try one.fd.send([UInt8](repeating: 9, count: 5000))
        try one.fd.send([4])
        #expect(try two.fd.receive().bytes.count == 4096)
        #expect(try two.fd.receive().bytes == [4])
    }

    @Test func descriptorsTravel() throws {
        try Place.with { (place, directory) throws in
            try place.sh("echo text > f")
            let (one, two) = try SocketPair().split()
            try one.fd.send(Array("here".utf8), passing: try directory.open("f", .readOnly))
            try one.fd.send([1])
            let message = try two.fd.receive()
            #expect(message.bytes == Array("here".utf8) && message.descriptors.count == 1)
            #expect(try message.descriptors[0].fd.readAll() == Array("text\n".utf8))
            #expect(try two.fd.receive().descriptors.isEmpty)
        }
    }

    @Test func theOtherEndIsGone() throws {
        var pair: (SharedFD, SharedFD)? = try SocketPair().split()
        let one = pair!.0
        try pair!.1.fd.send([7])
        pair = nil
        // What was said before is still to be read.
        #expect(try one.fd.receive().bytes == [7])
        #expect(try one.fd.receive().bytes == [])
        #expect(thrown { try one.fd.send([1]) } == Errno.pipe)
    }

    @Test func pollSaysWhichIsReady() throws {
        let (one, two) = try SocketPair().split()
        let pipe = try Pipe()
        var poll = Poll()
        #expect(poll.add(one.fd, .readable) == 0)
        #expect(poll.add(pipe.reading.fd, .readable) == 1)
        #expect(poll.add(pipe.writing.fd, [.readable, .writable]) == 2)
        #expect(try poll.wait(milliseconds: 0) == [[], [], .writable])
        try two.fd.send([1])
        try pipe.writing.fd.writeAll([1])
        #expect(try poll.wait() == [.readable, .readable, .writable])
        _ = try one.fd.receive()
        #expect(try poll.wait(milliseconds: 0) == [[], .readable, .writable])
    }

    @Test func pollSeesTheEnd() throws {
        var pipe: Pipe? = try Pipe()
        let reading = pipe!.reading
        pipe = nil
        var poll = Poll()
        poll.add(reading.fd, .readable)
        #expect(try poll.wait()[0].contains(.hangup))
        let tool = try ToolProcess("true", [])
        let process = try ProcessHandle(pid: tool.pid)
        var end = Poll()
        end.add(process.pidfd, .readable)
        #expect(try end.wait()[0].contains(.readable))
        #expect(try tool.wait() == .exited(0))
        #expect(thrown { try process.signal(Signal.terminate) } == Errno.noProcess)
    }

    @Test func signalsAreData() throws {
        #expect(try floor("signals") == "true true [10, 15]\n")
    }

    @Test func howProcessesEnd() throws {
        for (command, wanted) in [("exit 7", ExitStatus.exited(7)), ("kill -9 $$", .signaled(9)), ("exit 255", .exited(255))] {
            let tool = try ToolProcess("sh", ["-c", command])
            #expect(try ProcessHandle(pid: tool.pid).wait() == wanted)
            tool.detach()
        }
        #expect(ExitStatus.exited(7).code == 7 && ExitStatus.signaled(9).code == 137)
        // Not our child.
        #expect(thrown { _ = try ProcessHandle(pid: 1).wait() } == Errno.noChild)
        #expect(thrown { _ = try ProcessHandle(pid: Int32.max) } == Errno.noProcess)
    }
}
