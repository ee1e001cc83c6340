public import Kernel
internal import Model

/// Files without their name that processes had open, as criu finds them again: criu's `remap-fpath.img`.
///
/// One that has another name has got a further one, `link_remap.N` beside the old one, when it was written down; a restore takes
/// it away. One that has none is in the checkpoint; a restore makes it as `NAME.cr.N.ghost`, and takes that away. Both in its last
/// moments.
public struct Remaps: Sendable, Equatable {
    /// Paths below the root, without a slash before.
    public var links: [String] = []
    /// Each in the directory of the file or, where that is gone, in one above.
    public var ghosts: [String] = []

    public init() {}

    public var isEmpty: Bool { links.isEmpty && ghosts.isEmpty }

    /// - Parameter images: the directory of criu's images.
    /// - Throws: EFBIG for images that no VPS has.
    public static func read(_ images: SharedFD) throws(SysError) -> Remaps {
        guard let remaps = try file("remap-fpath.img", images) else { return Remaps() }
        return Remaps(remaps, files: try file("files.img", images) ?? [])
    }

    private static func file(_ name: String, _ images: SharedFD) throws(SysError) -> [UInt8]? {
        do throws(SysError) { return try images.fd.readFile(name, limit: 1 << 28) } catch
            where error.errno == Errno.noEntry
        { return nil }
    }

    /// See images/remap-file-path.proto, images/fdinfo.proto and images/regfile.proto of criu.
    init(_ remaps: [UInt8], files: [UInt8]) {
        var names: [UInt64: String] = [:]
        for entry in ProtocolBuffer.messages(ofImage: files) {
            guard let id = entry.number(2), let file = entry.message(3), let name = ProtocolBuffer(file).message(6)
            else {
                continue
            }
            names[id] = String(decoding: name.drop { $0 == UInt8(ascii: "/") }, as: UTF8.self)
        }
        for entry in ProtocolBuffer.messages(ofImage: remaps) {
            guard let original = entry.number(1), let id = entry.number(2) else { continue }
            switch entry.number(3) ?? 0 {
            case 0:
                // Nothing of another name is ever touched.
                if let name = names[id], name.split(separator: "/").last?.hasPrefix("link_remap.") == true {
                    links.append(name)
                }
            case 1: if let name = names[original] { ghosts.append("\(name).cr.\(String(id, radix: 16)).ghost") }
            default: break
            }
        }
    }
}
