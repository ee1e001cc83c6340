import Testing

@testable import Checkpoint

struct DumpStatisticsTests {
    /// As criu 4.2 writes it: freezing 1234 µs, frozen 300000 µs.
    private static let file: [UInt8] =
        [0x40, 0x59, 0x10, 0x55, 0x06, 0x33, 0x09, 0x57, 10, 0, 0, 0]
        + [0x0a, 7, 0x08, 0xd2, 0x09, 0x10, 0xe0, 0xa7, 0x12]

    @Test func howLongItStoodStill() { #expect(DumpStatistics(Self.file)?.frozenMilliseconds == 300) }

    @Test func whatIsCutShortIsNone() {
        for size in 0..<Self.file.count { #expect(DumpStatistics(Array(Self.file.prefix(size))) == nil) }
        #expect(DumpStatistics.read("/nonexistent") == nil)
    }
}
