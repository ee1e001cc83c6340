internal import CCap
public import Model

/// Capabilities by name, through libcap.
public enum CapabilityName {
    /// The number of a capability given with or without CAP_, in any case. Throws `usage` for an unknown name.
    /// - Parameter source: where the name was given, for the message: `--cap-add`.
    public static func number(of name: String, source: String) throws(CtrError) -> Int {
        // libcap also takes numbers; a name is letters and underscores.
        let bare = bareName(name)
        let isWord = !bare.isEmpty && bare.utf8.allSatisfy { (65...90).contains($0) || $0 == 95 }
        var number: cap_value_t = -1
        guard isWord, cap_from_name("cap_\(bare.lowercased())", &number) == 0 else {
            throw CtrError(
                .usage, "\(source) '\(name.escaped)': unknown capability (names are those of capabilities(7), or 'all')"
            )
        }
        return Int(number)
    }

    /// The name with CAP_, for example `CAP_SYS_ADMIN`; a number that libcap does not know is `CAP_41`.
    public static func name(of number: Int) -> String {
        guard let text = cap_to_name(cap_value_t(number)) else { return "CAP_\(number)" }
        defer { cap_free(text) }
        let name = String(cString: text).uppercased()
        return name.hasPrefix("CAP_") ? name : "CAP_\(name)"
    }

    private static func bareName(_ name: String) -> String {
        let upper = name.uppercased()
        return upper.hasPrefix("CAP_") ? String(upper.dropFirst(4)) : upper
    }
}

extension CapabilitySet {
    /// This set after `--cap-drop` and `--cap-add`: names with or without CAP_, or `all`, which is every capability of
    /// the running kernel.
    ///
    /// Dropping takes a capability out of all five sets; adding puts it in the bounding, permitted and effective ones.
    /// With `all` on one side the names of the other are its exceptions. Throws `usage` for an unknown name and for one
    /// that is on both sides, `unavailable` for one that the kernel has not.
    public func changed(adding added: [String], dropping dropped: [String]) throws(CtrError) -> CapabilitySet {
        let adds = try Self.canonical(added, "--cap-add")
        let drops = try Self.canonical(dropped, "--cap-drop")
        if adds.all && drops.all { throw CtrError(.usage, "--cap-add all, --cap-drop all: only one of them") }
        if let both = adds.names.first(where: drops.names.contains) {
            throw CtrError(.usage, "--cap-add \(both), --cap-drop \(both): only one of them")
        }
        let last = try KernelCapabilities.last()
        for name in adds.names where try CapabilityName.number(of: name, source: "--cap-add") > last {
            throw KernelCapabilities.unknown(name, source: "--cap-add")
        }
        let base = adds.all ? (0...last).map { CapabilityName.name(of: $0) } : []
        func change(_ names: [String], growing: Bool) -> [String] {
            var result = drops.all ? [] : names + (growing ? base : [])
            if growing { result += adds.names }
            var seen: Set<String> = Set(drops.names)
            return result.filter { seen.insert($0).inserted }
        }
        return CapabilitySet(
            bounding: change(bounding, growing: true), effective: change(effective, growing: true),
            permitted: change(permitted, growing: true), inheritable: change(inheritable, growing: false),
            ambient: change(ambient, growing: false))
    }

    private static func canonical(
        _ names: [String], _ source: String
    ) throws(CtrError) -> (all: Bool, names: [String]) {
        var all = false
        var result: [String] = []
        for name in names {
            if name.lowercased() == "all" {
                all = true
            } else {
                result.append(CapabilityName.name(of: try CapabilityName.number(of: name, source: source)))
            }
        }
        return (all, result)
    }
}
