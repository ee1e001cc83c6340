import Kernel
import NamespaceProbeRequest

func text(_ path: String) throws -> String {
    String(decoding: try open(path, .readOnly).readAll(), as: UTF8.self)
}

func lines(_ path: String) throws -> [String] {
    try text(path).split(separator: "\n").map(String.init)
}

/// The links of /proc/PID/ns.
func namespaceLinks(of pid: String) throws -> [String: String] {
    let directory = try open("/proc/\(pid)/ns", [.readOnly, .directory])
    var all: [String: String] = [:]
    for entry in try directory.entries() {
        all[entry.name.description] = try directory.readLink(entry.name).description
    }
    return all
}

extension CallerFacts {
    static func now() throws -> CallerFacts {
        var facts = CallerFacts()
        facts.namespaces = try namespaceLinks(of: "self")
        facts.cwd = try CurrentProcess.workingDirectory().description
        let root = try open("/", [.path, .directory]).status()
        facts.root = "\(root.device) \(root.inode)"
        let wanted = [
            "Uid", "Gid", "Groups", "Umask", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk", "SigIgn",
            "SigCgt", "NoNewPrivs", "Threads",
        ]
        for line in try lines("/proc/self/status") {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2, wanted.contains(String(parts[0])) { facts.status[String(parts[0])] = String(parts[1]) }
        }
        facts.secureBits = try Credentials.secureBits().rawValue
        facts.descriptors = try descriptors()
        facts.children = try lines("/proc/self/task/\(CurrentProcess.pid)/children")
            .flatMap { $0.split(separator: " ") }.compactMap { Int32($0) }
        facts.mounts = try lines("/proc/self/mountinfo")
        return facts
    }

    private static func descriptors() throws -> [String] {
        let directory = try open("/proc/self/fd", [.readOnly, .directory])
        var all: [String] = []
        for entry in try directory.entries() {
            let target = try directory.readLink(entry.name).description
            // Without the one that looks.
            if !target.hasSuffix("/\(CurrentProcess.pid)/fd") { all.append("\(entry.name) \(target)") }
        }
        return all.sorted()
    }
}
