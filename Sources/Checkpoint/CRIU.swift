internal import Kernel
public import Model

/// The program criu(8) of this host, 4.2 or later: older ones can't restore what this kernel has (docs/suspend.md).
public struct CRIU: Sendable {
    /// What is executed: the program, or the dynamic linker of the prefix that it lies in, with its words.
    let command: [String]
    /// As an operator knows it.
    public let path: String
    /// `4.2.1`
    public let version: String

    /// Where `make setup-criu` puts one with its libraries: see scripts/criu.sh.
    public static let standardPrefix = "/usr/local/lib/ctr/criu"
    static let oldest = [4, 2]

    /// - Parameter setting: a program, or a prefix that holds one with all its libraries; nil: ``standardPrefix``, else
    ///   the tools' search path.
    /// - Throws: `unavailable` where there is none, or an old one.
    public static func find(_ setting: String?) throws(CtrError) -> CRIU {
        try search(setting).result()
    }

    /// Begins what ``find(_:)`` does: its version is asked for while the caller has other work.
    /// - Throws: `unavailable` where there is none.
    public static func search(_ setting: String?) throws(CtrError) -> Search {
        let found: (path: String, command: [String])?
        if let setting {
            found = locate(setting)
        } else {
            found = locate(standardPrefix) ?? ToolProcess.find("criu").map { ($0, [$0]) }
        }
        guard let found else {
            throw CtrError(
                .unavailable, "criu: \(setting.map { "not at \($0.escaped)" } ?? "not on this host") \(advice)")
        }
        // It tries out what the kernel's TCP can do, and waits for minutes.
        if (try? CurrentProcess.isLoopbackUp()) == false {
            throw CtrError(
                .unavailable, "criu: the loopback interface of this host is down, and criu needs it (ip link set lo up)"
            )
        }
        return try describing("criu: \(found.path.escaped)", code: .unavailable) { () throws(SysError) in
            try Search(found.command, found.path)
        }
    }

    private static let advice = "(make setup-criu puts one at \(standardPrefix); the setting criu names another)"

    /// A program that has been asked for its version.
    public final class Search {
        private let command: [String]
        public let path: String
        private var tool: ToolProcess?
        private let answer: SharedFD
        private var found: CRIU?

        fileprivate init(_ command: [String], _ path: String) throws(SysError) {
            // The pipe's writing end is dropped here: the program alone holds it.
            let pipe = try Pipe()
            (self.command, self.path, answer) = (command, path, pipe.reading)
            tool = try ToolProcess(
                command[0], Array(command.dropFirst()) + ["--version"], stdout: .file(pipe.writing), stderr: .null)
        }

        /// Waits for the answer.
        /// - Throws: `unavailable` where it is too old.
        public func result() throws(CtrError) -> CRIU {
            if let found { return found }
            let answer = answer
            var (bytes, line): ([UInt8], Substring?) = ([], nil)
            do throws(SysError) {
                // Version: 4.2.1
                while line == nil, bytes.count < 512 {
                    let more = try answer.fd.read(upTo: 512)
                    bytes += more
                    var lines = String(decoding: bytes, as: UTF8.self)
                        .split(separator: "\n", omittingEmptySubsequences: false)
                    // There may be more of the last.
                    if !more.isEmpty { lines.removeLast() }
                    line = lines.first { $0.hasPrefix("Version: ") }
                    if more.isEmpty { break }
                }
            } catch { throw CtrError(.unavailable, "criu: \(path.escaped)", cause: error) }
            // Whatever else it has to say, nobody waits for it.
            _ = tool.take()
            guard let line else {
                throw CtrError(.unavailable, "criu: \(path.escaped) does not say its version")
            }
            let version = String(line.dropFirst(9))
            guard CRIU.isNew(version) else {
                throw CtrError(
                    .unavailable,
                    "criu: \(path.escaped) is version \(version.escaped), 4.2 or later is needed \(advice)")
            }
            let criu = CRIU(command: command, path: path, version: version)
            found = criu
            return criu
        }
    }

    private static func locate(_ path: String) -> (path: String, command: [String])? {
        for (loader, libraries) in [
            ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
            ("usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
        ] {
            let (linker, program) = ("\(path)/\(loader)", "\(path)/usr/sbin/criu")
            if ToolProcess.find(linker) != nil, ToolProcess.find(program) != nil {
                return (program, [linker, "--library-path", "\(path)/\(libraries)", program])
            }
        }
        let isFile = (try? open(path, [.path]).status().type) == .regular
        return isFile && ToolProcess.find(path) != nil ? (path, [path]) : nil
    }

    static func isNew(_ version: String) -> Bool {
        let numbers = version.split(separator: ".").map { Int($0.prefix { ("0"..."9").contains($0) }) ?? 0 }
        return !numbers.lexicographicallyPrecedes(oldest)
    }

    /// Runs it to its end.
    /// - Parameters:
    ///   - directory: of its images, its log and whatever else it writes.
    ///   - environment: beside the tools' usual one.
    ///   - handed: open files that it finds as descriptors 3, 4 and so on.
    ///   - endsWithUs: the caller has one thread.
    ///   - watch: called a hundred times a second meanwhile, with a number that counts up.
    /// - Returns: how it ended; if not well, ``CRIULog`` knows why.
    /// - Throws: what `watch` throws, by which it is killed.
    func run(
        _ words: [String], environment: [String], handed: [SharedFD], endsWithUs: Bool,
        watch: ((Int) throws(CtrError) -> Void)? = nil
    ) throws(CtrError) -> ToolProcess.Status {
        var reason: CtrError?
        let status = try describing("criu: \(path.escaped)", code: .failed) { () throws(SysError) in
            let (words, environment) = (command.dropFirst() + words, ToolProcess.cleanEnvironment + environment)
            if endsWithUs {
                return try BoundTool(command[0], Array(words), environment: environment, handed: handed).wait()
            }
            let tool = try ToolProcess(
                command[0], Array(words), environment: environment, stdout: .null, stderr: .null, others: handed)
            if let watch, let handle = try? ProcessHandle(pid: tool.pid) {
                var turn = 0
                while (try? handle.waitForEnd(milliseconds: 10)) == false {
                    do throws(CtrError) { try watch(turn) } catch {
                        reason = error
                        try handle.signal(Signal.kill)
                        break
                    }
                    turn += 1
                }
            }
            return try tool.wait()
        }
        if let reason, !status.succeeded { throw reason }
        return status
    }
}
