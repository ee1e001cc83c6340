internal import Glibc

/// What the handler writes; it may use nothing but what is set already.
private nonisolated(unsafe) var lastFile: Int32 = -1
private nonisolated(unsafe) var lastBytes: UInt64 = 0
private nonisolated(unsafe) var lastCount = 0

private func sayLastWord(_ signal: Int32) {
    _ = withUnsafeBytes(of: &lastBytes) { write(lastFile, $0.baseAddress, lastCount) }
    // Blocked until this returns; then it ends the process as it would have.
    Glibc.signal(signal, SIG_DFL)
    raise(signal)
}

/// Runs `body`; SIGHUP, SIGINT, SIGQUIT and SIGTERM, where they would end the process, write some bytes to a file first. See
/// signal-safety(7). Of two at once only the first does; ctr itself has one thread.
/// - Parameter text: 8 bytes at most.
public func withLastWord<R, E: Error>(
    _ text: String, to file: SharedFD, _ body: () throws(E) -> R
) throws(E) -> R {
    precondition(text.utf8.count <= 8)
    if lastFile >= 0 { return try body() }
    lastBytes = 0
    withUnsafeMutableBytes(of: &lastBytes) { $0.copyBytes(from: text.utf8) }
    lastCount = text.utf8.count
    lastFile = file.fd.rawValue
    let numbers = [SIGHUP, SIGINT, SIGQUIT, SIGTERM]
    var before: [sigaction] = []
    for number in numbers {
        var old = sigaction()
        var action = sigaction()
        action.__sigaction_handler.sa_handler = sayLastWord
        sigaction(number, nil, &old)
        let isDefault = old.__sigaction_handler.sa_handler == nil && old.sa_flags & SA_SIGINFO == 0
        if isDefault { sigaction(number, &action, nil) }
        before.append(old)
    }
    defer {
        for (number, action) in zip(numbers, before) {
            var action = action
            sigaction(number, &action, nil)
        }
        lastFile = -1
    }
    return try body()
}
