/// passwd(5) and group(5) read as bytes: the files are the guest's and may hold anything.
enum UserDatabase {
    struct User {
        var name: String
        var uid: UInt32
        var gid: UInt32
        var home: String
        var shell: String?
    }

    private static let colon = UInt8(ascii: ":")

    /// The first entry with this name or number.
    static func user(_ identity: UserSpec.Identity, in passwd: [UInt8]) -> User? {
        for line in lines(passwd) {
            let fields = line.split(separator: colon, omittingEmptySubsequences: false)
            guard fields.count == 7, isName(fields[0]), let uid = identifier(fields[2]),
                let gid = identifier(fields[3])
            else { continue }
            switch identity {
            case .number(let number): if number != uid { continue }
            case .name(let name): if !fields[0].elementsEqual(name.utf8) { continue }
            }
            guard let name = text(fields[0]), let home = text(fields[5]), let shell = text(fields[6]) else { continue }
            return User(
                name: name, uid: uid, gid: gid, home: home.hasPrefix("/") ? home : "/",
                shell: shell.hasPrefix("/") ? shell : nil)
        }
        return nil
    }

    /// The number of the first group with this name.
    static func group(named name: String, in group: [UInt8]) -> UInt32? {
        for line in lines(group) {
            if let entry = groupEntry(line), entry.name.elementsEqual(name.utf8) { return entry.gid }
        }
        return nil
    }

    /// The groups that list a user among their members, each once, in the file's order.
    static func groups(of name: String, in group: [UInt8], besides first: UInt32) -> [UInt32] {
        var seen: Set<UInt32> = [first]
        var result: [UInt32] = []
        for line in lines(group) {
            guard let entry = groupEntry(line) else { continue }
            let members = entry.members.split(separator: UInt8(ascii: ","))
            if members.contains(where: { $0.elementsEqual(name.utf8) }), seen.insert(entry.gid).inserted {
                result.append(entry.gid)
            }
        }
        return result
    }

    private typealias Slice = ArraySlice<UInt8>

    private static func groupEntry(_ line: Slice) -> (name: Slice, gid: UInt32, members: Slice)? {
        let fields = line.split(separator: colon, omittingEmptySubsequences: false)
        guard fields.count == 4, isName(fields[0]), let gid = identifier(fields[2]) else { return nil }
        return (fields[0], gid, fields[3])
    }

    /// Lines without control characters; a NUL in one would end it early for a C program, so it is no entry for us.
    private static func lines(_ file: [UInt8]) -> some Sequence<Slice> {
        file.lazy.split(separator: UInt8(ascii: "\n")).map { Slice($0) }.filter { line in
            line.first != UInt8(ascii: "#") && !line.contains { $0 < 32 || $0 == 127 }
        }
    }

    static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    /// A decimal number without sign, blank or leading zero, below 4294967295, which means "none" to the kernel.
    static func identifier(_ field: ArraySlice<UInt8>) -> UInt32? {
        guard (1...10).contains(field.count), field.allSatisfy(isDigit) else { return nil }
        if field.count > 1 && field.first == 48 { return nil }
        let value = field.reduce(UInt64(0)) { $0 * 10 + UInt64($1 - 48) }
        return value < UInt64(UInt32.max) ? UInt32(value) : nil
    }

    /// What can be a user's or group's name: no `+` or `-` at its beginning (they include other sources), no separator,
    /// blank or control character anywhere, not digits alone.
    static func isName(_ field: ArraySlice<UInt8>) -> Bool {
        guard let first = field.first, field.count <= 256, first != UInt8(ascii: "-"), first != UInt8(ascii: "+") else {
            return false
        }
        if field.allSatisfy(isDigit) { return false }
        return field.allSatisfy { $0 > 32 && $0 != 127 && $0 != colon && !",/".utf8.contains($0) }
    }

    private static func text(_ field: Slice) -> String? { String(validating: field, as: UTF8.self) }
}
