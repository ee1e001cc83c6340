import Glibc
import Kernel
import Testing

/// What a VPS can leave on the host.
extension Fixture {
    /// Expects that after one look of ctr around itself nothing of the test's VPSs is on the host.
    func expectNothingLeft(at location: SourceLocation = #_sourceLocation) throws {
        // The one verb that may be needed after a kill.
        let list = try ctr("list", at: location)
        #expect(list.status == 0, "list: \(list.both)", sourceLocation: location)
        // A supervisor that was told to end is allowed to be quicker than we look, not slower than ten seconds.
        until(30) { (try? leftovers().isEmpty) == true }
        let left = try leftovers()
        #expect(left.isEmpty, "left on the host: \(left)", sourceLocation: location)
    }

    /// For messages.
    var left: [String] { (try? leftovers()) ?? ["unknown"] }

    /// One line for each thing found.
    func leftovers() throws -> [String] {
        var found: [String] = []
        for place in ["root/vps", "state"] where exists(place) {
            found += try Kernel.open("\(path)/\(place)", [.directory]).entries().map { "\(place)/\($0.name)" }
        }
        found += try text("/proc/self/mountinfo").split(separator: "\n").filter { $0.contains(path) }
            .map { "mount \($0)" }
        found += cgroups().filter { $0.split(separator: "/").last?.hasPrefix("ctr-") != true }.map { "cgroup \($0)" }
        found += processes().map { "process \($0) \(commandLine($0))" }
        found += try idLinks().map { "id range \($0)" }
        return found
    }

    /// The id ranges that are remembered for this test's VPSs.
    func idLinks() throws -> [String] {
        let registry = try ownRegistry()
        guard let directory = try? Kernel.open(registry, [.directory]) else { return [] }
        return try directory.entries().compactMap { entry in
            guard let target = try? directory.readLink(entry.name).description, target.contains(path) else {
                return nil
            }
            return "\(entry.name) \(target)"
        }
    }

    private func ownRegistry() throws -> String {
        path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/ids"
    }

    /// Host processes that this test started, directly or not: its directory is in their environment. A VPS's own have a
    /// clean one and are found by their cgroup.
    func processes(named word: String? = nil) -> [Int32] {
        guard let entries = try? Kernel.open("/proc", [.directory]).entries() else { return [] }
        let mark = Array(path.utf8)
        var found: Set<Int32> = []
        for entry in entries {
            guard let pid = Int32(entry.name.description), pid != getpid() else { continue }
            // Either what a script started, or a supervisor, which has a clean environment and names the state.
            for file in ["environ", "cmdline"] {
                guard let bytes = try? Kernel.open("/proc/\(pid)/\(file)", [.readOnly]).readAll() else { continue }
                if bytes.contains(mark) { found.insert(pid) }
            }
        }
        for cgroup in cgroups() { found.formUnion((try? numbers(in: "\(cgroup)/cgroup.procs")) ?? []) }
        return found.filter { word == nil || commandLine($0).contains(word!) }.sorted()
    }

    func commandLine(_ pid: Int32) -> String {
        guard let bytes = try? Kernel.open("/proc/\(pid)/cmdline", [.readOnly]).readAll() else { return "" }
        return String(decoding: bytes.map { $0 == 0 ? 32 : $0 }, as: UTF8.self)
    }

    /// The cgroup directories of this state directory, in every hierarchy, deepest first: the parent is named after a
    /// hash of the state's path, see Host.cgroupPath(of:).
    func cgroups() -> [String] { Fixture.cgroups(ofState: state) }

    static func cgroups(ofState state: String) -> [String] {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in state.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let parent = "ctr-\(String(hash, radix: 36))"
        var hierarchies = ["/sys/fs/cgroup"]
        if let names = try? Kernel.open("/sys/fs/cgroup", [.directory]).entries() {
            hierarchies += names.filter { $0.type == .directory }.map { "/sys/fs/cgroup/\($0.name)" }
        }
        var found: [String] = []
        func add(_ directory: String) {
            guard let entries = try? Kernel.open(directory, [.directory, .noFollow]).entries() else { return }
            for entry in entries where entry.type == .directory { add("\(directory)/\(entry.name)") }
            found.append(directory)
        }
        for hierarchy in hierarchies { add("\(hierarchy)/\(parent)") }
        return found
    }

    func numbers(in file: String) throws -> [Int32] {
        try text(file).split(separator: "\n").compactMap { Int32($0) }
    }

    /// The host's number of a VPS's first process.
    func initPid(_ name: String) throws -> Int32 {
        let json = try JSON(text: text("state/\(name)/state.json"))
        return Int32(try #require(json["pid"]?.int))
    }

    /// The host's number of the process that supervises a VPS.
    func supervisorPid(_ name: String) throws -> Int32 {
        Int32(try #require(try JSON(text: text("state/\(name)/state.json"))["supervisor"]?.int))
    }
}

extension [UInt8] {
    /// Whether these bytes are somewhere in it.
    func contains(_ words: [UInt8]) -> Bool {
        guard let first = words.first else { return true }
        var from = startIndex
        while let at = self[from...].firstIndex(of: first) {
            if self[at...].starts(with: words) { return true }
            from = at + 1
        }
        return false
    }
}
