internal import Kernel

/// What criu measured of its last dump: the file stats-dump in its working directory.
public struct DumpStatistics: Sendable, Equatable {
    /// How long the tree stood still.
    public var frozenMilliseconds: Int

    /// nil where there is none that can be read.
    public static func read(_ work: String) -> DumpStatistics? {
        guard let directory = try? open(work, [.path, .directory]),
            let bytes = try? directory.readFile("stats-dump", limit: 65536)
        else { return nil }
        return DumpStatistics(bytes)
    }

    /// Two magic numbers and a size of four bytes each, then a message of Protocol Buffers: criu's images/stats.proto.
    init?(_ bytes: [UInt8]) {
        guard bytes.count > 12, let dump = ProtocolBuffer(bytes[12...]).message(1),
            let frozen = ProtocolBuffer(dump).number(2)
        else { return nil }
        frozenMilliseconds = Int(frozen / 1000)
    }
}
