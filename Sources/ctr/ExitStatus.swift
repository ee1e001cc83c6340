internal import Model

/// The exit statuses of this program, see design/cli.md. Those of errors are `CtrError.Code.exitStatus`.
enum ExitStatus {
    /// Nobody reads the output any more: what a shell reports of a program that SIGPIPE ended.
    static let outputClosed: Int32 = 141

    /// Of a failed `run`, `exec` or `enter`. Any other status of theirs is the command's own, so that a script can tell
    /// whether the command or ctr has failed; wrong usage is a failure of ctr too.
    static func ofRun(_ error: CtrError) -> Int32 {
        switch error.code {
        case .notExecutable, .commandNotFound: error.code.exitStatus
        default: 125
        }
    }
}
