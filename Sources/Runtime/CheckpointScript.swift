internal import Checkpoint
internal import Kernel
internal import Model

/// The program that criu calls at certain steps of its work: a line of shell that executes ctr's hidden verb
/// `checkpoint-step`. So these steps are made also where the verb itself was killed meanwhile.
enum CheckpointScript {
    private static let file = "criu-step"

    /// Writes it to the VPS's state directory; returns its path.
    static func write(_ files: VPSFiles, in state: SharedFD) throws(CtrError) -> String {
        let words = [program, "--root", files.host.root, "--state", files.host.state, "checkpoint-step", files.name]
        // criu has more steps than concern us: those end in the shell.
        let text = """
            #!/bin/sh
            case $CRTOOLS_SCRIPT_ACTION in
            \(CheckpointStep.actions.joined(separator: "|"))) exec \(words.map(quoted).joined(separator: " ")) ;;
            esac

            """
        try describing("step of VPS \(files.name)") { () throws(SysError) in
            try? state.fd.unlink(file)
            let script = try state.fd.open(file, [.writeOnly, .create, .exclusive, .noFollow], mode: 0o700)
            try script.writeAll(Array(text.utf8))
        }
        return "\(files.statePath)/\(file)"
    }

    /// When criu is gone: a step that is at work is waited for, and none is made any more.
    static func cancel(in state: SharedFD) {
        let script = try? state.fd.open(file, [.readOnly, .noFollow])
        try? script?.lock(.exclusive, wait: true)
        CgroupYard.remove(in: state)
        try? state.fd.unlink(file)
    }

    /// While criu is at work, or where it and ctr were killed.
    static func isThere(in state: SharedFD) -> Bool { (try? state.fd.status(of: file)) != nil }

    /// In a step: nobody cancels it while the returned file is open.
    /// - Throws: `failed` where that has been done.
    static func hold(_ state: SharedFD) throws(CtrError) -> SharedFD {
        do throws(SysError) {
            let script = SharedFD(try state.fd.open(file, [.readOnly, .noFollow]))
            try script.fd.lock(.exclusive, wait: true)
            if try script.fd.status().links > 0 { return script }
        } catch { throw CtrError(.failed, "step of criu: cancelled", cause: error) }
        throw CtrError(.failed, "step of criu: cancelled")
    }

    /// The program that is running, where a shell finds it.
    static var program: String {
        let own = "/proc/\(CurrentProcess.pid)/exe"
        guard let path = try? open("/proc/self", [.path, .directory]).readLink("exe").description else { return own }
        // A sealed copy in memory, or one that was replaced since: there as long as we are.
        return path.hasPrefix("/memfd:") || path.hasSuffix(" (deleted)") ? own : path
    }

    private static func quoted(_ word: String) -> String {
        "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: #"'\''"#) + "'"
    }
}

/// The hidden verb `checkpoint-step NAME`: what ctr does within a criu at work. See `--action-script` in criu(8).
public enum CheckpointStep {
    static let actions = ["post-dump", "setup-namespaces", "post-restore", "pre-resume"]

    public static func main(_ name: String, on host: Host) -> Int32 {
        guard let action = CurrentProcess.environment("CRTOOLS_SCRIPT_ACTION"),
            let files = try? VPSFiles(name, host: host)
        else { return 64 }
        do throws(CtrError) {
            guard let directory = try files.directory(), let state = try files.stateDirectory() else {
                throw VPSFiles.unknown(name)
            }
            switch action {
            case "post-dump":
                // Without criu nobody ends the processes: then there must be no checkpoint.
                try describing("step of criu") { () throws(SysError) in
                    let criu = try ProcFiles.parent(of: CurrentProcess.pid)
                    try CurrentProcess.setParentDeathSignal(Signal.kill)
                    if try ProcFiles.parent(of: CurrentProcess.pid) != criu || criu == 1 {
                        throw SysError("getppid", Errno.noProcess)
                    }
                }
                try SuspendStep(files: files, directory: directory).commit()
            case "setup-namespaces": try ResumeStep(files: files, directory: directory).setUpNetwork()
            case "post-restore": try ResumeStep(files: files, directory: directory).record()
            case "pre-resume":
                let script = try CheckpointScript.hold(state)
                try ResumeStep(files: files, directory: directory).commit()
                withExtendedLifetime(script) {}
            default: break
            }
            return 0
        } catch {
            if let state = try? files.stateDirectory() {
                try? state.fd.replaceFile(CheckpointFiles.failure, Array(error.word.utf8), durable: false)
            }
            return 1
        }
    }

    /// Why the last one failed, if one did.
    static func takeFailure(_ state: SharedFD) -> CtrError? {
        guard let bytes = try? state.fd.readFile(CheckpointFiles.failure) else { return nil }
        try? state.fd.unlink(CheckpointFiles.failure)
        return CtrError(word: String(decoding: bytes, as: UTF8.self))
    }
}

extension CtrError {
    /// Its code and message, for another process of ctr's.
    var word: String { "\(code.rawValue) \(message)" }

    init?(word: String) {
        guard let space = word.firstIndex(of: " "), let code = Code(rawValue: String(word[..<space])) else {
            return nil
        }
        self.init(code, String(word[word.index(after: space)...]))
    }
}
