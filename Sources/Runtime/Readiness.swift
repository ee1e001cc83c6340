internal import Kernel
public import Model

/// Whether a VPS has booted.
public enum Readiness {
    /// Returns when init says that the system is up.
    public static func wait(for name: String, on host: Host, seconds: Int) throws(CtrError) {
        throw CtrError(.unavailable, "start --wait: not merged yet")
    }
}
