import CLinux
import Glibc
import Kernel

/// Parts of the kernel floor that change or count what belongs to the whole process.
func floor(_ words: [String]) throws {
    switch words.first {
    case "leak": try leak(words[1])
    case "interrupted": try interrupted(words[1])
    case "signals": try signals()
    case "start-time": try startTime(Array(words.dropFirst()))
    case "dispositions": try dispositions()
    case "fill": try fill()
    case "execute": try execute(Array(words.dropFirst()))
    case "user-namespace": try userNamespace()
    case "orphan": try orphan(words[1])
    case "remove-mount": try removeMount(words[1])
    case "remove-deep": try removeDeep(words[1])
    default: exitProcess(64)
    }
}

private func openDescriptors() throws -> Int {
    // Without the one that looks.
    try open("/proc/self/fd", [.readOnly, .directory]).entries().count - 1
}

/// Prints how many descriptors were open before and after.
private func leak(_ what: String) throws {
    let before = try openDescriptors()
    for _ in 0..<50 {
        switch what {
        case "detector": _ = try open("/dev/null", .readOnly).release()
        case "scope": try closeEverything()
        case "errors": try failEverywhere()
        case "spawn": _ = try ToolProcess("true", []).wait()
        case "receive": try receiveMany()
        default: exitProcess(64)
        }
    }
    try say("\(before) \(try openDescriptors())")
}

private func closeEverything() throws {
    let file = try open("/dev/null", .readOnly)
    let copy = try file.duplicate()
    let shared = SharedFD(copy)
    var list = [shared, SharedFD(try open("/", [.path, .directory]))]
    list.removeLast()
    let pair = try SocketPair()
    let (first, second) = pair.split()
    try first.fd.send([1], passing: file)
    _ = try second.fd.receive()
    _ = try Kernel.Pipe()
    _ = try ProcessHandle(pid: CurrentProcess.pid)
}

private func failEverywhere() throws {
    do { _ = try ToolProcess("/nowhere", []) } catch {}
    do { _ = try ToolProcess("/etc/passwd", []) } catch {}
    do { _ = try FileSystemContext("tmpfs").set("no such option") } catch {}
    do { _ = try FileSystemContext("tmpfs").set("size", "much") } catch {}
    do {
        _ = try makeUserNamespace([IDMap(container: 0, host: 5, size: 9), IDMap(container: 3, host: 70, size: 9)])
    } catch {}
    do { _ = try open("/", [.readOnly, .directory]).open("no/such", .readOnly) } catch {}
    do { _ = try open("/dev/null", .readOnly).openTerminalPeer() } catch {}
}

/// As many as one message can carry, none of them kept.
private func receiveMany() throws {
    let pair = try SocketPair()
    let null = try open("/dev/null", .readOnly)
    var numbers = [Int32](repeating: null.procNumber, count: 16)
    let sent = ctr_send_fds(pair.first.procNumber, [UInt8](repeating: 7, count: 4096), 4096, &numbers, 16)
    guard sent == 4096, try pair.second.receive().descriptors.count == 16 else { exitProcess(1) }
}

extension FD {
    fileprivate var procNumber: Int32 { Int32(procPath.split(separator: "/").last!)! }
}

nonisolated(unsafe) private var interruptions = 0

/// A signal arrives every millisecond, and its handler does not restart system calls.
private func interrupted(_ directory: String) throws {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in interruptions += 1 }
    sigaction(SIGALRM, &action, nil)
    var every = itimerval(
        it_interval: timeval(tv_sec: 0, tv_usec: 1000), it_value: timeval(tv_sec: 0, tv_usec: 1000))
    setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &every, nil)
    let pipe = try Kernel.Pipe()
    let tool = try ToolProcess("sh", ["-c", "sleep 0.1; echo read; sleep 0.1; exit 3"], stdout: .file(pipe.writing))
    let bytes = try pipe.reading.fd.read(upTo: 64)
    let status = try tool.wait()

    let lock = try open("\(directory)/lock", [.create, .readWrite])
    let holder = try ToolProcess(
        "flock", ["\(directory)/lock", "sh", "-c", "echo held; sleep 0.1"], stdout: .file(pipe.writing))
    _ = try pipe.reading.fd.read(upTo: 64)
    try lock.lock(.exclusive, wait: true)
    _ = try holder.wait()

    let sleeper = try ToolProcess("sleep", ["0.1"])
    let handle = try ProcessHandle(pid: sleeper.pid)
    var poll = Poll()
    poll.add(handle.pidfd, .readable)
    let ready = try poll.wait()[0].contains(.readable)
    _ = try sleeper.wait()

    let pair = try SocketPair()
    let (first, second) = pair.split()
    let writer = try ToolProcess("sh", ["-c", "sleep 0.1; printf message >&0"], stdin: .file(first))
    let message = try second.fd.receive().bytes
    _ = try writer.wait()
    var off = itimerval()
    setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &off, nil)
    let seen = "\(String(decoding: bytes + message, as: UTF8.self).replacing("\n", with: " ")) \(status.text) \(ready)"
    try say("\(interruptions > 20) \(seen)")
}

private func signals() throws {
    let queue = try SignalQueue([Signal.user1, Signal.terminate])
    let none = try queue.next()
    raise(SIGUSR1)
    raise(SIGUSR1)
    raise(SIGTERM)
    var poll = Poll()
    poll.add(queue.fd, .readable)
    let ready = try poll.wait(milliseconds: 0)[0].contains(.readable)
    var got: [Int32] = []
    while let signal = try queue.next() { got.append(signal) }
    try say("\(none == nil) \(ready) \(got.sorted())")
}

