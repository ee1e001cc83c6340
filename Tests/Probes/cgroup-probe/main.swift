// What a test can't do in its own process, which has threads: make a child in a cgroup the way ctr does.
//
//     cgroup-probe [--userns] RECORD COMMAND [ARGUMENT ...]
//
// joins the cgroup that the record (JSON) describes, executes the command in it and exits as the command does.

internal import Cgroups
internal import FoundationEssentials
internal import Kernel
internal import Model

func fail(_ error: any Error) -> Never {
    print("cgroup-probe: \(error)")
    CurrentProcess.exitNow(99)
}

do {
    var words = Array(CommandLine.arguments.dropFirst())
    var namespaces: NamespaceFlags = []
    if words.first == "--userns" {
        namespaces = [.user, .pid]
        words.removeFirst()
    }
    let record = try JSONDecoder().decode(CgroupRecord.self, from: Data(words.removeFirst().utf8))
    let (cloneInto, joinFiles) = try Cgroup.open(record).join()
    switch try clone(namespaces, intoCgroup: cloneInto) {
    case .parent(let child): CurrentProcess.exitNow(try child.wait().code)
    case .child:
        do {
            for file in joinFiles { try file.fd.writeAll([UInt8(ascii: "0")]) }
            try unshare(.cgroup)
            try CurrentProcess.execute(words[0], arguments: words, environment: ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"])
        } catch { fail(error) }
    }
} catch { fail(error) }
