internal import Kernel
public import Model

/// What ctr does before anything else.
public enum ProcessStart {
    /// Nothing that a later step opens may take the place of a standard stream that the caller closed, and the end of a
    /// child is ours to see whatever the caller did with SIGCHLD.
    public static func prepare() throws(CtrError) {
        CurrentProcess.keepEndedChildren()
        try describing("standard streams", code: .failed) { () throws(SysError) in
            try CurrentProcess.fillStandardDescriptors()
            // What ctr makes has the modes that it asks for, whatever the caller's mask; a guest's is set by its own.
            CurrentProcess.setFileModeMask(0o022)
        }
    }
}
