// What a test can't do in its own process, which has threads: make a child in a cgroup the way ctr does.
//
//     cgroup-probe [--userns] RECORD COMMAND [ARGUMENT ...]
//
// joins the cgroup that the record (JSON) describes, executes the command in it and exits as the command does.
//
//     cgroup-probe --hold BYTES
//
// takes memory that can't be reclaimed, says `ready` and keeps it until it is killed.

internal import Cgroups
internal import FoundationEssentials
internal import Kernel
internal import Model

func fail(_ error: any Error) -> Never {
    print("cgroup-probe: \(error)")
    CurrentProcess.exitNow(99)
}

func hold(_ bytes: Int) -> Never {
    let memory = [UInt8](repeating: 7, count: bytes)
    try? open("/proc/self/fd/1", .writeOnly).writeAll(Array("ready\n".utf8))
    while true {
        CurrentProcess.sleep(milliseconds: 100_000)
        withExtendedLifetime(memory) {}
    }
}

do {
    var words = Array(CommandLine.arguments.dropFirst())
    if words.first == "--hold" { hold(Int(words[1]) ?? 0) }
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
