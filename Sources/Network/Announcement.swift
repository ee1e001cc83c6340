internal import Kernel
internal import Model

/// What tells neighbours on an Ethernet that an address is to be found at a MAC from now on, for addresses that no
/// interface of the host has.
enum Announcement {
    /// A whole frame: an ARP announcement (RFC 5227, 1.1), or an unsolicited neighbour advertisement to all nodes (RFC 4861,
    /// 7.2.6) that overrides what they knew.
    static func frame(_ address: IPAddress, at mac: [UInt8]) -> [UInt8] {
        address.isIPv6 ? advertisement(address.bytes, mac) : arp(address.bytes, mac)
    }

    private static func arp(_ address: [UInt8], _ mac: [UInt8]) -> [UInt8] {
        // Ethernet and IPv4, of 6 and 4 bytes; a request.
        let head: [UInt8] = [0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]
        return [UInt8](repeating: 0xff, count: 6) + mac + head + mac + address + [UInt8](repeating: 0, count: 6)
            + address
    }

    private static func advertisement(_ address: [UInt8], _ mac: [UInt8]) -> [UInt8] {
        let everybody: [UInt8] = [0xff, 0x02] + [UInt8](repeating: 0, count: 13) + [1]
        // Type, code, checksum, the flag "override", the address, the option of the sender's own link-layer address.
        var message: [UInt8] = [136, 0, 0, 0, 0x20, 0, 0, 0] + address + [2, 1] + mac
        let length = UInt8(message.count)
        let sum = checksum(address + everybody + [0, 0, 0, length, 0, 0, 0, 58] + message)
        (message[2], message[3]) = (UInt8(sum >> 8), UInt8(sum & 0xff))
        let ethernet: [UInt8] = [0x33, 0x33, 0, 0, 0, 1] + mac + [0x86, 0xdd]
        // 255 hops left: it comes from no further than this network.
        let header: [UInt8] = [0x60, 0, 0, 0, 0, length, 58, 255] + address + everybody
        return ethernet + header + message
    }

    /// RFC 1071. Of an even number of bytes.
    private static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        }
        while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
        return ~UInt16(sum)
    }
}

extension HostNetwork {
    /// Who knew addresses elsewhere learns over the bridge that a VPS's interface has them. Where that can't be said, their
    /// memory fades by itself.
    func announce(_ addresses: [IPAddress], by guest: Link, in namespace: borrowing FD) throws(CtrError) {
        if addresses.isEmpty { return }
        try NetlinkSocket.within(namespace) { () throws(CtrError) in
            for address in addresses {
                try? CurrentProcess.sendFrame(Announcement.frame(address, at: guest.mac), over: guest.index)
            }
        }
    }
}

extension NetlinkSocket {
    /// Waits until a bridge takes what comes in at a port: the kernel lets it a moment after both ends are up, by a work of its
    /// own, and what the VPS says before is lost. (So are the announcements that `arp_notify` and `ndisc_notify` make.)
    /// - Returns: whether it does now. A bridge that is down doesn't, nor, for many seconds, one with a spanning tree.
    func awaitForwarding(of port: String, to bridge: String) throws(CtrError) -> Bool {
        guard try link(bridge)?.isUp == true else { return false }
        let deadline = Deadline(milliseconds: 1000)
        while true {
            let state = try link(port)?.portState
            if state != .disabled || deadline.hasPassed { return state == .forwarding }
            deadline.sleep(microseconds: 200)
        }
    }
}
