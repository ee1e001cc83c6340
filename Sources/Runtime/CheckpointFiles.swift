internal import Checkpoint
internal import Kernel
internal import Model

/// `vps.json` of a checkpoint: what ctr must know of a VPS to make it anew, beside what criu has written.
struct SuspendRecord: Codable {
    /// As it was started.
    var config: VPSConfig
    /// Its first process while it ran: see ``VPSState``.
    var bootID: String
    var pid: Int32
    var startTime: UInt64
    var started: String
    var restarts: Int
    var ready: ReadySignal
    /// The host's cgroups of its processes are below this path.
    var cgroup: String
    /// The version of what writes it.
    var criu = ""
    /// The console's terminal: `tty[8800:2a]`.
    var terminal: String?
    /// Where its output goes if it has no terminal: `pipe:[123]`; and the /dev/null that it reads: `file[1f:4]`.
    var output: String?
    var input: String?
    /// Files of lxcfs, by the name of their mount.
    var views: [String: String] = [:]
    /// What is mounted below /dev: places there, and whether each is a directory.
    var devPlaces: [String: Bool] = [:]
    var keepsRunning = false
    /// The id of the snapshot of its disk that is taken at the same instant.
    var snapshot: String?
}

/// The places of a VPS's checkpoint below its directory.
///
/// A VPS is suspended if and only if it has `checkpoint` and does not run. It gets that name when it is whole and
/// synced, with one rename(2), and loses it with another just before its processes go on.
enum CheckpointFiles {
    static let name = "checkpoint"
    /// While it is written.
    static let unfinished = "checkpoint.new"
    /// One whose processes run again.
    static let used = "checkpoint.used"
    /// One of which nothing is needed any more, whoever removes it, and with whatever lock: no checkpoint gets this name to
    /// lose it again.
    static let aside = "checkpoint.removed"
    /// Of `suspend --keep-running`.
    static let kept = "checkpoint.kept"
    /// `vps.json` of a checkpoint that is in the VPS's image: see ``CheckpointPlace``.
    static let hibernated = "hibernated"
    static let hibernating = "hibernated.new"
    static let awoken = "hibernated.used"
    /// Names of a checkpoint, and what it is called when it is none any more.
    static let forms = [(name, used), (hibernated, awoken)]
    static let leftovers = [unfinished, used, hibernating, awoken, PackedCheckpoint.unpacked]
    /// Those that hold memory in the VPS's directory.
    static let large = [unfinished, used, PackedCheckpoint.unpacked, aside]
    static let images = "images"
    static let record = "vps.json"
    static let devices = "dev.tar"
    static let cgroups = "cgroups.json"
    static let rules = "rules.nft"
    /// Why a step of ctr's own within criu's work failed.
    static let failure = "step.error"
}

extension VPSFiles {
    /// Whether it has a checkpoint: it is suspended, if it does not run.
    func hasCheckpoint() throws(CtrError) -> Bool {
        guard let directory = try directory() else { return false }
        return (try? directory.fd.status(of: CheckpointFiles.name)) != nil || isHibernated(in: directory)
    }

    /// The record of its checkpoint, nil if it has none.
    func suspendRecord(in directory: SharedFD) throws(CtrError) -> SuspendRecord? {
        let checkpoint: SharedFD
        do throws(SysError) {
            checkpoint = SharedFD(try directory.fd.open(CheckpointFiles.name, [.directory, .noFollow]))
        } catch {
            if error.errno == Errno.noEntry {
                return try VPSFiles.read(CheckpointFiles.hibernated, in: directory, of: name)
            }
            throw CtrError(.io, "checkpoint of VPS \(name)", cause: error)
        }
        return try VPSFiles.read(CheckpointFiles.record, in: checkpoint, of: name)
    }

    func isSuspended() throws(CtrError) -> Bool {
        guard try hasCheckpoint() else { return false }
        return try RunningInit.find(self) == nil
    }

    /// - Parameter hint: what can be done all the same.
    /// - Throws: `failed` for one that is suspended, since its memory goes with its disk as it is.
    func refuseSuspended(hint: String = "") throws(CtrError) {
        guard try isSuspended() else { return }
        throw CtrError(
            .failed,
            "VPS \(name): suspended, its memory belongs to its disk as it is (ctr resume \(name) first; "
                + "ctr resume --discard \(name) gives its memory up\(hint))")
    }

    /// Whether there is a checkpoint, or something of one, or of criu's work: a VPS that runs has none, but for a verb at work.
    func hasStale() throws(CtrError) -> Bool {
        guard let directory = try directory(), let state = try stateDirectory() else { return false }
        let names = CheckpointFiles.forms.map(\.0) + CheckpointFiles.leftovers
        return names.contains { (try? directory.fd.status(of: $0)) != nil } || CheckpointScript.isThere(in: state)
            || MemoryCheck.isThere(in: state)
    }

    /// Removes what is left of checkpoints that are none: half written, or used.
    func sweepCheckpoints(in directory: SharedFD) {
        for name in CheckpointFiles.leftovers + [CheckpointFiles.aside] { try? directory.fd.removeTree(name) }
    }
}

extension CheckpointFiles {
    /// Of a VPS that has been resumed, with its lock held: what is large of the checkpoint gets another name, so that whoever
    /// waits for the resume need not wait for its removal.
    static func putAside(in directory: SharedFD) {
        removeAside(in: directory)
        for name in [PackedCheckpoint.unpacked, used] {
            if (try? directory.fd.rename(name, to: directory.fd, aside, replace: false)) != nil { return }
        }
    }

    static func removeAside(in directory: SharedFD) { SlowRemoval.remove(checkpoint: aside, in: directory) }
}

extension SuspendRecord {
    /// Whether the checkpoint is of this run of the VPS.
    func isOf(_ state: VPSState) -> Bool {
        bootID == state.bootID && pid == state.pid && startTime == state.startTime
    }
}

extension VPSFiles {
    /// Whether criu is writing a checkpoint of it, or was and has been killed.
    /// - Parameters:
    ///   - all: the directory of all VPSs.
    ///   - state: the VPS's own.
    func isBeingWrittenDown(below all: SharedFD, _ state: SharedFD) -> Bool {
        // A memory snapshot is not complete yet when its VPS goes on.
        CheckpointScript.isThere(in: state)
            && [CheckpointFiles.unfinished, CheckpointFiles.hibernating].contains { leftover in
                (try? all.fd.status(of: "\(name)/\(leftover)")) != nil
            }
    }
}
