internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr list`
struct ListCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the VPSs of this host.",
        usage: "ctr list [-q] [--state S] [--label K=V] [-o FIELD,...] [--sort [-]FIELD,...]",
        discussion: """
            Only those that every filter given fits. (For --state DIR, the option of every command, write it before \
            list.)

            Fields: \(ListField.names). With --json and -o the objects have these keys and no others.

            Examples:
              ctr list --state running
              ctr list -q --label tier=web
              ctr list -o name,memory,uptime,label.tier --sort -memory
            """)

    @Option(
        help: ArgumentHelp("Only those in this state: \(ListCommand.states.joined(separator: ", ")).", valueName: "s"),
        completion: .list(ListCommand.states))
    var state: String?
    @Option(help: ArgumentHelp("Only those with this label (repeat: with each of them).", valueName: "k=v"))
    var label: [String] = []
    @Option(
        name: [.customShort("o"), .customLong("fields")],
        help: ArgumentHelp("The columns, in this order.", valueName: "field,..."))
    var fields: String?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Sort by these fields; a - before one: the largest first.", valueName: "[-]field,..."))
    var sort: String?
    @Option(
        help: ArgumentHelp("Where templates and VPSs are kept (CTR_ROOT; /var/lib/ctr).", valueName: "dir"),
        completion: .directory)
    var root: String?
    @OptionGroup(title: "Options of every command") var output: OutputOptions

    static let states = VPSStatus.allCases.map(\.rawValue)

    var given: Globals {
        Globals(root: root, state: nil, json: output.json, quiet: output.quiet, debug: output.debug)
    }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let fits = try filter()
        let fields = try ListField.parse(self.fields ?? ListField.usual, option: "-o")
        let order = try sort.map { (text) throws(CtrError) in try ListField.parseOrder(text) } ?? []
        let list = ListField.sort(try VPSList.all(on: try globals.host()).filter(fits), by: order)
        if globals.json {
            if globals.quiet {
                try Output.json(list.map(\.name))
            } else if self.fields == nil {
                try Output.json(list)
            } else {
                try Output.json(list.map { vps in Dictionary(fields.map { ($0.name, $0.value(vps)) }) { $1 } })
            }
        } else if globals.quiet {
            if !list.isEmpty { try Output.print(list.map(\.name).joined(separator: "\n")) }
        } else {
            try Output.print(table(list, fields))
        }
        return 0
    }

    private func filter() throws(CtrError) -> (VPSSummary) -> Bool {
        var status: VPSStatus?
        if let state {
            guard let known = VPSStatus(rawValue: state) else {
                throw CtrError(
                    .usage,
                    "--state '\(state.escaped)': not a state (\(Self.states.joined(separator: ", ")); a directory is "
                        + "given before the command: ctr --state DIR list)")
            }
            status = known
        }
        var labels: [(String, String)] = []
        for text in label {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw CtrError(.usage, "--label '\(text.escaped)': not KEY=VALUE")
            }
            labels.append((parts[0], parts[1]))
        }
        return { summary in
            (status == nil || summary.status == status) && labels.allSatisfy { summary.labels[$0.0] == $0.1 }
        }
    }

    private func table(_ list: [VPSSummary], _ fields: [ListField]) -> String {
        var table = Table(fields.map { ($0.title, $0.alignment) })
        for vps in list { table.add(fields.map { $0.text(vps) }) }
        return table.text
    }
}
