internal import ArgumentParser
internal import Model
internal import Runtime

/// `ctr top`
struct TopCommand: Verb {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Show what all running VPSs use, sorted, again and again.",
        usage: "ctr top [-d S] [--sort KEY] [--batch [-n N]]",
        discussion: """
            Keys: c sorts by processor time, m memory, i disk, p processes, n name; r reverses; q quits. HITS counts \
            how often limits of memory, swap and processes were met, OOM the processes that were killed for want of \
            memory (ctr stats tells more). S is the state: Running or Paused. CPU% is of one processor.

            Where standard output is no terminal, and with --batch or --json, it prints tables one after the other, \
            one where -n says nothing else.

            Examples:
              ctr top
              ctr top --batch -n 10 -d 60 --sort memory
            """)

    @Option(
        name: [.customShort("d"), .long], help: ArgumentHelp("Seconds from one reading to the next.", valueName: "s"))
    var delay = 2.0
    @Option(
        help: ArgumentHelp("By what to sort: cpu, memory, io, pids or name.", valueName: "key"),
        completion: .list(TopTable.Order.allCases.map(\.rawValue)))
    var sort = TopTable.Order.cpu.rawValue
    @Flag(name: .shortAndLong, help: "Print tables instead of filling the screen.")
    var batch = false
    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("How many tables, with --batch (1).", valueName: "n"))
    var count: Int?
    @OptionGroup(title: "Options of every command") var global: GlobalOptions

    var given: Globals { global.globals }

    /// The first table is about so many seconds: rates need two readings, and nobody likes to wait for them.
    private static let firstInterval = 0.2

    func execute(_ globals: Globals) throws(CtrError) -> Int32 {
        let delay = try StatsCommand.check(delay, option: "--delay")
        guard let order = TopTable.Order(rawValue: sort) else {
            let all = TopTable.Order.allCases.map(\.rawValue).joined(separator: ", ")
            throw CtrError(.usage, "--sort '\(sort.escaped)': not a key (\(all))")
        }
        let table = TopTable(order: order)
        let host = try globals.host()
        // A terminal that can't be drawn on is no better than none.
        let canDraw = Caller.isTerminal(.output) && Caller.environment("TERM") != "dumb"
        if batch || globals.json || !canDraw { return try printTables(table, delay, host, globals) }
        if count != nil { throw CtrError(.usage, "--count: only with --batch") }
        return try fillScreen(table, delay, host)
    }

    private func printTables(
        _ table: TopTable, _ delay: Double, _ host: Host, _ globals: Globals
    ) throws(CtrError) -> Int32 {
        let count = count ?? 1
        guard count > 0 else { throw CtrError(.usage, "--count \(count): not a positive number") }
        var stats = try Stats([], on: host)
        _ = try stats.read()
        for number in 0..<count {
            Caller.sleep(seconds: number == 0 ? Self.firstInterval : delay)
            let reading = try stats.read()
            if globals.json {
                try Output.print(JSONOutput.text(reading, pretty: false))
            } else {
                let head = count == 1 ? [] : [reading.time]
                let text = (head + table.table(reading.vps, columns: nil)).joined(separator: "\n")
                try Output.print(number == 0 ? text : "\n\(text)")
            }
        }
        return 0
    }

    private func fillScreen(_ table: TopTable, _ delay: Double, _ host: Host) throws(CtrError) -> Int32 {
        var stats = try Stats([], on: host)
        _ = try stats.read()
        Caller.sleep(seconds: Self.firstInterval)
        var table = table
        let screen = try Screen()
        defer { screen.close() }
        try screen.open()
        while true {
            let reading = try stats.read()
            let deadline = Screen.now() + UInt64(delay * 1e9)
            var isDue = false
            while !isDue {
                let (rows, columns) = screen.size
                try screen.draw(table.window(reading, rows: rows, columns: columns), inverse: 2)
                switch try screen.next(until: deadline) {
                case .key(let key): if !Self.take(key, &table) { return 0 }
                case .timeout: isDue = true
                case .redraw: break
                case .closed: return 0
                case .signal(let number): screen.die(by: number)
                }
            }
        }
    }

    /// - Returns: false for one that quits.
    private static func take(_ key: UInt8, _ table: inout TopTable) -> Bool {
        let interrupt: UInt8 = 3
        if key == UInt8(ascii: "q") || key == interrupt { return false }
        if key == UInt8(ascii: "r") { table.isReversed.toggle() }
        if let order = TopTable.Order.allCases.first(where: { $0.key == key }) { table.order = order }
        return true
    }
}
