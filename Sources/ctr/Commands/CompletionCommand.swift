internal import ArgumentParser
internal import Model

/// `ctr completion`
struct CompletionCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "completion",
        abstract: "Print the completion script for a shell.",
        usage: "ctr completion bash|zsh|fish",
        discussion: """
            Examples:
              ctr completion bash > /etc/bash_completion.d/ctr
              ctr completion zsh > /usr/local/share/zsh/site-functions/_ctr
              ctr completion fish > ~/.config/fish/completions/ctr.fish
            """)

    @OptionGroup(title: "Options of every command") var output: OutputOptions
    @Argument(help: "The shell: bash, zsh or fish.", completion: .list(["bash", "zsh", "fish"]))
    var shell: String

    var given: Globals { Globals(json: output.json, quiet: output.quiet, debug: output.debug) }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        guard let known = CompletionShell(rawValue: shell) else {
            throw CtrError(.usage, "completion '\(shell.escaped)': not a shell that is known (bash, zsh or fish)")
        }
        try Output.print(Ctr.completionScript(for: known))
        return 0
    }
}
