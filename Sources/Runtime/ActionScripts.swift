internal import Kernel
internal import Model

/// Programs of the operator's own that run when a VPS starts and stops: one for all VPSs in the directory of the setting
/// `scripts`, and one of each VPS's in `scripts/` of its directory; the global one first, at a stop last.
///
///     pre-start   on the host, before anything is made      a failure stops the start
///     start       inside, when init runs                    a failure stops the VPS and the start
///     stop        inside, before init is asked to halt      a failure stops the stop (kill and --force remain)
///     post-stop   on the host, when all is given back       a failure is in the log
///
/// On the host a script is executed as it is, with CTR_NAME, CTR_ROOT, CTR_STATE and CTR_ACTION in its environment; inside,
/// the VPS's /bin/sh reads it from standard input. Each has five minutes, and ends with all that it has started when they are
/// over, when it fails, and when the ctr that runs it ends (see ``GuardedTool``).
struct ActionScripts {
    enum Action: String {
        case preStart = "pre-start"
        case start, stop
        case postStop = "post-stop"
    }

    static let directoryName = "scripts"
    private static let milliseconds = 300_000
    private let files: VPSFiles
    /// Host paths with the directories' own descriptors.
    private let directories: [(path: String, fd: SharedFD)]
    /// Throws where the start that a script is a part of is to be given up.
    private let check: () throws(CtrError) -> Void

    init(
        place: VPSPlace, check: @escaping () throws(CtrError) -> Void = { () throws(CtrError) in }
    ) throws(CtrError) {
        try self.init(files: place.files, directory: place.directory, check: check)
    }

    init(
        files: VPSFiles, directory: SharedFD, check: @escaping () throws(CtrError) -> Void = { () throws(CtrError) in }
    ) throws(CtrError) {
        self.files = files
        self.check = check
        var found: [(String, SharedFD)] = []
        let global = try Settings.load().scripts ?? Settings.standardScripts
        if let fd = try? open(global, [.directory]) { found.append((global, SharedFD(fd))) }
        if let fd = try? directory.fd.open(ActionScripts.directoryName, [.directory, .noFollow]) {
            found.append(("\(files.path)/\(ActionScripts.directoryName)", SharedFD(fd)))
        }
        directories = found
    }

    /// - Throws: `failed` naming the script, its status and its last line.
    func runOnHost(_ action: Action) throws(CtrError) {
        for (path, directory) in action == .postStop ? directories.reversed() : directories {
            guard try has(action, in: directory, path) else { continue }
            let environment =
                ToolProcess.cleanEnvironment + [
                    "CTR_NAME=\(files.name)", "CTR_ROOT=\(files.host.root)", "CTR_STATE=\(files.host.state)",
                    "CTR_ACTION=\(action.rawValue)",
                ]
            try execute("\(path)/\(action.rawValue)", action) { (output) throws(SysError) in
                try GuardedTool("\(path)/\(action.rawValue)", [], environment: environment, output: output)
            }
        }
    }

    /// - Parameter rescue: its disk is being mended; nothing of the usual is there to run.
    /// - Throws: as ``runOnHost(_:)``.
    func runInside(_ action: Action, unless rescue: Bool) throws(CtrError) {
        if rescue { return }
        for (path, directory) in action == .stop ? directories.reversed() : directories {
            guard try has(action, in: directory, path) else { continue }
            let host = files.host
            let name = files.name
            try execute("\(path)/\(action.rawValue)", action) { (output) throws(SysError) in
                // A copy: what enters a VPS could be written to from there.
                let script = SharedFD(try MemoryFile.make())
                try script.fd.writeAll(try directory.fd.readFile(action.rawValue))
                try MemoryFile.rewind(script.fd)
                return try GuardedTool(
                    "/proc/self/exe",
                    [
                        "--root", host.root, "--state", host.state, "exec", "-u", "root", "-e", "CTR_NAME=\(name)",
                        "-e",
                        "CTR_ACTION=\(action.rawValue)", name, "--", "/bin/sh", "-s",
                    ], environment: Settings.environment, input: script, output: output)
            }
        }
    }

    /// Whether there is anything to run.
    func has(_ action: Action) throws(CtrError) -> Bool {
        for (path, directory) in directories where try has(action, in: directory, path) { return true }
        return false
    }

    private func has(_ action: Action, in directory: SharedFD, _ path: String) throws(CtrError) -> Bool {
        let type: FileType
        do throws(SysError) { type = try directory.fd.status(of: action.rawValue).type } catch {
            if error.errno == Errno.noEntry { return false }
            throw CtrError(.io, "\(path)/\(action.rawValue)", cause: error)
        }
        if type == .regular { return true }
        throw CtrError(.config, "\(path)/\(action.rawValue): not a regular file")
    }

    private func execute(
        _ path: String, _ action: Action, _ start: (SharedFD) throws(SysError) -> GuardedTool
    ) throws(CtrError) {
        let what = "VPS \(files.name): action script \(path)"
        let output: SharedFD
        let status: ToolProcess.Status
        let tool: GuardedTool
        do throws(SysError) {
            output = SharedFD(try MemoryFile.make())
            tool = try start(output)
        } catch { throw CtrError(.failed, what, step: action.rawValue, cause: error) }
        let deadline = Deadline(milliseconds: ActionScripts.milliseconds)
        // Where any of this throws, the tool ends with all that it has started.
        while try !hasEnded(tool, what, action, deadline) { try check() }
        do throws(SysError) { status = try tool.wait() } catch {
            throw CtrError(.failed, what, step: action.rawValue, cause: error)
        }
        guard !status.succeeded else { return }
        throw CtrError(
            .failed, "\(what): \(status.text)\(lastLine(output))", step: action.rawValue)
    }

    /// Waits for a moment.
    private func hasEnded(
        _ tool: borrowing GuardedTool, _ what: String, _ action: Action, _ deadline: Deadline
    ) throws(CtrError) -> Bool {
        do throws(SysError) {
            if try tool.waitForEnd(milliseconds: min(100, deadline.remaining)) { return true }
            if deadline.hasPassed { throw SysError("wait", Errno.timedOut) }
            return false
        } catch { throw CtrError(.failed, what, step: action.rawValue, cause: error) }
    }

    private func lastLine(_ output: SharedFD) -> String {
        guard let bytes = try? MemoryFile.contents(of: output.fd, limit: 16 << 20),
            let line = bytes.split(separator: 10).last
        else { return "" }
        return ": \(String(decoding: line.prefix(500), as: UTF8.self).escaped)"
    }
}
