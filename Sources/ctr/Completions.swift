internal import ArgumentParser
internal import Model
internal import Runtime

/// Names that a shell offers. They come from the directories of the line that is being typed; what goes wrong there
/// means that nothing is offered.
enum Completions {
    static let vpsNames = CompletionKind.custom { words, _, _ in
        guard let host = try? host(of: words) else { return [] }
        return (try? VPSList.names(on: host)) ?? []
    }

    static let templates = CompletionKind.custom { words, _, _ in
        guard let host = try? host(of: words) else { return [] }
        return (try? TemplateVerbs(host: host).list().map(\.name)) ?? []
    }

    static let profiles = CompletionKind.custom { _, _, _ in (try? Profiles.names()) ?? [] }

    private static func host(of words: [String]) throws(CtrError) -> Host {
        var globals = Globals()
        var rest = words.dropFirst()
        _ = globals.takeLeading(&rest)
        return try globals.host()
    }
}
