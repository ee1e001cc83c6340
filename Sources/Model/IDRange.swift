/// A range of host ids: `count` ids from `base` on. The VPS's id 0 is the host's `base`.
public struct IDRange: Codable, Equatable, Hashable, Sendable {
    public var base: UInt32
    public var count: UInt32
    public init(base: UInt32, count: UInt32) {
        self.base = base
        self.count = count
    }
}
