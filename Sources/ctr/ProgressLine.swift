internal import Model
internal import Runtime

/// Progress of long work: one line on a terminal, drawn again and again and cleared at the end; silent elsewhere, and where
/// several VPSs are worked on at once.
final class ProgressLine {
    private let title: String
    /// Whether anybody sees it.
    let isShown: Bool
    private let remarks: Bool
    private var step = ""
    private var drawn = ""

    init(_ title: String, _ globals: Globals) {
        self.title = title
        isShown = !globals.quiet && !globals.json && Caller.isTerminal(.error) && !ParallelVerbs.isOne
        remarks = !globals.quiet
    }

    func handle(_ event: WorkEvent) {
        switch event {
        case .step(let name):
            step = name
            draw(step)
        case .progress(let done, let total):
            // Redrawn when the text changes, which bounds how often: sizes have two or three digits.
            draw("\(step) \(Size.format(done))" + (total > 0 ? " of \(Size.format(total))" : ""))
        case .note(let text):
            guard remarks else { return }
            clear()
            Output.errorLine("ctr: \(text.escaped)")
        }
    }

    private func draw(_ text: String) {
        guard isShown else { return }
        let columns = Caller.columns(of: .error) ?? 80
        let line = String("\(title): \(text)".escaped.prefix(max(1, columns - 1)))
        if line == drawn { return }
        drawn = line
        Output.errorText("\r\(line)\u{1b}[K")
    }

    /// The line is the terminal's again.
    func clear() {
        guard !drawn.isEmpty else { return }
        drawn = ""
        Output.errorText("\r\u{1b}[K")
    }
}
