internal import CMnl
internal import Kernel
internal import Model

/// A socket of netlink(7), with the network namespace in which the calling thread was when it was made.
final class NetlinkSocket {
    enum Family {
        case route, netfilter
        var number: Int32 { self == .route ? NETLINK_ROUTE : NETLINK_NETFILTER }
    }

    private let socket: OpaquePointer
    private var sequence: UInt32 = 0

    init(_ family: Family = .route) throws(CtrError) {
        let closeOnExec: Int32 = 0o2_000_000
        guard let socket = mnl_socket_open2(family.number, closeOnExec) else {
            throw NetlinkSocket.failure("open")
        }
        self.socket = socket
        // What the kernel says of an error in words; where it can't (before 4.12), numbers do.
        var on: Int32 = 1
        for option in [NETLINK_EXT_ACK, NETLINK_CAP_ACK] {
            _ = mnl_socket_setsockopt(socket, Int32(option), &on, 4)
        }
        if mnl_socket_bind(socket, 0, 0) < 0 {
            let error = NetlinkSocket.failure("bind")
            mnl_socket_close(socket)
            throw error
        }
    }

    deinit { mnl_socket_close(socket) }

    /// What a request was for, and the kernel's word that it could not be.
    struct Refusal {
        let what: String
        let errno: Int32
        /// What the kernel adds in words; often empty.
        let text: String

        func error(_ code: CtrError.Code = .failed, hint: String? = nil) -> CtrError {
            let reason = text.isEmpty ? SysError.text(errno) : "\(SysError.text(errno)): \(text.escaped)"
            return CtrError(code, "\(what): \(reason)" + (hint.map { " (\($0))" } ?? ""), step: "network", errno: errno)
        }
    }

    /// Sends all requests of a batch and waits for the kernel's word on each.
    /// - Returns: those that were refused, in order.
    func send(_ batch: NetlinkBatch) throws(CtrError) -> [Refusal] {
        if batch.isEmpty { return [] }
        let first = sequence
        batch.number(from: first)
        sequence += UInt32(batch.count)
        try transmit(batch)
        var refusals: [Refusal] = []
        var waiting = batch.acknowledged
        // Of a transaction that fails the kernel may tell more errors than requests were made, and leave out the rest.
        while waiting > 0 {
            for answer in try receive() {
                guard answer.type == NLMSG_ERROR, answer.sequence >= first, answer.sequence < sequence else { continue }
                waiting -= 1
                if answer.errno != 0 {
                    refusals.append(
                        Refusal(
                            what: batch.what(answer.sequence - first), errno: answer.errno, text: answer.text))
                    if batch.isTransaction { return refusals }
                }
            }
        }
        return refusals
    }

    /// As ``send(_:)``; the first refusal is an error.
    func carryOut(_ batch: NetlinkBatch) throws(CtrError) {
        if let refusal = try send(batch).first { throw refusal.error() }
    }

    /// Sends one request for a list, or for one thing, and returns what is answered.
    /// - Parameter isWanted: of a list that may be very long, what to keep.
    /// - Returns: nil where the kernel knows no such thing.
    func ask(
        _ batch: NetlinkBatch, dump: Bool, where isWanted: (NetlinkAnswer) -> Bool = { _ in true }
    ) throws(CtrError) -> [NetlinkAnswer]? {
        let first = sequence
        batch.number(from: first)
        sequence += 1
        try transmit(batch)
        var answers: [NetlinkAnswer] = []
        while true {
            for answer in try receive() where answer.sequence == first {
                switch Int32(answer.type) {
                case NLMSG_DONE: return answers
                case NLMSG_ERROR:
                    if answer.errno == 0 { return answers }
                    if answer.errno == Errno.noDevice || answer.errno == Errno.noEntry { return nil }
                    throw Refusal(what: batch.what(0), errno: answer.errno, text: answer.text).error()
                default:
                    if isWanted(answer) { answers.append(answer) }
                    if !dump { return answers }
                }
            }
        }
    }

    private func transmit(_ batch: NetlinkBatch) throws(CtrError) {
        let bytes = batch.bytes
        if mnl_socket_sendto(socket, bytes.baseAddress, bytes.count) < 0 { throw NetlinkSocket.failure("send") }
    }

    private func receive() throws(CtrError) -> [NetlinkAnswer] {
        // One message of a socket has up to 32 KiB; libmnl says ENOSPC to more.
        var count = 0
        let buffer = [UInt8](unsafeUninitializedCapacity: 1 << 15) { buffer, used in
            repeat {
                count = mnl_socket_recvfrom(socket, buffer.baseAddress, buffer.count)
            } while count < 0 && ctr_mnl_errno() == EINTR
            used = max(0, count)
        }
        if count < 0 { throw NetlinkSocket.failure("receive") }
        return NetlinkAnswer.list(buffer)
    }

