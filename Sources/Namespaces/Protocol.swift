internal import Kernel
internal import Model

// Parent and child of a start talk over one socket pair:
//
//     parent                                child (already in its new namespaces)
//       writes the id maps, limits
//       ParentMessage.go        ------->      builds the root, leaves the old one
//       records the state      <-------     ChildMessage.ready
//       ParentMessage.execute   ------->      drops privileges, executes the program
//       end of file            <-------       (the socket is close-on-exec)
//
// At any point the child may send ChildMessage.failed instead and end.

/// What the parent tells the child. One byte.
enum ParentMessage: UInt8 {
    /// The id maps are written and the limits are set.
    case go = 1
    /// Execute the program.
    case execute = 2

    /// Waits for this message, in the child.
    func expect(on channel: SharedFD) throws(SysError) {
        let got = try channel.fd.receive().bytes
        // The parent is gone: nobody is there to report to.
        if got.isEmpty { CurrentProcess.exitNow(125) }
        if got != [rawValue] { throw SysError("receive \(got) instead of \(self)", Errno.proto) }
    }
}

/// What the child tells the parent.
enum ChildMessage: Equatable {
    /// Everything is in place; only the exec is left. A pseudoterminal's master may come with it.
    case ready
    /// A step failed; the child ends.
    case failed(ChildFailure)

    /// Fields in order, separated by NUL, which none of them can contain.
    var bytes: [UInt8] {
        switch self {
        case .ready: Array("ready".utf8)
        case .failed(let failure):
            Array(
                ["failed", failure.step, failure.error.call, "\(failure.error.errno)", failure.error.path ?? ""]
                    .joined(separator: "\0").utf8.prefix(4096))
        }
    }

    init?(bytes: [UInt8]) {
        let fields = bytes.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        switch fields.first {
        case "ready" where fields.count == 1: self = .ready
        case "failed" where fields.count >= 4:
            guard let number = Int32(fields[3]) else { return nil }
            let path = fields.count > 4 && !fields[4].isEmpty ? fields[4] : nil
            self = .failed(ChildFailure(step: fields[1], error: SysError(fields[2], number, path)))
        default: return nil
        }
    }
}

/// A step of the child that failed, as data.
struct ChildFailure: Error, Equatable {
    var step: String
    var error: SysError

    static let executing = "execute"

    /// For the operator. A command that is missing or not executable has a code of its own.
    var ctrError: CtrError {
        if step == ChildFailure.executing {
            let command = (error.path ?? "").escaped
            switch error.errno {
            case Errno.noEntry, Errno.notDirectory:
                return CtrError(
                    .commandNotFound, "\(command): no such command in the VPS", step: step, errno: error.errno)
            default:
                return CtrError(
                    .notExecutable, "\(command): can't be executed: \(SysError.text(error.errno))", step: step,
                    errno: error.errno)
            }
        }
        let what = error.path.map { "\(error.call) \($0.escaped)" } ?? error.call
        return CtrError(.failed, "\(step): \(what): \(SysError.text(error.errno))", step: step, errno: error.errno)
    }
}
