internal import ArgumentParser

/// The root of all commands: help, completions and the list of verbs come from here.
struct Ctr: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ctr",
        abstract: "Runs virtual private servers: isolated Linux systems on this host's kernel, without a daemon.",
        usage: "ctr [--root DIR] [--state DIR] [--json] [--quiet] [--debug] COMMAND ...",
        discussion: """
            A first tour:
              ctr template build rootfs-templates/minimal
              ctr run minimal echo hello
              ctr run -d --name web --memory 256M minimal sleep 1000
              ctr exec web ps
              ctr destroy --force web

            Exit status: 0 done, 64 wrong usage, 65 bad input file, 66 unknown VPS or template, 69 the host lacks \
            something, 73 exists already or cannot be created, 74 I/O error, 75 busy (try again), 78 bad \
            configuration, 1 any other failure. Of run, exec and enter: the command's own status, 128+N where signal \
            N ended it, 125 where ctr failed, 126 not executable, 127 not found.
            """,
        version: Version.number,
        groupedSubcommands: [
            CommandGroup(
                name: "VPS",
                subcommands: [
                    RunCommand.self, CreateCommand.self, StartCommand.self, StopCommand.self, RestartCommand.self,
                    KillCommand.self, PauseCommand.self, UnpauseCommand.self, SuspendCommand.self, ResumeCommand.self,
                    HibernateCommand.self,
                    SetCommand.self, RenameCommand.self,
                    DestroyCommand.self, ListCommand.self, ShowCommand.self, ExecCommand.self, EnterCommand.self,
                    CopyCommand.self, ConsoleCommand.self, LogsCommand.self, EventsCommand.self, StatsCommand.self,
                    TopCommand.self,
                ]),
            CommandGroup(
                name: "Disk",
                subcommands: [
                    SnapshotCommand.self, CloneCommand.self, ExportCommand.self, ImportCommand.self, DiskCommand.self,
                    StorageCommand.self,
                ]),
            CommandGroup(name: "Template", subcommands: [TemplateCommand.self, ProfileCommand.self]),
            CommandGroup(name: "Host", subcommands: [HostCommand.self, CompletionCommand.self]),
        ])

    @OptionGroup(title: "Options of every command") var global: GlobalOptions

    /// The command of this name.
    static func verb(_ name: String) -> (any ParsableCommand.Type)? {
        configuration.subcommands.first { $0._commandName == name }
    }
}
