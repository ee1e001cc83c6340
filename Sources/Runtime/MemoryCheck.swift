internal import Checkpoint
internal import Kernel
internal import Model

/// Holds the memory in a checkpoint against the manifest while criu reads it, which takes as long: in a process of its own,
/// for which the step before the VPS's processes go on waits.
///
/// What it has found is in a file of the VPS's state directory. The process holds that locked (flock(2)) until the word is
/// written; where there is none then, it was killed.
public struct MemoryCheck: ~Copyable {
    static let verb = "checkpoint-memory"
    private static let file = "memory-check"
    private static let whole = "whole"
    private let tool: ToolProcess

    /// Begins. It is ended where this value is dropped, or the process that has it is killed.
    init(of checkpoint: SharedFD, in state: SharedFD) throws(CtrError) {
        do throws(SysError) {
            MemoryCheck.clear(in: state)
            let verdict = SharedFD(
                try state.fd.open(MemoryCheck.file, [.readWrite, .create, .exclusive, .noFollow], mode: 0o600))
            try verdict.fd.lock(.exclusive, wait: false)
            tool = try ToolProcess(
                "/proc/self/exe", [MemoryCheck.verb, "\(CurrentProcess.pid)"], environment: [], stdout: .file(verdict),
                stderr: .null, handed: checkpoint)
        } catch { throw CtrError(.failed, "check of the checkpoint's memory", cause: error) }
    }

    /// The hidden verb `checkpoint-memory PARENT`. The checkpoint is descriptor 3.
    public static func main(_ parent: String) -> Int32 {
        do throws(SysError) {
            try CurrentProcess.setParentDeathSignal(Signal.kill)
            guard "\(try ProcFiles.parent(of: CurrentProcess.pid))" == parent else { return 1 }
            let checkpoint = SharedFD(try FD.handedOver())
            var verdict = whole
            do throws(CtrError) {
                guard let manifest = try Manifest.read(checkpoint) else {
                    throw CtrError(.config, "checkpoint: damaged: no \(Manifest.name)")
                }
                try manifest.check(checkpoint, contentsOf: \.isMemory)
            } catch { verdict = error.word }
            try FD.standard(1).writeAll(Array(verdict.utf8))
            return 0
        } catch { return 1 }
    }

    /// In a step of criu: waits for its end.
    /// - Throws: what is damaged, or can't be read.
    static func require(in state: SharedFD) throws(CtrError) {
        let word = try describing("check of the checkpoint's memory", code: .failed) { () throws(SysError) in
            let verdict = try state.fd.open(file, [.readOnly, .noFollow])
            try verdict.lock(.shared, wait: true)
            return String(decoding: try verdict.readAll(limit: 1 << 16), as: UTF8.self)
        }
        if let error = CtrError(word: word) { throw error }
        if word != whole { throw CtrError(.failed, "the check of its memory was killed (try again)") }
    }

    static func isThere(in state: SharedFD) -> Bool { (try? state.fd.status(of: file)) != nil }

    /// Removes what one has left whose resume is over.
    static func clear(in state: SharedFD) { try? state.fd.unlink(file) }

    /// Ends it, if it has not ended yet.
    /// - Returns: what it has found damaged, or could not read.
    consuming func end(in state: SharedFD) -> CtrError? {
        _ = try? tool.kill()
        let word = (try? state.fd.readFile(MemoryCheck.file)).map { String(decoding: $0, as: UTF8.self) }
        MemoryCheck.clear(in: state)
        return word.flatMap { CtrError(word: $0) }
    }
}
