internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr storage`
struct StorageCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "storage",
        abstract: "Show what disks promise, what they use and what is free.",
        usage: "ctr storage",
        discussion: """
            Thin disks may promise more than the host has: the overcommitment is what is promised by what is there. \
            With less than the reserve free (setting spaceReserve), VPSs that write to images are paused until there is \
            space again: their file systems see no error.
            Of VPSs whose disk is a directory all files are looked at, which takes its time.

            Example:
              ctr storage --json
            """)

    @OptionGroup(title: "Options of every command") var global: GlobalOptions

    var given: Globals { global.globals }

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let report = try StorageReport.read(on: try globals.host())
        if globals.json {
            try Output.json(report)
        } else {
            try Output.print(text(report))
        }
        return 0
    }

    private func text(_ report: StorageReport) -> String {
        var table = Table("VPS", "PROMISED", "USED", "KIND")
        for item in report.vps {
            let kind = item.promised == nil ? "directory" : item.thick ? "thick" : "thin"
            table.add([item.vps, item.promised.map(Size.format) ?? "-", Size.format(item.used), kind])
        }
        let facts: [(String, String?)] = [
            ("size", Size.format(report.size)), ("free", Size.format(report.free)),
            ("waits to be written", report.unwritten < 16 << 20 ? nil : Size.format(report.unwritten)),
            ("reserve", Size.format(report.reserve)),
            ("paused for want of space", report.waiting.isEmpty ? nil : report.waiting.joined(separator: ", ")),
            ("promised", Size.format(report.promised)), ("used by VPSs", Size.format(report.used)),
            ("templates", Size.format(report.templates)),
            ("overcommitment", "\(Format.decimal(report.overcommitment, digits: 2))"),
        ]
        return table.text + "\n\n" + Table.facts(facts)
    }
}
