extension Resources {
    /// Holds the values against what they mean, before anything is made. Throws `usage` naming the option.
    public func validate() throws(CtrError) {
        if let cpus, !(cpus >= 0.01 && cpus <= 8192) {
            throw CtrError(.usage, "--cpus \(cpus): out of range (0.01 to 8192)")
        }
        if let cpuWeight, !(1...10000).contains(cpuWeight) {
            throw CtrError(.usage, "--cpu-weight \(cpuWeight): out of range (1 to 10000)")
        }
        if let cpuset, CPUSet.parse(cpuset) == nil {
            throw CtrError(.usage, "--cpuset '\(cpuset.escaped)': not a list of processors (for example 0-3,5)")
        }
        if let memory, memory < 256 << 10 {
            throw CtrError(.usage, "--memory \(memory): too small (at least 256K)")
        }
        if let memoryHigh, let memory, memoryHigh > memory {
            throw CtrError(.usage, "--memory-high \(memoryHigh): above --memory \(memory), so it would never act")
        }
        if let swap, swap < 0 { throw CtrError(.usage, "--swap \(swap): negative") }
        if swap != nil, memory == nil {
            throw CtrError(.usage, "--swap: needs --memory (swap is counted on top of it)")
        }
        if let pids, pids < 1 { throw CtrError(.usage, "--pids \(pids): at least 1") }
    }
}

/// Lists of processors as cpuset(7) writes them.
public enum CPUSet {
    /// The processors of a list such as `0-3,5`; nil if it is none.
    public static func parse(_ text: String) -> Set<Int>? {
        var all: Set<Int> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard let first = number(ends[0]) else { return nil }
            switch ends.count {
            case 1: all.insert(first)
            case 2:
                guard let last = number(ends[1]), last >= first else { return nil }
                all.formUnion(first...last)
            default: return nil
            }
        }
        return all
    }

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 4, text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(text)
    }
}
