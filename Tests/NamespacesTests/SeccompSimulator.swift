/// Runs a classic BPF program of seccomp(2) on one call, as the kernel would: for tests of what a filter says about
/// architectures that this machine is not.
struct SeccompSimulator {
    struct Call {
        var number: UInt32
        var architecture: UInt32
        var arguments: [UInt64] = []
    }
    enum Failure: Error { case badInstruction(UInt16, at: Int), outside(Int) }

    let program: [UInt8]

    /// The action that the filter returns, see seccomp(2).
    func run(_ call: Call) throws -> UInt32 {
        var data = [UInt8](repeating: 0, count: 64)  // struct seccomp_data
        func store(_ value: UInt64, _ bytes: Int, at offset: Int) {
            for index in 0..<bytes { data[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
        }
        store(UInt64(call.number), 4, at: 0)
        store(UInt64(call.architecture), 4, at: 4)
        for (index, argument) in call.arguments.enumerated() { store(argument, 8, at: 16 + 8 * index) }

        var a: UInt32 = 0
        var pc = 0
        while pc * 8 < program.count {
            let (code, jt, jf, k) = program.withUnsafeBytes {
                (
                    $0.loadUnaligned(fromByteOffset: pc * 8, as: UInt16.self), Int($0[pc * 8 + 2]), Int($0[pc * 8 + 3]),
                    $0.loadUnaligned(fromByteOffset: pc * 8 + 4, as: UInt32.self)
                )
            }
            pc += 1
            switch code {
            case 0x20:
                guard k <= 60, k % 4 == 0 else { throw Failure.badInstruction(code, at: pc - 1) }
                a = data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: Int(k), as: UInt32.self) }
            case 0x54: a &= k
            case 0x05: pc += Int(k)
            case 0x15: pc += a == k ? jt : jf
            case 0x25: pc += a > k ? jt : jf
            case 0x35: pc += a >= k ? jt : jf
            case 0x45: pc += a & k != 0 ? jt : jf
            case 0x06: return k
            default: throw Failure.badInstruction(code, at: pc - 1)
            }
        }
        throw Failure.outside(pc)
    }
}
