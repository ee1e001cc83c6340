import Kernel
import Model
import Storage

// A small program that tests drive: one verb of TemplateStore, so that it can be killed, limited or given a small disk.
//
//     storage-probe ROOT import FILE NAME [LIMIT=VALUE ...] | export NAME FILE | remove NAME [USER ...] | build DIR NAME
//     storage-probe ROOT list | show NAME | sweep | hold NAME | open NAME TIMES
//
// Events go to stdout, errors to stderr with the code's exit status. `build` runs its commands by chroot(8), which is
// enough for a recipe of our own.
func main(_ words: [String]) throws(CtrError) {
    guard words.count >= 3 else { throw CtrError(.usage, "storage-probe ROOT VERB ...") }
    let store = TemplateStore(root: words[1])
    let arguments = Array(words.dropFirst(3))
    switch words[2] {
    case "import":
        var limits = ImportLimits()
        for text in arguments.dropFirst(2) {
            let pair = text.split(separator: "=")
            guard pair.count == 2, let value = Int64(pair[1]) else { throw CtrError(.usage, text) }
            switch pair[0] {
            case "bytes": limits.bytes = value
            case "entries": limits.entries = Int(value)
            case "ratio": limits.ratio = value
            case "depth": limits.depth = Int(value)
            case "reserve": limits.reserve = value
            default: throw CtrError(.usage, text)
            }
        }
        try store.importTemplate(from: arguments[0], name: arguments[1], limits: limits, progress: tell)
    case "export": try store.exportTemplate(arguments[0], to: arguments[1], progress: tell)
    case "remove":
        try store.remove(arguments[0]) { () throws(CtrError) in Array(arguments.dropFirst()) }
    case "build":
        try store.build(recipe: arguments[0], name: arguments[1], progress: tell, runInside: runInside)
    case "list": for template in try store.list() { print(template.name, template.size) }
    case "show": print(try store.show(arguments[0]))
    case "sweep": store.sweep()
    case "open": for _ in 0..<(Int(arguments[1]) ?? 1) { _ = try store.open(arguments[0]) }
    case "hold":
        let template = try store.open(arguments[0])
        // Not print: its buffer would not reach a pipe before the end.
        try? Kernel.open("/proc/self/fd/1", [.writeOnly]).writeAll(Array("held\n".utf8))
        // Until stdin closes.
        _ = try? Kernel.open("/proc/self/fd/0", [.readOnly]).readAll()
        withExtendedLifetime(template.lock) {}
    default: throw CtrError(.usage, "storage-probe: unknown verb \(words[2])")
    }
}

func tell(_ event: TemplateEvent) {
    switch event {
    case .step(let step): print("step:", step)
    case .note(let note): print("note:", note)
    case .progress: break
    }
}

func runInside(_ root: String, _ words: [String], _ environment: [String]) throws(CtrError) -> Int32 {
    do {
        let status = try ToolProcess("chroot", [root] + words, environment: environment).wait()
        if case .exited(let code) = status { return code }
        return 128
    } catch { throw CtrError(.failed, "chroot", cause: error) }
}

do throws(CtrError) { try main(CommandLine.arguments) } catch {
    print("error:", error.code.rawValue, error.message)
    exitProcess(error.code.exitStatus)
}
