import Kernel
import Testing

@testable import Namespaces

/// ctr's part of /etc/hosts, and the guest's.
@Suite struct HostsFileTests {
    private func applied(_ lines: [String], to text: String) -> String {
        String(decoding: HostsFile(lines: lines).applied(to: Array(text.utf8)), as: UTF8.self)
    }

    private let block = "\(HostsFile.begin)\n10.0.0.2\tb\n\(HostsFile.end)\n"

    @Test func theRestStays() {
        #expect(applied(["10.0.0.2\tb"], to: "127.0.0.1 a\n\n# mine\n") == "127.0.0.1 a\n\n# mine\n" + block)
        #expect(applied(["10.0.0.2\tb"], to: block + "# mine") == "# mine\n" + block)
        #expect(applied(["10.0.0.2\tb"], to: "") == block)
        #expect(applied([], to: "a\n" + block + "b\n") == "a\nb\n")
        #expect(applied([], to: block) == "")
        // Not a byte changes where there was none.
        #expect(applied([], to: "no end of line") == "no end of line")
        #expect(applied([], to: "") == "")
    }

    @Test func halfABlockIsReplaced() {
        #expect(applied(["10.0.0.2\tb"], to: "a\n\(HostsFile.begin)\nx\n") == "a\n" + block)
        #expect(applied([], to: "a\n\(HostsFile.end)\n") == "a\n\(HostsFile.end)\n")
    }

    /// What a guest has made of it is left alone, and leads nowhere.
    @Test func linksAndOthersStay() throws {
        let name = "ctr-namespace-test-\(UInt32.random(in: 0 ... .max))"
        let top = try open("/tmp", [.directory])
        try top.makeDirectory(name, mode: 0o700)
        defer { #expect(throws: Never.self) { try top.removeTree(name) } }
        let root = SharedFD(try top.open(name, [.directory]))
        let file = HostsFile(lines: ["10.0.0.2\tb"])
        try file.write(in: root)
        try root.fd.makeDirectory("etc", mode: 0o755)
        try file.write(in: root)
        #expect(try root.fd.open("etc", [.directory]).entries().isEmpty)
        try root.fd.open("outside", [.writeOnly, .create], mode: 0o600).writeAll(Array("x\n".utf8))
        try root.fd.symlink("etc/hosts", to: "../outside")
        try file.write(in: root)
        #expect(try root.fd.readFile("outside") == Array("x\n".utf8))
        try root.fd.unlink("etc/hosts")
        try root.fd.open("etc/hosts", [.writeOnly, .create], mode: 0o640).writeAll(Array("a\n".utf8))
        try file.write(in: root)
        #expect(try root.fd.readFile("etc/hosts") == Array(("a\n" + block).utf8))
        #expect(try root.fd.status(of: "etc/hosts").permissions == 0o640)
        #expect(try root.fd.open("etc", [.directory]).entries().count == 1)
    }
}
