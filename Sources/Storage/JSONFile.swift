internal import FoundationEssentials
internal import Kernel
internal import Model

/// JSON of files that come from outside: of bounded size, every mismatch an error that names the field.
enum JSONFile {
    /// Indexes, manifests and image configurations; the OCI specification suggests 4 MiB as the most.
    static let limit = 4 << 20

    static func decode<T: Decodable>(_ type: T.Type, _ bytes: [UInt8], _ what: String) throws(CtrError) -> T {
        if bytes.count > limit { throw CtrError(.badInput, "\(what): larger than \(limit) bytes") }
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
            throw CtrError(.badInput, "\(what): \(reason(error))")
        }
    }

    static func encode(_ value: some Encodable, pretty: Bool = true) throws(CtrError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = pretty ? [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes] : [.sortedKeys]
        do { return Array(try encoder.encode(value)) + (pretty ? [10] : []) } catch {
            throw CtrError(.failed, "encode JSON: \(error)")
        }
    }

    private static func reason(_ error: any Error) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty ? "the document" : path.map(\.stringValue).joined(separator: ".").escaped
        }
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            return "\(place(context.codingPath + [key])) is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            return "\(place(context.codingPath)) has the wrong type"
        case DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty:
            return "\(place(context.codingPath)) has no meaning"
        default: return "not JSON"
        }
    }
}

enum Timestamp {
    /// Now, as RFC 3339 in UTC.
    static var now: String { Date().formatted(.iso8601) }
}

/// The architecture this program runs on, as the OCI image specification names it.
enum Host {
    #if arch(x86_64)
    static let architecture = "amd64"
    #elseif arch(arm64)
    static let architecture = "arm64"
    #elseif arch(powerpc64le)
    static let architecture = "ppc64le"
    #elseif arch(s390x)
    static let architecture = "s390x"
    #elseif arch(riscv64)
    static let architecture = "riscv64"
    #else
    static let architecture = "arm"
    #endif
}
