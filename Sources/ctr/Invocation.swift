internal import Model
internal import Runtime

/// `run` or `exec`, read completely: what the fast path and ArgumentParser both produce.
enum Invocation: Equatable {
    case run(RunRequest)
    case exec(ExecRequest)

    /// Does it. Returns the exit status of this program.
    func execute() -> Int32 {
        do throws(CtrError) {
            switch self {
            case .run(let request): return try request.execute()
            case .exec(let request): return try request.execute()
            }
        } catch {
            Failure.report(error, globals)
            return ExitStatus.ofRun(error)
        }
    }

    private var globals: Globals {
        switch self {
        case .run(let request): request.globals
        case .exec(let request): request.globals
        }
    }
}

/// What `ctr run` was asked to do.
struct RunRequest: Equatable {
    var globals: Globals
    var template = ""
    var command: [String] = []
    var options = VPSOptions()

    init(globals: Globals) { self.globals = globals }

    /// Takes one option by its long name. This and `VPSOptions.set` are all that gives options a meaning.
    mutating func take(_ option: String, _ value: String) throws(CtrError) {
        if globals.take(option, value) || option == "--interactive" { return }
        try options.take(option, value)
    }

    func execute() throws(CtrError) -> Int32 {
        let run = Run(template: template, command: command, options: try Profiles.resolve(options))
        let host = try globals.host()
        if !options.detach { return try run.foreground(on: host) }
        let name = try run.detached(on: host)
        if globals.json { try Output.json(["name": name]) } else { try Output.print(name) }
        return 0
    }
}

/// What `ctr exec` or `ctr enter` was asked to do.
struct ExecRequest: Equatable {
    var globals: Globals
    var name = ""
    var command: [String] = []
    var terminal = false
    var offline = false
    /// `--user`, `--workdir` and `--env` mean what they mean for `run`, and are checked by the same code.
    var options = VPSOptions()

    init(globals: Globals) { self.globals = globals }

    mutating func take(_ option: String, _ value: String) throws(CtrError) {
        if globals.take(option, value) || option == "--interactive" { return }
        switch option {
        case "--terminal": terminal = true
        case "--offline": offline = true
        default: try options.set(option, value)
        }
    }

    func execute() throws(CtrError) -> Int32 {
        var exec = Exec(name: name, command: command)
        exec.user = options.user
        exec.workdir = options.workdir
        exec.env = options.env
        exec.terminal = terminal
        let host = try globals.host()
        return offline ? try OfflineExec(exec).run(on: host) : try exec.run(on: host)
    }
}

extension VPSOptions {
    /// Takes one option by its long name, as the command line has it: a file is named relative to the
    /// caller's working directory; all below here wants absolute paths.
    mutating func take(_ option: String, _ value: String) throws(CtrError) {
        let isProfile = option == "--seccomp" && !["", "default", "unconfined"].contains(value)
        let relative = isProfile || option == "--ssh-key" && !value.isEmpty
        try set(option, relative ? Caller.absolutePath(value) : value)
    }
}
