public import Storage

/// What long work tells its caller, for the command line, which does not see Storage.
public enum WorkEvent: Sendable, Equatable {
    /// A step begins: `unpack`, `layer 2 of 5`.
    case step(String)
    /// Bytes done so far, of how many.
    case progress(done: Int64, total: Int64)
    /// Something that the operator should know and that is no failure.
    case note(String)

    fileprivate init(_ event: TemplateEvent) {
        switch event {
        case .step(let name): self = .step(name)
        case .progress(let done, let total): self = .progress(done: done, total: total)
        case .note(let text): self = .note(text)
        }
    }
}

extension TemplateVerbs {
    /// A handler for the `progress` of this type's verbs.
    public static func progress(_ handle: @escaping (WorkEvent) -> Void) -> TemplateProgress {
        { handle(WorkEvent($0)) }
    }
}
