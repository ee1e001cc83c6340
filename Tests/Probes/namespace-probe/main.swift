// namespace-probe: a program with one thread that uses Namespaces and Kernel as ctr does, for tests, whose runner has
// threads and must not clone. It prints what it saw.
//
//   namespace-probe launch JSON     starts a VPS from a ProbeRequest; prints a ProbeReply
//   namespace-probe floor NAME ...  what of the kernel floor needs a process of its own (Floor.swift)
//   namespace-probe race DIRECTORY  exchanges DIRECTORY/a and DIRECTORY/b until it is killed
import FoundationEssentials
import Kernel
import NamespaceProbeRequest

func say(_ text: String) throws { try FD.standard(1).writeAll(Array((text + "\n").utf8)) }

let words = CommandLine.arguments.dropFirst()
do {
    switch words.first {
    case "launch":
        let request = try JSONDecoder().decode(ProbeRequest.self, from: Data(words.last!.utf8))
        try Launching(request).run()
    case "floor":
        try floor(Array(words.dropFirst()))
    case "race":
        let directory = try open(words.last!, [.readOnly, .directory])
        while true { try directory.rename("a", to: directory, "b", exchange: true) }
    default:
        exitProcess(64)
    }
} catch {
    try? FD.standard(2).writeAll(Array("namespace-probe: \(error)\n".utf8))
    exitProcess(70)
}
