internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr snapshot`
struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot", _superCommandName: "ctr",
        abstract: "Moments of a VPS's disk to go back to.",
        usage: "ctr snapshot create|list|revert|delete|mount|unmount ...",
        discussion: """
            A snapshot of a disk image takes the same moment whatever its size, also while the VPS runs. Snapshots \
            form a tree: who reverts and goes on begins a branch.
            """,
        subcommands: [
            SnapshotCreateCommand.self, SnapshotListCommand.self, SnapshotRevertCommand.self,
            SnapshotDeleteCommand.self, SnapshotMountCommand.self, SnapshotUnmountCommand.self,
        ])
}

/// `ctr snapshot create`
struct SnapshotCreateCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Take a snapshot.",
        usage: "ctr snapshot create NAME [SNAP] [--memory] [--description TEXT] [--prune keep=N]",
        discussion: """
            Of a VPS that is stopped, runs or is paused: its disk and its configuration. What programs have written, \
            and all that they have synced, is in it. A VPS with a directory for a disk (--disk none) stands still \
            while its files are copied, and the message says for how long.

            --memory takes what its processes have in memory too, of the same instant, for which a VPS must run; it \
            stands still meanwhile. Going back to such a snapshot makes it a suspended VPS, as often as one likes: \
            ctr start lets it go on from that instant.

            Without a name it gets one of the time: auto-20261123-120000. --prune keep=N removes the oldest of \
            those, but for one that is mounted, for a timer to call. Snapshots count against the size of the disk.

            Examples:
              ctr snapshot create web before-upgrade --description "Debian 12 as installed"
              ctr snapshot create web --prune keep=7
            """)

    @Flag(help: "The memory of its processes too.")
    var memory = false
    @Option(help: ArgumentHelp("What it is for.", valueName: "text"))
    var description: String?
    @Option(help: ArgumentHelp("How many automatic snapshots to keep, this one included.", valueName: "keep=N"))
    var prune: String?
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String
    @Argument(help: "The snapshot's name.")
    var snap: String?

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        let taken = try Snapshots(vps: name).create(
            snap, description: description, memory: memory, keep: try keep(), on: try globals.host())
        for message in taken.unpruned { Output.errorLine("ctr: not removed: \(message)") }
        if let warning = taken.warning { Output.errorLine("ctr: \(warning)") }
        if globals.json {
            try Output.json(taken)
        } else if !globals.quiet {
            var text = taken.snapshot
            if let frozen = taken.frozenMilliseconds { text += " (the VPS stood still for \(frozen) ms)" }
            if let memory = taken.memory { text += ", with \(Size.format(memory)) of memory" }
            for gone in taken.pruned { text += "\nremoved \(gone)" }
            try Output.print(text)
        }
        return 0
    }

    private func keep() throws(CtrError) -> Int? {
        guard let prune else { return nil }
        guard prune.hasPrefix("keep="), let count = Int(prune.dropFirst(5)), count > 0 else {
            throw CtrError(.usage, "--prune '\(prune.escaped)': not keep=N with N of 1 or more")
        }
        if snap != nil {
            throw CtrError(
                .usage, "--prune: it is for snapshots without a name of their own (leave '\(snap!.escaped)' out)")
        }
        return count
    }
}

/// `ctr snapshot list`
struct SnapshotListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show the tree of snapshots.",
        usage: "ctr snapshot list NAME",
        discussion: """
            Each with the bytes that it alone holds on the disk, which is what deleting it gives back, and those of \
            the memory that was taken with it. The mark * is on the \
            snapshot on which the VPS's disk is based.

            Example:
              ctr snapshot list web
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        let list = try SnapshotList.read(name, on: try globals.host())
        if globals.json {
            try Output.json(list)
        } else if globals.quiet {
            if !list.snapshots.isEmpty { try Output.print(list.snapshots.map(\.name).joined(separator: "\n")) }
        } else {
            try Output.print(text(list))
        }
        return 0
    }

    private func text(_ list: SnapshotList) -> String {
        var table = Table("SNAPSHOT", "CREATED", "ALONE", "MEMORY", "DESCRIPTION")
        for item in list.snapshots {
            let mark = item.name == list.current ? " *" : ""
            table.add([
                String(repeating: "  ", count: item.depth) + item.name + mark, item.created,
                item.exclusive.map(Size.format) ?? "-", item.memory.map(Size.format) ?? "-",
                item.description?.escaped ?? "",
            ])
        }
        return table.text
    }
}

/// `ctr snapshot revert`
struct SnapshotRevertCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "revert",
        abstract: "Go back to a snapshot.",
        usage: "ctr snapshot revert NAME SNAP [--config] [--without-memory] [--stop|--start]",
        discussion: """
            What came after the snapshot is lost, unless another snapshot has it; the snapshot itself stays, and so \
            do all others. A VPS that runs is refused, unless --stop stops it first, or --start stops it and starts \
            it again. Where the snapshot has memory, the VPS is suspended in the state of that instant, and --start (or \
            ctr start) lets it go on from there.

            Examples:
              ctr snapshot revert web before-upgrade --start
              ctr snapshot revert web before-upgrade --config
            """)

    @Flag(help: "The configuration of that moment too.")
    var config = false
    @Flag(help: "The disk alone, if memory was taken too: the VPS is stopped then.")
    var withoutMemory = false
    @Flag(help: "Stop it first, if it runs.")
    var stop = false
    @Flag(help: "Stop it first, if it runs, and start it afterwards.")
    var start = false
    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String
    @Argument(help: "The snapshot.")
    var snap: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        let isSuspended = try Snapshots(vps: name).revert(
            to: snap, withConfig: config, withoutMemory: withoutMemory, stop: stop, start: start,
            on: try globals.host())
        let rest = isSuspended && !start ? ", suspended (ctr start \(name))" : ""
        try Output.done("VPS \(name): as it was at \(snap)\(rest)", ["name": name, "snapshot": snap], globals)
        return 0
    }
}

/// `ctr snapshot delete`
struct SnapshotDeleteCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Remove a restore point; the VPS's data stay.",
        usage: "ctr snapshot delete NAME SNAP",
        discussion: """
            Only the possibility to go back to that moment goes. No data of the VPS as it is now are lost, nor of \
            any other snapshot; the VPS may run meanwhile.

            Example:
              ctr snapshot delete web before-upgrade
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String
    @Argument(help: "The snapshot.")
    var snap: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        try Snapshots(vps: name).delete(snap, on: try globals.host())
        try Output.done(
            "snapshot \(snap) of VPS \(name): removed; no data of the VPS were lost", ["name": name, "snapshot": snap],
            globals)
        return 0
    }
}

/// `ctr snapshot mount`
struct SnapshotMountCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "mount",
        abstract: "Show a snapshot below a directory, read only.",
        usage: "ctr snapshot mount NAME SNAP DIR",
        discussion: """
            For programs that back it up while the VPS runs on: its whole root as it was, with owners as the VPS \
            numbers them. It can't be deleted until ctr snapshot unmount DIR.

            Example:
              ctr snapshot mount web nightly /mnt && tar -C /mnt -c . > web.tar; ctr snapshot unmount /mnt
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "The VPS.", completion: Completions.vpsNames)
    var name: String
    @Argument(help: "The snapshot.")
    var snap: String
    @Argument(help: "An empty directory of the host.", completion: .directory)
    var dir: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try Name.validate(name, kind: "VPS")
        try SnapshotMount.mount(snap, of: name, at: dir, on: try globals.host())
        return 0
    }
}

/// `ctr snapshot unmount`
struct SnapshotUnmountCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "unmount",
        abstract: "Take a mounted snapshot away again.",
        usage: "ctr snapshot unmount DIR",
        discussion: """
            Example:
              ctr snapshot unmount /mnt
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions
    @Argument(help: "Where it is mounted.", completion: .directory)
    var dir: String

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        try SnapshotMount.unmount(dir)
        return 0
    }
}
