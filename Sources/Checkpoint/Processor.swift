internal import Kernel
public import Model

/// The processor's instruction sets. Programs look once which there are and go on using them: so a checkpoint goes on
/// only where all are.
public enum Processor {
    #if arch(x86_64)
    public static let architecture = "x86_64"
    private static let field = "flags"
    #else
    public static let architecture = "aarch64"
    private static let field = "Features"
    #endif

    /// Flags that say nothing of instructions: how the kernel runs, power, virtualization, bugs, timers.
    private static let aside: Set<String> = [
        "hypervisor", "arat", "aperfmperf", "constant_tsc", "nonstop_tsc", "tsc_known_freq", "tsc_reliable", "rep_good",
        "nopl", "cpuid", "xtopology", "arch_perfmon", "pebs", "bts", "dtherm", "ida", "pln", "pts", "hwp", "epb", "est",
        "tm", "tm2", "ht", "monitor", "vmx", "svm", "ibrs", "ibpb", "stibp", "ssbd", "pti", "md_clear", "flush_l1d",
        "arch_capabilities", "amd_dcm", "acpi", "mca", "mce", "mtrr", "pse", "pse36", "pat", "pge", "msr", "de", "vme",
    ]

    /// Those of this host, sorted.
    static func here() throws(CtrError) -> [String] {
        let bytes = try describing("/proc/cpuinfo") { () throws(SysError) in
            try open("/proc/cpuinfo", [.readOnly]).read(upTo: 16384)
        }
        return flags(String(decoding: bytes, as: UTF8.self))
    }

    static func flags(_ cpuinfo: String) -> [String] {
        for line in cpuinfo.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":"),
                line[..<colon].split(whereSeparator: \.isWhitespace) == [field[...]]
            else { continue }
            return line[line.index(after: colon)...].split(separator: " ").map(String.init)
                .filter { !aside.contains($0) }.sorted()
        }
        return []
    }
}

extension Manifest {
    /// - Throws: `unavailable` where this host's processor lacks what the checkpoint's had, naming it, or is another kind.
    public func checkProcessor() throws(CtrError) {
        try checkProcessor(has: Processor.here(), architecture: Processor.architecture)
    }

    func checkProcessor(has flags: [String], architecture here: String) throws(CtrError) {
        guard here == architecture else {
            throw CtrError(
                .unavailable, "checkpoint: made on \(architecture.escaped), and this processor is \(here)")
        }
        let missing = Set(processor).subtracting(flags).sorted()
        if !missing.isEmpty {
            throw CtrError(
                .unavailable,
                "checkpoint: this processor lacks \(missing.joined(separator: ", ").escaped), which the one had on which "
                    + "its programs were started (resume it there)")
        }
    }
}
