package import Kernel

/// The checksum of RFC 3720 (iSCSI), appendix B.4: it finds what a disk or a copy has damaged, many times faster than a
/// hash, and is no proof against somebody who means to deceive.
package struct CRC32C {
    private var crc: UInt32 = 0xffff_ffff
    private let isPortable: Bool

    /// - Parameter isPortable: without the processor's own instruction for it.
    package init(isPortable: Bool = false) { self.isPortable = isPortable }

    package mutating func update(_ data: UnsafeRawBufferPointer) {
        if !isPortable, HashBlocks.crc32c(&crc, data) { return }
        for byte in data { crc = CRC32C.table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ (crc >> 8) }
    }

    package var value: UInt32 { ~crc }

    /// Lower-case hexadecimal, 8 characters.
    package var hex: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// The checksum of an open file; the offset is put back to its start.
    package static func hex(of file: SharedFD) throws(CtrError) -> String {
        var sum = CRC32C()
        try describing("read") { () throws(SysError) in try file.fd.forEachPiece { sum.update($0) } }
        return sum.hex
    }

    private static let table: [UInt32] = (0..<256).map { (index: UInt32) in
        (0..<8).reduce(index) { (crc, _) in crc & 1 == 0 ? crc >> 1 : (crc >> 1) ^ 0x82f6_3b78 }
    }
}
