internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr cp`
struct CopyCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "cp",
        abstract: "Copy files into or out of a VPS, running or stopped.",
        usage: "ctr cp [-a] [-L] FILE NAME:PATH, ctr cp [-a] [-L] NAME:PATH FILE",
        discussion: """
            A directory that is there is copied into; any other name is what the copy is called. A directory goes with \
            all that is in it, and DIR/. means what is in it alone. PATH is looked up in the VPS's own root. - as FILE \
            is a tar archive on standard input, unpacked in the directory PATH, or on standard output. A FILE with a \
            colon in its name is written ./FILE.

            Kept are modes, times, links, hard links within one copy, holes, and attributes user.*. What is copied in \
            belongs to the VPS's root, what is copied out to the caller and without set-user-id bits; with -a owners \
            keep their numbers as seen inside. FIFOs, devices and sockets are left out with a warning. /proc and /sys are \
            not copied. A file appears whole or not at all.

            Examples:
              ctr cp site.conf web:/etc/nginx/conf.d/
              ctr cp web:/var/log .
              ctr cp web:/srv/. - | ssh host tar -x -C /backup
            """)

    @Flag(name: .shortAndLong, help: "Owners keep their numbers, programs their set-user-id bits.")
    var archive = false
    @Flag(name: [.customShort("L"), .long], help: "Follow links of the host.")
    var followLink = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: ArgumentHelp("What to copy.", valueName: "from"), completion: .file())
    var source: String
    @Argument(help: ArgumentHelp("Where to.", valueName: "to"), completion: .file())
    var target: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        var copy = Copy(from: try CopyEnd(source), to: try CopyEnd(target))
        copy.archive = archive
        copy.follow = followLink
        let progress = ProgressLine("cp", globals)
        defer { progress.clear() }
        try copy.run(on: try globals.host(), progress: TemplateVerbs.progress(progress.handle))
        return 0
    }
}
