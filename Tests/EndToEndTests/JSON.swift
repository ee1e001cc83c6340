import FoundationEssentials
import Testing

/// Any JSON value, read by key or index: what a user's script sees, with none of ctr's own types.
enum JSON: Decodable, Equatable {
    case object([String: JSON])
    case array([JSON])
    case string(String)
    case number(Double)
    case bool(Bool)
    case null

    init(text: String) throws { self = try JSONDecoder().decode(JSON.self, from: Data(text.utf8)) }

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let object = try? value.decode([String: JSON].self) {
            self = .object(object)
        } else if let array = try? value.decode([JSON].self) {
            self = .array(array)
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else {
            self = .string(try value.decode(String.self))
        }
    }

    subscript(_ key: String) -> JSON? {
        guard case .object(let object) = self else { return nil }
        return object[key]
    }
    var array: [JSON]? {
        guard case .array(let array) = self else { return nil }
        return array
    }
    var string: String? {
        guard case .string(let string) = self else { return nil }
        return string
    }
    var int: Int? {
        guard case .number(let number) = self else { return nil }
        return Int(number)
    }
    var bool: Bool? {
        guard case .bool(let bool) = self else { return nil }
        return bool
    }

    /// The first value of this key, however deep.
    func find(_ key: String) -> JSON? {
        switch self {
        case .object(let object): object[key] ?? object.values.lazy.compactMap { $0.find(key) }.first
        case .array(let array): array.lazy.compactMap { $0.find(key) }.first
        default: nil
        }
    }
}
