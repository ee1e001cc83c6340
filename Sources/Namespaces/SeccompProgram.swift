/// A classic BPF program under construction: see the kernel's Documentation/networking/filter.rst and seccomp(2).
struct BPFProgram {
    /// struct sock_filter: code (2 bytes), jt, jf (1 each), k (4), in the machine's byte order.
    private(set) var bytes: [UInt8] = []
    private static let size = 8

    private enum Code {
        static let load: UInt16 = 0x20  // BPF_LD | BPF_W | BPF_ABS
        static let jump: UInt16 = 0x05  // BPF_JMP | BPF_JA
        static let jumpIfEqual: UInt16 = 0x15  // BPF_JMP | BPF_JEQ | BPF_K
        static let `return`: UInt16 = 0x06  // BPF_RET | BPF_K
    }

    /// Instructions.
    var count: Int { bytes.count / Self.size }

    /// Appends a whole program; where it returns `mark` the run goes on after it instead.
    mutating func append(_ program: [UInt8], fallingThrough mark: UInt32) {
        let length = program.count / Self.size
        for index in 0..<length {
            let start = index * Self.size
            let word = program[start..<start + Self.size]
            let code = word.withUnsafeBytes { $0.loadUnaligned(as: UInt16.self) }
            let k = word.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self) }
            if code == Code.return && k == mark {
                appendInstruction(Code.jump, k: UInt32(length - index - 1))
            } else {
                bytes += word
            }
        }
    }

    /// Appends actions by the call's number alone, for every architecture; a number that is not named goes on after it.
    mutating func append(_ calls: [(number: UInt32, action: UInt32)]) {
        if calls.isEmpty { return }
        appendInstruction(Code.load, k: 0)  // struct seccomp_data begins with the number
        for call in calls {
            appendInstruction(Code.jumpIfEqual, ifTrue: 0, ifFalse: 1, k: call.number)
            appendReturn(call.action)
        }
    }

    mutating func appendReturn(_ action: UInt32) { appendInstruction(Code.return, k: action) }

    private mutating func appendInstruction(_ code: UInt16, ifTrue: UInt8 = 0, ifFalse: UInt8 = 0, k: UInt32) {
        withUnsafeBytes(of: code) { bytes += $0 }
        bytes += [ifTrue, ifFalse]
        withUnsafeBytes(of: k) { bytes += $0 }
    }
}
