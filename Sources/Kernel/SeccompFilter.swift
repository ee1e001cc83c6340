internal import CLinux
internal import Glibc

/// The kernel's side of seccomp(2): loading a classic BPF program, and a file in memory to build one in.
public enum Seccomp {
    /// Flags of SECCOMP_SET_MODE_FILTER.
    public struct Flags: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Every action but ALLOW is logged, where the host's seccomp/actions_logged has it.
        public static let log = Flags(rawValue: UInt32(CTR_SECCOMP_FILTER_FLAG_LOG))
        /// Leaves Speculative Store Bypass on; the default for filters since Linux 5.16.
        public static let speculationAllowed = Flags(rawValue: UInt32(CTR_SECCOMP_FILTER_FLAG_SPEC_ALLOW))
    }

    /// Bytes of one instruction: struct sock_filter.
    public static let instructionSize = MemoryLayout<sock_filter>.size
    /// The longest program that the kernel takes, in instructions: BPF_MAXINSNS.
    public static let longestProgram = 4096

    /// Installs a filter for this thread, for good, and for all that it executes.
    ///
    /// Wants CAP_SYS_ADMIN in the user namespace or no_new_privs (EACCES); EINVAL for a program that the kernel does
    /// not take. The corresponding call is `seccomp(2)` with SECCOMP_SET_MODE_FILTER.
    /// - Parameter program: struct sock_filter after struct sock_filter, in the machine's byte order.
    public static func load(_ program: [UInt8], flags: Flags = []) throws(SysError) {
        let count = program.count / instructionSize
        if program.isEmpty || program.count % instructionSize != 0 || count > longestProgram {
            throw SysError("seccomp", EINVAL, "a program of \(program.count) bytes")
        }
        let result = program.withUnsafeBytes { bytes -> Int in
            let filter = UnsafeMutableRawPointer(mutating: bytes.baseAddress!)
            var descriptor = sock_fprog(
                len: UInt16(count), filter: filter.assumingMemoryBound(to: sock_filter.self))
            return ctr_seccomp(UInt32(CTR_SECCOMP_SET_MODE_FILTER), flags.rawValue, &descriptor)
        }
        try check(result, "seccomp")
    }

    /// Whether the kernel has filters that refuse with an errno. The corresponding call is `seccomp(2)` with
    /// SECCOMP_GET_ACTION_AVAIL.
    public static func isAvailable() -> Bool {
        var action = UInt32(SECCOMP_RET_ERRNO)
        return ctr_seccomp(UInt32(SECCOMP_GET_ACTION_AVAIL), 0, &action) == 0
    }
}
