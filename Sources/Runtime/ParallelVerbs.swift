internal import Kernel
public import Model

/// The same verb for several VPSs at once, each in a process of its own: this program, called anew.
public enum ParallelVerbs {
    /// In the environment of each: it is one of several on the same terminal.
    private static let mark = "CTR_ONE_OF_SEVERAL"

    /// Whether this process is one of them, and the terminal not its own to draw on.
    public static var isOne: Bool { CurrentProcess.environment(mark) != nil }

    /// What one of them said and returned. Its errors went to our own standard error.
    public struct Result: Sendable {
        public var status: Int32
        public var output: [UInt8]
    }

    /// Runs every command, at most `width` at a time.
    /// - Parameters:
    ///   - commands: the words after the program's name.
    ///   - finished: called with a command's index as each ends, in the order of their ends.
    public static func run(
        _ commands: [[String]], width: Int, finished: (Int, Result) throws(CtrError) -> Void
    ) throws(CtrError) {
        var waiting = Array(commands.enumerated())[...]
        var running: [Child] = []
        while !waiting.isEmpty || !running.isEmpty {
            while running.count < width, let (index, words) = waiting.popFirst() {
                running.append(try Child(index, words))
            }
            let ended = try describing("wait") { () throws(SysError) in try Child.waitForOne(of: running) }
            for index in ended.reversed() {
                let child = running.remove(at: index)
                try finished(child.index, try child.result())
            }
        }
    }

    private final class Child {
        let index: Int
        private let output: SharedFD
        private let handle: ProcessHandle
        private let pid: Int32

        init(_ index: Int, _ words: [String]) throws(CtrError) {
            self.index = index
            do throws(SysError) {
                output = SharedFD(try MemoryFile.make())
                let tool = try ToolProcess(
                    "/proc/self/exe", words, environment: Settings.environment + ["\(mark)=1"],
                    stdout: .file(output))
                pid = tool.pid
                handle = try ProcessHandle(pid: tool.pid)
                tool.detach()
            } catch { throw CtrError(.failed, "start ctr \(words.joined(separator: " "))", cause: error) }
        }

        func result() throws(CtrError) -> Result {
            try describing("result of ctr") { () throws(SysError) in
                let status = try handle.wait()
                return Result(
                    status: status.code, output: try MemoryFile.contents(of: output.fd, limit: 16 << 20))
            }
        }

        static func waitForOne(of children: [Child]) throws(SysError) -> [Int] {
            var poll = Poll()
            for child in children { poll.add(child.handle.pidfd, .readable) }
            let ready = try poll.wait()
            return children.indices.filter { ready[$0].contains(.readable) }
        }
    }
}
