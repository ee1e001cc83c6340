internal import Model
internal import Runtime
import Glibc
var args = Array(CommandLine.arguments.dropFirst())
do throws(CtrError) {
    var root = Host.standardRoot, state = Host.standardState
    while args[0] == "--root" || args[0] == "--state" { if args[0] == "--root" { root = args[1] } else { state = args[1] }; args.removeFirst(2) }
    let host = try Host(root: root, state: state)
    switch args[0] {
    case "run":
        var options = VPSOptions()
        args.removeFirst()
        while args[0].hasPrefix("-") {
            if args[0] == "-t" { options.terminal = true; args.removeFirst() }
            else if args[0] == "-d" { options.detach = true; args.removeFirst() }
            else if args[0] == "--keep" { options.keep = true; args.removeFirst() }
            else { try options.set(args[0], args[1]); args.removeFirst(2) }
        }
        let run = Run(template: args[0], command: Array(args.dropFirst()), options: options)
        if options.detach { print(try run.detached(on: host)) } else { exit(try run.foreground(on: host)) }
    case "exec":
        var e = Exec(name: args[1], command: Array(args.dropFirst(2)))
        if e.command[0] == "-t" { e.terminal = true; e.command.removeFirst() }
        exit(try e.run(on: host))
    case "supervise": exit(SuperviseMain.main(on: host))
    case "stop": try Stop(name: args[1]).run(on: host)
    case "logs": try Logs(name: args[1], follow: false).run(on: host) { print(String(decoding: $0, as: UTF8.self), terminator: ""); return true }
    case "list": for s in try VPSList.all(on: host) { print(s) }
    case "build": print(try TemplateVerbs(host: host).build(directory: args[1], name: nil) { print($0) })
    case "destroy": try Destroy(name: args[1], force: true).run(on: host)
    default: exit(64)
    }
} catch { print("ctr:", error); exit(error.code.exitStatus) }
