internal import CSeccomp

/// The libseccomp that this program is linked with.
public enum SeccompLibrary {
    /// For example `2.5.4`.
    public static var version: String {
        guard let version = seccomp_version() else { return "unknown" }
        return "\(version.pointee.major).\(version.pointee.minor).\(version.pointee.micro)"
    }
}
