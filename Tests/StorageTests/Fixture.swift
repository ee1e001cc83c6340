import Kernel
import Model
import Testing

@testable import Storage

/// A directory of one test, with a store in it; removed at the end. Every test also shows that nothing half-made stays
/// in the store and that a file beside it, the canary, is untouched.
final class Fixture {
    let path: String
    let store: TemplateStore

    private init() throws {
        path = "/tmp/ctr-storage-test-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        try Kernel.open("/tmp", [.directory]).makeDirectory(path, mode: 0o700)
        store = TemplateStore(root: "\(path)/root")
        try write("outside/canary", "untouched")
    }

    static func with(_ body: (Fixture) throws -> Void) throws {
        let fixture = try Fixture()
        defer { try? Kernel.open("/tmp", [.directory]).removeTree(String(fixture.path.dropFirst("/tmp/".count))) }
        try body(fixture)
        #expect(try fixture.leftovers() == [])
        #expect(try fixture.text("outside/canary") == "untouched")
        #expect(try fixture.sh("ls -A outside") == "canary\n")
    }

    /// Names in the store that are neither templates nor its lock.
    func leftovers() throws -> [String] {
        guard let directory = try? Kernel.open(store.path, [.directory]) else { return [] }
        return try directory.entries().map(\.name.description).filter { $0.hasPrefix(".") && $0 != ".lock" }
    }

    func templates() throws -> [String] { try store.list().map(\.name) }

    /// The path of the program that drives one verb in a process of its own.
    static var probe: String {
        get throws {
            let own = try Kernel.open("/", [.directory]).readLink("/proc/self/exe").description
            return own.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/storage-probe"
        }
    }

    // MARK: files

