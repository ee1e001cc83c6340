/// Signals by name and number, as kill(1) and systemd write them: `TERM`, `SIGTERM`, `15`, `SIGRTMIN+3`, `RTMAX-1`.
///
/// The numbers are those of Linux on x86, arm, arm64 and riscv, see signal(7). Real-time signals count from glibc's
/// SIGRTMIN (34), not the kernel's 32: the guest's init means glibc's.
public enum SignalName {
    /// The first real-time signal that programs may use: SIGRTMIN of glibc.
    public static let realTimeMinimum: Int32 = 34
    /// The last signal: SIGRTMAX.
    public static let realTimeMaximum: Int32 = 64

    /// The number of a signal, 1 to 64. Throws `usage` for what is none.
    /// - Parameter option: where the text was given, for the message: `--stop-signal`.
    public static func parse(_ text: String, option: String) throws(CtrError) -> Int32 {
        guard let number = number(of: text) else {
            throw CtrError(
                .usage, "\(option) '\(text.escaped)': not a signal (for example TERM, SIGTERM, 15 or SIGRTMIN+3)")
        }
        return number
    }

    /// The name of a signal with SIG: `SIGTERM`, `SIGRTMIN+3`; its number as text where it has none.
    public static func name(of number: Int32) -> String {
        if let name = names.first(where: { $0.number == number })?.name { return "SIG\(name)" }
        switch number {
        case realTimeMinimum: return "SIGRTMIN"
        case realTimeMaximum: return "SIGRTMAX"
        case realTimeMinimum + 1...realTimeMinimum + 15: return "SIGRTMIN+\(number - realTimeMinimum)"
        case realTimeMinimum + 16..<realTimeMaximum: return "SIGRTMAX-\(realTimeMaximum - number)"
        default: return "\(number)"
        }
    }

    private static func number(of text: String) -> Int32? {
        if let plain = decimal(Substring(text)) { return (1...realTimeMaximum).contains(plain) ? plain : nil }
        var name = Substring(text.uppercased())
        if name.hasPrefix("SIG") { name = name.dropFirst(3) }
        if let known = names.first(where: { $0.name == name }) { return known.number }
        return realTime(name)
    }

    private static func realTime(_ name: Substring) -> Int32? {
        let range = realTimeMinimum...realTimeMaximum
        for (prefix, start, sign) in [("RTMIN", realTimeMinimum, Int32(1)), ("RTMAX", realTimeMaximum, Int32(-1))]
        where name.hasPrefix(prefix) {
            let rest = name.dropFirst(prefix.count)
            if rest.isEmpty { return start }
            guard rest.first == (sign > 0 ? "+" : "-"), let offset = decimal(rest.dropFirst()) else { return nil }
            let number = start + sign * offset
            return range.contains(number) ? number : nil
        }
        return nil
    }

    /// A number of one to three digits; a sign or a blank makes it none.
    private static func decimal(_ text: Substring) -> Int32? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int32(text)
    }

    private static let names: [(name: Substring, number: Int32)] = [
        ("HUP", 1), ("INT", 2), ("QUIT", 3), ("ILL", 4), ("TRAP", 5), ("ABRT", 6), ("BUS", 7), ("FPE", 8),
        ("KILL", 9), ("USR1", 10), ("SEGV", 11), ("USR2", 12), ("PIPE", 13), ("ALRM", 14), ("TERM", 15),
        ("STKFLT", 16), ("CHLD", 17), ("CONT", 18), ("STOP", 19), ("TSTP", 20), ("TTIN", 21), ("TTOU", 22),
        ("URG", 23), ("XCPU", 24), ("XFSZ", 25), ("VTALRM", 26), ("PROF", 27), ("WINCH", 28), ("IO", 29),
        ("PWR", 30), ("SYS", 31),
        // Second names come last, so that a number's name is the first one.
        ("IOT", 6), ("CLD", 17), ("POLL", 29),
    ]
}
