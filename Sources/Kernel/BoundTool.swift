internal import Glibc

/// A program that ends when we do, however that happens: SIGKILL from the kernel. What it has started by then lives on.
public struct BoundTool: ~Copyable {
    private let handle: ProcessHandle

    /// Starts it. The caller must have one thread.
    /// - Parameters:
    ///   - arguments: those after argv[0].
    ///   - streams: its three standard streams; nothing is on them where there are none.
    ///   - handed: open files that it finds as descriptors 3, 4 and so on.
    public init(
        _ path: String, _ arguments: [String], environment: [String], streams: [SharedFD] = [],
        handed: [SharedFD] = []
    ) throws(SysError) {
        let null = SharedFD(try open("/dev/null", .readWrite))
        // Above what those before become.
        var files: [SharedFD] = []
        for file in (streams.isEmpty ? [null, null, null] : streams) + handed {
            files.append(SharedFD(try file.fd.duplicate(minimum: 3 + handed.count)))
        }
        let parent = getpid()
        switch try clone([]) {
        case .child:
            do throws(SysError) {
                try CurrentProcess.setParentDeathSignal(SIGKILL)
                if getppid() != parent { CurrentProcess.exitNow(125) }
                for (index, file) in files.enumerated() { try file.fd.become(Int32(index)) }
                try CurrentProcess.closeOnExec(from: UInt32(files.count))
                CurrentProcess.resetSignals()
                try CurrentProcess.execute(path, arguments: [path] + arguments, environment: environment)
            } catch { CurrentProcess.exitNow(error.errno == ENOENT ? 127 : 126) }
        case .parent(let child): handle = child
        }
    }

    /// Waits for its end, at most so many milliseconds; returns whether it has ended.
    public borrowing func waitForEnd(milliseconds: Int32) throws(SysError) -> Bool {
        try handle.waitForEnd(milliseconds: milliseconds)
    }

    /// Ends it with SIGKILL and waits.
    public consuming func kill() { handle.killChild() }

    /// Waits for its end.
    public consuming func wait() throws(SysError) -> ToolProcess.Status {
        switch try handle.wait() {
        case .exited(let status): return .exited(status)
        case .signaled(let signal): return .signaled(signal)
        }
    }
}