/// Names itself so, in hexadecimal bytes, and prints its start time before and after.
private func startTime(_ names: [String]) throws {
    for name in [""] + names {
        if !name.isEmpty {
            let bytes = stride(from: 0, to: name.utf8.count, by: 2).map { offset in
                UInt8(name.dropFirst(offset).prefix(2), radix: 16)!
            }
            try open("/proc/self/comm", .writeOnly).writeAll(bytes)
        }
        try say("\(try ProcFiles.startTime(of: CurrentProcess.pid)) \(try disposition(SIGWINCH))")
    }
}

private func disposition(_ signal: Int32) throws -> ProcFiles.Disposition {
    try ProcFiles.disposition(of: CurrentProcess.pid, signal)
}

private func dispositions() throws {
    CurrentProcess.resetSignals()
    var seen = [try disposition(SIGUSR1)]
    signal(SIGUSR1, SIG_IGN)
    seen.append(try disposition(SIGUSR1))
    signal(SIGUSR1) { _ in }
    seen.append(try disposition(SIGUSR1))
    signal(SIGUSR1, SIG_DFL)
    let queue = try SignalQueue([SIGUSR1])
    seen.append(try disposition(SIGUSR1))
    _ = queue.fd.isTerminal
    // The first and the last bit of the masks.
    signal(SIGHUP, SIG_IGN)
    _ = ctr_set_signal_ignored(64)
    seen += [try disposition(SIGHUP), try disposition(64), try disposition(63)]
    CurrentProcess.resetSignals()
    seen += [try disposition(SIGUSR1), try disposition(SIGHUP), try disposition(64)]
    try say(seen.map { "\($0)" }.joined(separator: " "))
}

private func fill() throws {
    let out = try FD.standard(1)
    for number in Int32(0)...2 { close(number) }
    try CurrentProcess.fillStandardDescriptors()
    let next = try open("/", [.path, .directory])
    var links: [String] = []
    let directory = try open("/proc/self/fd", [.readOnly, .directory])
    for number in 0...2 { links.append(try directory.readLink("\(number)").description) }
    try out.writeAll(Array("\(links) \(next.procNumber > 2)\n".utf8))
}

/// `\0` in a word stands for NUL.
private func execute(_ words: [String]) throws {
    let words = words.map { $0.replacing("\\0", with: "\0") }
    do throws(SysError) {
        try CurrentProcess.execute(words[0], arguments: words, environment: ["A=1"])
    } catch { try say("\(error.call) \(error.errno)") }
}

private func userNamespace() throws {
    let own = try open("/proc/self/ns", [.readOnly, .directory]).readLink("user")
    let made = try makeUserNamespace([IDMap(container: 0, host: 1_900_000_000, size: 65536)])
    let link = try open("/proc/self/fd", [.readOnly, .directory]).readLink("\(made.procNumber)")
    let children = try text("/proc/self/task/\(CurrentProcess.pid)/children")
    try say("\(own != link) \(link.description.hasPrefix("user:[")) '\(children)'")
}

/// What is left when ctr is killed while it makes a user namespace; its number and start time go into DIRECTORY/orphan,
/// since it would hold the pipe open that the test reads.
private func orphan(_ directory: String) throws {
    for number in Int32(0)...2 { close(number) }
    try CurrentProcess.fillStandardDescriptors()
    let stack = UnsafeMutableRawPointer.allocate(byteCount: 65536, alignment: 4096)
    var pidfd: Int32 = -1
    let pid = ctr_clone_userns_holder(stack, 65536, &pidfd)
    // It has come as far as it gets when it sleeps.
    while try !text("/proc/\(pid)/stat").contains(") S ") {}
    let line = "\(pid) \(try ProcFiles.startTime(of: Int32(pid)))"
    try open("\(directory)/orphan", [.create, .writeOnly]).writeAll(Array(line.utf8))
    kill(getpid(), SIGKILL)
}

/// Whether a file system mounted in a tree survives the tree's removal.
private func removeMount(_ directory: String) throws {
    try unshare(.mount)
    try makeMountsPrivate()
    let parent = try open(directory, [.readOnly, .directory])
    try parent.makeDirectory("tree", mode: 0o755)
    let tree = try parent.open("tree", [.readOnly, .directory])
    try tree.makeDirectory("mounted", mode: 0o755)
    try FileSystemContext("tmpfs").mount().attach(to: try tree.open("mounted", [.path, .directory]))
    let mounted = try tree.open("mounted", [.readOnly, .directory])
    try mounted.makeDirectory("kept", mode: 0o755)
    do throws(SysError) { try parent.removeTree("tree") } catch {
        return try say("\(error.errno == Errno.crossDevice) \(try mounted.entries().map(\.name.description))")
    }
    try say("removed")
}

/// A tree of 3000 levels, with names in the way of those that its removal uses, by a process with 100 descriptors.
private func removeDeep(_ directory: String) throws {
    try setResourceLimit(of: 0, Int32(RLIMIT_NOFILE.rawValue), soft: 100, hard: 100)
    let parent = try open(directory, [.readOnly, .directory])
    var level = try parent.ensureDirectory("tree", mode: 0o755)
    _ = try level.open(".lifted-1", [.create, .writeOnly])
    _ = try level.ensureDirectory(".lifted-2", mode: 0o755).open("f", [.create, .writeOnly])
    for _ in 0..<3000 {
        _ = try level.open("f", [.create, .writeOnly])
        _ = try level.ensureDirectory("beside", mode: 0o755)
        level = try level.ensureDirectory("d", mode: 0o755)
    }
    try parent.removeTree("tree")
    try say("removed")
}
