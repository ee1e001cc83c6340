internal import FoundationEssentials
internal import Model

/// JSON for programs: keys sorted, slashes as they are.
enum JSONOutput {
    static func text(_ value: some Encodable, pretty: Bool) throws(CtrError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
        do { return String(decoding: try encoder.encode(value), as: UTF8.self) } catch {
            throw CtrError(.failed, "write JSON: \(error)")
        }
    }
}
