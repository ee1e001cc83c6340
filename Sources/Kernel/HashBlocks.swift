internal import CLinux

/// Sums of data by instructions of the processor's own.
package enum HashBlocks {
    /// Mixes whole blocks of 64 bytes into the state, see FIPS 180-4.
    /// - Parameters:
    ///   - state: the eight words.
    ///   - constants: the 64 of the standard.
    /// - Returns: false where the processor has no such instructions; nothing is done then.
    package static func sha256(
        _ state: UnsafeMutablePointer<UInt32>, _ blocks: UnsafeRawPointer, count: Int,
        constants: UnsafePointer<UInt32>
    ) -> Bool {
        ctr_sha256_blocks(state, blocks, count, constants) != 0
    }

    /// Adds bytes to a CRC-32C that has not been inverted at its end yet, see RFC 3720, appendix B.4.
    /// - Returns: false where the processor has no such instruction; nothing is done then.
    package static func crc32c(_ crc: inout UInt32, _ data: UnsafeRawBufferPointer) -> Bool {
        guard let base = data.baseAddress else { return true }
        return ctr_crc32c(&crc, base, data.count) != 0
    }
}
