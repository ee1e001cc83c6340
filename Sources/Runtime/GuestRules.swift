internal import Checkpoint
internal import Kernel
internal import Model
internal import Network

/// The packet filter that a guest with an interface of ctr's has set up for itself, in its own network namespace: `rules.nft`
/// of a checkpoint, by nft(8).
enum GuestRules {
    /// Before anything stands still.
    static func save(_ record: SuspendRecord, in unfinished: SharedFD, of name: String) throws(CtrError) {
        guard record.config.hasInterface else { return }
        let status = try describing("packet filter of VPS \(name)", code: .failed) { () throws(SysError) in
            let file = SharedFD(
                try unfinished.fd.open(CheckpointFiles.rules, [.writeOnly, .create, .exclusive], mode: 0o600))
            return try inNetwork(of: record.pid) { () throws(SysError) -> ToolProcess.Status in
                if (try? GuestFilter.hasTables()) == false { return .exited(0) }
                return try bounded(["--stateless", "list", "ruleset"], stdout: .file(file)).wait()
            }
        }
        try check(status, name)
        try check(unfinished, name)
    }

    /// nft(8), which a guest could keep busy or have fill the host's memory or disk: it gets 20 s of a processor, 1 GiB and a
    /// file of ``limit`` bytes.
    private static func bounded(
        _ words: [String], stdin: ToolProcess.Stream = .null, stdout: ToolProcess.Stream = .null
    ) throws(SysError) -> ToolProcess {
        let bounds = ["--cpu=20:20", "--as=\(1 << 30)", "--fsize=\(limit)", "--core=0"]
        return try ToolProcess("prlimit", bounds + ["nft"] + words, stdin: stdin, stdout: stdout, stderr: .null)
    }

    /// Bytes of rules.
    private static let limit = 1 << 20

    private static func check(_ status: ToolProcess.Status, _ name: String) throws(CtrError) {
        if status.succeeded { return }
        let why =
            switch status {
            case .signaled(Signal.fileTooBig): "more than 1 MiB of rules (flush what it can do without)"
            case .signaled(Signal.processorTime), .signaled(Signal.kill): "nft took more than 20 s for its rules"
            default: "nft failed (\(status.text))"
            }
        throw CtrError(.failed, "packet filter of VPS \(name): \(why)")
    }

    /// nft(8) is run by the host's root, and names and comments are printed as the guest has set them, quotes and line feeds
    /// included: they must not have it read files of the host.
    private static func check(_ checkpoint: SharedFD, _ name: String) throws(CtrError) {
        let bytes: [UInt8]
        do throws(SysError) { bytes = try checkpoint.fd.readFile(CheckpointFiles.rules, limit: limit) } catch {
            let why = error.errno == Errno.fileTooBig ? "more than 1 MiB of rules" : "can't be read"
            throw CtrError(.failed, "packet filter of VPS \(name): \(why)", cause: error)
        }
        if includesFile(bytes) {
            throw CtrError(
                .failed,
                "packet filter of VPS \(name): it has the word 'include' in it, by which nft would read files of the host "
                    + "(rename the table, chain, set or comment inside)")
        }
    }

    /// Whether these letters are in it anywhere, within longer words too: where nft sees a word begin, after an error for one,
    /// is its own affair.
    static func includesFile(_ rules: [UInt8]) -> Bool {
        let word = Array("include".utf8)
        return rules.indices.contains { rules[$0] == word[0] && rules[$0...].starts(with: word) }
    }

    /// Into an empty one, whose loopback comes up too.
    static func load(into pid: Int32, from checkpoint: SharedFD, of name: String) throws(CtrError) {
        try check(checkpoint, name)
        let status = try describing("packet filter of VPS \(name)", code: .failed) { () throws(SysError) in
            let file = SharedFD(try checkpoint.fd.open(CheckpointFiles.rules, [.readOnly, .noFollow]))
            return try inNetwork(of: pid) { () throws(SysError) -> ToolProcess.Status in
                try CurrentProcess.bringLoopbackUp()
                if try file.fd.status().size == 0 { return .exited(0) }
                return try bounded(["--file", "-"], stdin: .file(file)).wait()
            }
        }
        try check(status, name)
    }

    /// Takes away what a criu that was killed has locked the network with.
    static func unlock(_ pid: Int32) throws(SysError) {
        try inNetwork(of: pid) { () throws(SysError) in
            for table in try tables() where isLock(table) {
                _ = try bounded(["delete", "table", "inet", String(table.dropFirst(lock.utf8.count))]).wait()
            }
        }
    }

    private static let lock = "table inet "

    /// criu's are named by a UUID.
    private static func isLock(_ line: Substring) -> Bool {
        guard line.hasPrefix(lock), case let name = line.dropFirst(lock.utf8.count), name.hasPrefix("CRIU-") else {
            return false
        }
        return name.utf8.allSatisfy {
            $0 == 45 || (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
        }
    }

    private static func tables() throws(SysError) -> [Substring] {
        var reading: SharedFD?
        let tool = try list(&reading)
        let bytes = (try? reading?.fd.readAll(limit: limit)) ?? []
        reading = nil
        _ = try tool.wait()
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    /// The pipe's writing end is the tool's alone.
    private static func list(_ reading: inout SharedFD?) throws(SysError) -> ToolProcess {
        let pipe = try Pipe()
        reading = pipe.reading
        return try bounded(["list", "tables"], stdout: .file(pipe.writing))
    }

    /// With this process, and what it starts, in the network namespace of another.
    private static func inNetwork<R>(of pid: Int32, _ body: () throws(SysError) -> R) throws(SysError) -> R {
        let own = try open("/proc/self/ns/net", [.readOnly])
        try open("/proc/\(pid)/ns/net", [.readOnly]).join(.network)
        let result: R
        do throws(SysError) { result = try body() } catch {
            try own.join(.network)
            throw error
        }
        try own.join(.network)
        return result
    }
}
