internal import Model
internal import Runtime

/// What a field of `ctr list` says of one VPS.
enum ListValue: Encodable {
    case none
    case text(String)
    case number(Int64)
    case real(Double)
    case flag(Bool)
    case words([String])

    init(_ text: String?) { self = text.map(ListValue.text) ?? .none }
    init(_ number: Int64?) { self = number.map(ListValue.number) ?? .none }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .none: try container.encodeNil()
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        case .real(let real): try container.encode(real)
        case .flag(let flag): try container.encode(flag)
        case .words(let words): try container.encode(words)
        }
    }

    /// For people.
    var text: String {
        switch self {
        case .none: ""
        case .text(let text): text
        case .number(let number): "\(number)"
        case .real(let real): real == real.rounded() ? "\(Int64(real))" : "\(real)"
        case .flag(let flag): flag ? "yes" : "no"
        case .words(let words): words.joined(separator: " ")
        }
    }

    var isNone: Bool { if case .none = self { true } else { false } }

    /// Of two values of one field, neither of them none.
    func isLess(than other: ListValue) -> Bool {
        switch (self, other) {
        case (.number(let a), .number(let b)): a < b
        case (.real(let a), .real(let b)): a < b
        case (.flag(let a), .flag(let b)): !a && b
        default: text < other.text
        }
    }
}

/// A column of `ctr list -o`.
struct ListField {
    /// As `-o` takes it and as a key of JSON.
    let name: String
    let alignment: Table.Alignment
    let value: (VPSSummary) -> ListValue
    private let format: (ListValue) -> String

    private init(
        _ name: String, _ alignment: Table.Alignment = .left, format: @escaping (ListValue) -> String = { $0.text },
        _ value: @escaping (VPSSummary) -> ListValue
    ) {
        self.name = name
        self.alignment = alignment
        self.format = format
        self.value = value
    }

    var title: String {
        let label = "label."
        return name.hasPrefix(label) ? "LABEL.\(name.dropFirst(label.count))".escaped : name.uppercased()
    }

    func text(_ vps: VPSSummary) -> String { format(value(vps)) }

    /// Those that a list has where nothing else was asked for.
    static let usual = "name,state,template,pid,started,command"

    /// The fields of `-o`: names with commas between them. Throws `usage`, listing the fields, for an unknown one.
    static func parse(_ text: String, option: String) throws(CtrError) -> [ListField] {
        var fields: [ListField] = []
        for name in text.split(separator: ",", omittingEmptySubsequences: false) {
            fields.append(try field(String(name), option))
        }
        return fields
    }

    /// The fields of `--sort`: with a `-` before the name the largest is first.
    static func parseOrder(_ text: String) throws(CtrError) -> [(field: ListField, falling: Bool)] {
        var order: [(ListField, Bool)] = []
        for name in text.split(separator: ",", omittingEmptySubsequences: false) {
            let falling = name.hasPrefix("-")
            order.append((try field(String(falling ? name.dropFirst() : name), "--sort"), falling))
        }
        return order
    }

    /// Sorted by the first field that differs, then by name. Those without a value come last, either way.
    static func sort(_ list: [VPSSummary], by order: [(field: ListField, falling: Bool)]) -> [VPSSummary] {
        list.sorted { a, b in
            for (field, falling) in order {
                let (x, y) = (field.value(a), field.value(b))
                if x.isNone != y.isNone { return y.isNone }
                if x.isNone { continue }
                if x.isLess(than: y) { return !falling }
                if y.isLess(than: x) { return falling }
            }
            return a.name < b.name
        }
    }

    private static func field(_ name: String, _ option: String) throws(CtrError) -> ListField {
        if let field = all.first(where: { $0.name == name }) { return field }
        if name.hasPrefix("label."), name != "label." {
            let key = String(name.dropFirst("label.".count))
            return ListField(name) { ListValue($0.labels[key]) }
        }
        throw CtrError(
            .usage,
            "\(option) '\(name.escaped)': not a field (known are \(names))")
    }

    static var names: String { all.map(\.name).joined(separator: ", ") + ", label.KEY" }

    private static func size(_ value: ListValue) -> String {
        if case .number(let bytes) = value { Size.format(bytes) } else { value.text }
    }

    private static func duration(_ value: ListValue) -> String {
        if case .number(let seconds) = value { TimeText.format(seconds: seconds) } else { value.text }
    }

    private static var all: [ListField] {
        [
            ListField("name") { .text($0.name) }, ListField("state") { .text($0.status.rawValue) },
            ListField("template") { .text($0.template) },
            ListField("pid", .right) { ListValue($0.pid.map(Int64.init)) },
            ListField("started") { ListValue($0.started) }, ListField("created") { .text($0.created) },
            ListField("uptime", .right, format: duration) { ListValue($0.uptime) },
            ListField("command") { .words($0.args) }, ListField("description") { ListValue($0.description) },
            ListField("labels") { .words($0.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }) },
            ListField("hostname") { .text($0.hostname) },
            ListField("memory", .right, format: size) { ListValue($0.memory) },
            ListField("cpus", .right) { $0.cpus.map(ListValue.real) ?? .none },
            ListField("pids", .right) { ListValue($0.pids) }, ListField("ephemeral") { .flag($0.ephemeral) },
            ListField("onboot") { .flag($0.onboot) },
            ListField("priority", .right) { .number(Int64($0.bootPriority)) },
            ListField("protected") { .flag($0.protected) }, ListField("restart") { .text($0.restart.rawValue) },
        ]
    }
}