    private static func failure(_ call: String) -> CtrError {
        CtrError(.failed, "netlink socket", step: "network", cause: SysError(call, ctr_mnl_errno()))
    }
}

/// One message of the kernel.
struct NetlinkAnswer {
    let type: Int32
    let flags: UInt16
    let sequence: UInt32
    let payload: ArraySlice<UInt8>

    static func list(_ bytes: [UInt8]) -> [NetlinkAnswer] {
        var result: [NetlinkAnswer] = []
        var rest = bytes[...]
        func number(_ offset: Int, _ size: Int) -> UInt32 {
            (0..<size).reversed().reduce(0) { $0 << 8 | UInt32(rest[rest.startIndex + offset + $1]) }
        }
        while rest.count >= 16 {
            let length = Int(number(0, 4))
            guard length >= 16, length <= rest.count else { break }
            let start = rest.startIndex
            result.append(
                NetlinkAnswer(
                    type: Int32(number(4, 2)), flags: UInt16(number(6, 2)), sequence: number(8, 4),
                    payload: rest[(start + 16)..<(start + length)]))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return result
    }

    /// Of NLMSG_ERROR: 0 where all is well.
    var errno: Int32 {
        guard payload.count >= 4 else { return 0 }
        return -Int32(bitPattern: payload.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) })
    }

    /// Of NLMSG_ERROR: what the kernel adds in words.
    var text: String {
        guard flags & UInt16(NLM_F_ACK_TLVS) != 0, payload.count >= 20 else { return "" }
        let start = payload.startIndex
        // The request's header is repeated, and without NLM_F_CAPPED the whole request.
        let length = (0..<4).reversed().reduce(0) { $0 << 8 | Int(payload[start + 4 + $1]) }
        let repeated = flags & UInt16(NLM_F_CAPPED) != 0 ? 16 : (length + 3) & ~3
        return NetlinkAttribute.list(payload.dropFirst(4 + repeated)).first(Int(NLMSGERR_ATTR_MSG.rawValue))?.text ?? ""
    }

    /// The attributes behind the fixed part of this type.
    func attributes<Fixed>(after _: Fixed.Type) -> [NetlinkAttribute] {
        NetlinkAttribute.list(payload.dropFirst((MemoryLayout<Fixed>.size + 3) & ~3))
    }

    /// The fixed part.
    func fixed<Fixed>(_ type: Fixed.Type) -> Fixed? {
        guard payload.count >= MemoryLayout<Fixed>.size else { return nil }
        return payload.withUnsafeBytes { $0.loadUnaligned(as: type) }
    }
}

/// Requests that go to the kernel in one call, in order.
final class NetlinkBatch {
    private static let capacity = 1 << 16
    private let memory: UnsafeMutableRawPointer
    private var used = 0
    private var requests: [(offset: Int, what: String)] = []
    private(set) var acknowledged = 0
    /// All or nothing: nf_tables.
    let isTransaction: Bool

    init(transaction: Bool = false) {
        isTransaction = transaction
        memory = .allocate(byteCount: NetlinkBatch.capacity, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: NetlinkBatch.capacity)
    }

    deinit { memory.deallocate() }

    var isEmpty: Bool { requests.isEmpty }
    var count: Int { requests.count }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory, count: used) }

    /// Adds a request. No single one comes near the room that is kept for it.
    /// - Parameter what: for the error message.
    func add(
        _ type: Int, _ flags: Int32 = 0, what: String, acknowledge: Bool = true, _ body: (NetlinkMessage) -> Void
    ) {
        precondition(used + 4096 <= NetlinkBatch.capacity, "too many requests in one batch")
        let ack = acknowledge ? NLM_F_ACK : 0
        let message = NetlinkMessage(
            at: memory + used, type: UInt16(type), flags: UInt16(NLM_F_REQUEST | ack | flags), sequence: 0)
        body(message)
        requests.append((used, what))
        if acknowledge { acknowledged += 1 }
        used += (message.size + 3) & ~3
    }

    /// Room for how many requests of ordinary size is left.
    var hasRoom: Bool { used + 8192 <= NetlinkBatch.capacity }

    fileprivate func number(from first: UInt32) {
        for (index, request) in requests.enumerated() {
            (memory + request.offset).assumingMemoryBound(to: nlmsghdr.self).pointee.nlmsg_seq = first + UInt32(index)
        }
    }

    fileprivate func what(_ index: UInt32) -> String {
        Int(index) < requests.count ? requests[Int(index)].what : "network"
    }
}
