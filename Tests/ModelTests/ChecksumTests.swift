import Testing

@testable import Model

/// CRC-32C, by the examples of RFC 3720, appendix B.4, and the check value of the catalogue.
@Suite struct ChecksumTests {
    @Test(arguments: [
        ([UInt8](repeating: 0, count: 32), "8a9136aa"),
        ([UInt8](repeating: 0xff, count: 32), "62a8ab43"),
        ((0..<32).map { UInt8($0) }, "46dd794e"),
        (Array("123456789".utf8), "e3069283"),
        ([], "00000000"),
    ])
    func examples(_ data: [UInt8], _ expected: String) {
        for isPortable in [true, false] {
            for cut in [1, 3, 8, 100] {
                var sum = CRC32C(isPortable: isPortable)
                for start in stride(from: 0, to: data.count, by: cut) {
                    data[start..<min(start + cut, data.count)].withUnsafeBytes { sum.update($0) }
                }
                #expect(sum.hex == expected)
            }
        }
    }
}
