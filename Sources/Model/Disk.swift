/// `disk` of config.json: an image of a fixed size.
public struct DiskConfig: Codable, Sendable, Equatable {
    /// Bytes that the VPS was promised.
    public var size: Int64
    /// All of them were taken from the host's disk when it was made; otherwise only what is written is.
    public var thick: Bool
    /// What a resize at work makes of `size`: the image may already have it.
    public var resizingTo: Int64?

    public init(size: Int64, thick: Bool) {
        self.size = size
        self.thick = thick
    }

    /// Below it the file system has no room for its own.
    public static let minimumSize: Int64 = 128 << 20
    /// btrfs's sectors.
    public static let granularity: Int64 = 4096
}

/// `--disk SIZE|none`.
public enum DiskChoice: Codable, Sendable, Equatable {
    /// A directory on the host's file system.
    case none
    /// An image of so many bytes.
    case image(Int64)

    /// - Throws: `usage`.
    public static func parse(_ text: String, option: String) throws(CtrError) -> DiskChoice {
        if text == "none" { return .none }
        let size: Int64
        do throws(CtrError) { size = try Size.parse(text, option: option) } catch {
            throw CtrError(.usage, "\(option) '\(text.escaped)': neither none nor a size (10G)")
        }
        if size < DiskConfig.minimumSize {
            throw CtrError(
                .usage,
                "\(option) \(text.escaped): too small for a disk (\(Size.format(DiskConfig.minimumSize)) or more)")
        }
        // Up: nobody gets less than asked for.
        let sectors = (size - 1) / DiskConfig.granularity + 1
        let (rounded, overflow) = sectors.multipliedReportingOverflow(by: DiskConfig.granularity)
        if overflow { throw CtrError(.usage, "\(option) \(text.escaped): too big for a disk") }
        return .image(rounded)
    }

    /// As the option has it.
    public var text: String {
        switch self {
        case .none: "none"
        case .image(let size): "\(size)"
        }
    }

    public init(from decoder: any Decoder) throws {
        self = try DiskChoice.parse(try decoder.singleValueContainer().decode(String.self), option: "disk")
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
