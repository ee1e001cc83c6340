internal import CLinux
internal import Glibc

// Extended attributes of an open file, see xattr(7). The descriptor must not be O_PATH.
extension FD {
    /// The names, in the file system's order; none where the file system has no attributes.
    /// The corresponding call is `flistxattr(2)`.
    public borrowing func attributeNames() throws(SysError) -> [String] {
        let number = rawValue
        let bytes: [UInt8]
        do throws(SysError) {
            bytes = try readGrowing("flistxattr") { flistxattr(number, $0, $1) }
        } catch  where error.errno == EOPNOTSUPP { return [] }
        return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The value, or nil where the file has no such attribute. The corresponding call is `fgetxattr(2)`.
    public borrowing func attribute(_ name: String) throws(SysError) -> [UInt8]? {
        let number = rawValue
        do throws(SysError) {
            return try readGrowing("fgetxattr \(name)") { fgetxattr(number, name, $0, $1) }
        } catch  where error.errno == ENODATA || error.errno == EOPNOTSUPP { return nil }
    }

    /// The corresponding call is `fsetxattr(2)`.
    public borrowing func setAttribute(_ name: String, _ value: [UInt8]) throws(SysError) {
        let r = ctr_ret(Int(fsetxattr(rawValue, name, value, value.count, 0)))
        try check(r, "fsetxattr \(name.escapedForMessage)")
    }

    /// The corresponding call is `fremovexattr(2)`.
    public borrowing func removeAttribute(_ name: String) throws(SysError) {
        try check(ctr_ret(Int(fremovexattr(rawValue, name))), "fremovexattr \(name)")
    }
}

/// Calls with a growing buffer for as long as the kernel says ERANGE.
private func readGrowing(
    _ call: String, _ body: (UnsafeMutablePointer<CChar>?, Int) -> Int
) throws(SysError) -> [UInt8] {
    var size = 512
    while true {
        var buffer = [CChar](repeating: 0, count: size)
        let r = ctr_ret(body(&buffer, size))
        if r == -Int(ERANGE), size < 1 << 20 {
            size *= 8
            continue
        }
        let n = try check(r, call)
        return buffer[..<n].map { UInt8(bitPattern: $0) }
    }
}

extension String {
    /// Attribute names come from archives; nothing in them may drive a terminal.
    fileprivate var escapedForMessage: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
    }
}
