import Glibc
import Kernel
import Model
import Testing

@testable import Checkpoint

/// Pages of zeros take no space.
@Suite struct MemoryImageTests {
    @Test func runsOfZerosBecomeHoles() throws {
        let path = "/var/tmp/ctr-memory-\(UInt32.random(in: 0 ... .max))"
        let file = SharedFD(try open(path, [.readWrite, .create, .exclusive], mode: 0o600))
        defer { unlink(path) }
        // Beyond one piece of reading; the last page is not whole.
        var bytes = [UInt8](repeating: 7, count: (3 << 20) + 100)
        for index in (1 << 20)..<(2 << 20) { bytes[index] = 0 }
        // Too short for a hole, and one byte that is not zero in the midst.
        for index in 8192..<16384 { bytes[index] = 0 }
        bytes[(1 << 20) + 300_000] = 1
        try file.fd.writeAll(bytes)
        try file.fd.sync()
        let before = try file.fd.status().allocated
        let sum = try CRC32C.hex(of: file)
        #expect(try MemoryImage.seal(file) == sum)
        try file.fd.sync()
        #expect(try before - file.fd.status().allocated >= (1 << 20) - (256 << 10))
        #expect(try file.fd.readAll(limit: 1 << 23) == bytes)
        #expect(try CRC32C.hex(of: file) == sum)
    }

    @Test func onlyWholePagesCount() {
        var bytes = [UInt8](repeating: 0, count: 40 * 4096 + 10)
        bytes[20 * 4096] = 1
        let found = bytes.withUnsafeBytes { MemoryImage.zeros(of: $0) }
        #expect(found == [0..<(20 * 4096), (21 * 4096)..<(40 * 4096)])
        #expect([UInt8](repeating: 0, count: 10).withUnsafeBytes { MemoryImage.zeros(of: $0) }.isEmpty)
    }
}