    func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        let parts = name.split(separator: "/").map(String.init)
        var directory = try Kernel.open(path, [.directory])
        for part in parts.dropLast() { directory = try directory.ensureDirectory(part, mode: 0o755) }
        try directory.open(parts.last!, [.writeOnly, .create, .truncate], mode: 0o644).writeAll(bytes)
    }

    func bytes(_ name: String) throws -> [UInt8] { try Kernel.open("\(path)/\(name)", [.readOnly]).readAll() }

    func text(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

    func rootfs(_ name: String) -> String { "\(store.path)/\(name)/rootfs" }

    // MARK: programs

    struct Outcome {
        let status: ToolProcess.Status
        let output: String
    }

    /// Runs a shell script in the fixture's directory. Throws unless it succeeds.
    @discardableResult
    func sh(_ script: String) throws -> String {
        let outcome = try run("/bin/sh", ["-ec", "cd '\(path)'; \(script)"])
        try #require(outcome.status.succeeded, "\(script): \(outcome.status.text): \(outcome.output)")
        return outcome.output
    }

    func run(_ program: String, _ arguments: [String]) throws -> Outcome {
        let output = SharedFD(try Kernel.open("/tmp", [.readWrite, .temporary]))
        let status = try ToolProcess(program, arguments, stdout: .file(output), stderr: .file(output)).wait()
        try output.fd.seek(.start, 0)
        return Outcome(status: status, output: String(decoding: try output.fd.readAll(), as: UTF8.self))
    }

    /// Content and metadata of a tree, a line for each file: type, mode, owner, size, time in nanoseconds, link, number of
    /// links, hash, attributes.
    func describe(_ tree: String) throws -> [String] {
        let files = try sh(
            "cd '\(tree)' && find . -printf '%P|%y|%m|%U|%G|%T@|%l|%n|' \\( -type f -printf '%s' -o -printf '-' \\) "
                + "-printf '\\n' | LC_ALL=C sort; find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum")
        var lines = files.split(separator: "\n").map(String.init)
        let root = SharedFD(try Kernel.open(tree, [.directory]))
        try TreeReader(root: root, limits: ImportLimits(), notes: Notes()).walk { (entry, _) throws(CtrError) in
            for (name, value) in entry.attributes { lines.append("\(entry.path.text) \(name)=\(value)") }
            if case .character(let node) = entry.kind { lines.append("\(entry.path.text) \(node)") }
        }
        return lines
    }

    /// Imports and expects this failure: the code, and words of the message.
    func expectFailure(
        _ file: String, _ code: CtrError.Code = .badInput, _ words: String..., limits: ImportLimits = ImportLimits(),
        at location: SourceLocation = #_sourceLocation
    ) throws {
        do {
            try store.importTemplate(from: "\(path)/\(file)", name: "t", limits: limits)
            Issue.record("\(file) was imported", sourceLocation: location)
        } catch {
            #expect(error.code == code, "\(error.message)", sourceLocation: location)
            for word in words { #expect(error.message.contains(word), "\(error.message)", sourceLocation: location) }
            let control = error.message.unicodeScalars.contains { $0.value < 32 }
            #expect(!control, "\(error.message)", sourceLocation: location)
        }
        #expect(try templates() == [], sourceLocation: location)
        #expect(try leftovers() == [], sourceLocation: location)
    }
}

/// Makes tar archives byte by byte, also those that no program would write. Independent of TarWriter.
struct TarBuilder {
    var bytes: [UInt8] = []

    static func header(
        _ name: [UInt8], type: Character = "0", size: String = "0", link: [UInt8] = [], mode: String = "644",
        uid: String = "0", gid: String = "0", mtime: String = "0", device: (Int, Int) = (0, 0), gnu: Bool = false
    ) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ data: some Sequence<UInt8>, _ offset: Int) {
            for (i, byte) in data.enumerated() { block[offset + i] = byte }
        }
        put(name.prefix(100), 0)
        put(mode.utf8, 100)
        put(uid.utf8, 108)
        put(gid.utf8, 116)
        put(size.utf8, 124)
        put(mtime.utf8, 136)
        block[156] = type.asciiValue!
        put(link.prefix(100), 157)
        put(gnu ? Array("ustar  \u{0}".utf8) : Array("ustar\u{0}00".utf8), 257)
        put(String(device.0, radix: 8).utf8, 329)
        put(String(device.1, radix: 8).utf8, 337)
        return sum(block)
    }

    static func sum(_ block: [UInt8]) -> [UInt8] {
        var block = block
        for i in 148..<156 { block[i] = 32 }
        let digits = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
        let text = String(repeating: "0", count: 6 - digits.count) + digits + "\u{0} "
        for (i, byte) in text.utf8.enumerated() { block[148 + i] = byte }
        return block
    }

    mutating func add(_ header: [UInt8], _ data: [UInt8] = []) {
        bytes += header + data + [UInt8](repeating: 0, count: (512 - data.count % 512) % 512)
    }

    mutating func file(_ name: String, _ content: String = "", mode: String = "644") {
        add(
            TarBuilder.header(Array(name.utf8), size: String(content.utf8.count, radix: 8), mode: mode),
            Array(content.utf8))
    }
    mutating func directory(_ name: String, mode: String = "755") {
        add(TarBuilder.header(Array(name.utf8), type: "5", mode: mode))
    }
    mutating func symlink(_ name: String, _ target: String) {
        add(TarBuilder.header(Array(name.utf8), type: "2", link: Array(target.utf8)))
    }
    mutating func hardLink(_ name: String, _ target: String) {
        add(TarBuilder.header(Array(name.utf8), type: "1", link: Array(target.utf8)))
    }
    mutating func pax(_ records: [(String, [UInt8])], type: Character = "x") {
        var data: [UInt8] = []
        for (key, value) in records {
            var length = key.utf8.count + value.count + 3
            length += String(length + String(length).utf8.count).utf8.count
            data += Array("\(length) \(key)=".utf8) + value + [10]
        }
        add(TarBuilder.header(Array("pax".utf8), type: type, size: String(data.count, radix: 8)), data)
    }
    mutating func pax(_ key: String, _ value: String) { pax([(key, Array(value.utf8))]) }

    /// The archive with its end mark.
    var ended: [UInt8] { bytes + [UInt8](repeating: 0, count: 1024) }
}
