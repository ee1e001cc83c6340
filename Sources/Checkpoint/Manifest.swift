internal import FoundationEssentials
public import Kernel
public import Model

/// `manifest.json` of a checkpoint: what it is made of and what it needs of a host. With it a checkpoint is whole or is
/// not one, whatever happened to its files.
///
///     checkpoint/
///       manifest.json
///       vps.json, dev.tar ...   the runtime's
///       images/                 criu's
public struct Manifest: Codable, Sendable, Equatable {
    public struct File: Codable, Sendable, Equatable {
        /// Below the checkpoint's directory.
        public var name: String
        public var size: Int64
        /// Of ``CRC32C``, lower-case hexadecimal.
        public var crc32c: String?
        /// In its place in format 1, which is read and not written any more: of ``SHA256``, lower-case hexadecimal.
        public var sha256: String?

        /// Whether it holds the memory of a process: many times as much as all others, as criu names it.
        public var isMemory: Bool { File.isMemory(name) }

        static func isMemory(_ name: String) -> Bool { name.hasPrefix("images/pages-") }

        /// Whether what a file holds is what was written.
        func matches(_ file: SharedFD) throws(CtrError) -> Bool {
            if let crc32c { return try CRC32C.hex(of: file) == crc32c }
            return try SHA256.hex(of: file) == sha256
        }
    }

    /// The format of this file.
    public var version = 2
    /// RFC 3339, UTC.
    public var created: String
    public var criu: String
    public var kernel: String
    public var architecture: String
    /// The instruction sets of the processor that its programs may have found: the flags of /proc/cpuinfo.
    public var processor: [String]
    public var files: [File] = []
    /// Bytes of all files.
    public var size: Int64 { files.reduce(0) { $0 + $1.size } }
    /// Bytes of the processes' memory.
    public var memory: Int64 { files.reduce(0) { $0 + ($1.isMemory ? $1.size : 0) } }

    private struct Format: Codable { var version: Int }

    public static let name = "manifest.json"
    static let limit = 16 << 20

    /// Sums up all files of a directory, two levels deep, makes each durable, and writes the manifest, durable too.
    /// - Parameter format: 3 where a ctr that knows only 2 must not try to read it.
    /// - Throws: `io`; what was written by then stays.
    public static func seal(_ directory: SharedFD, criu: String, format: Int = 2) throws(CtrError) -> Manifest {
        let processor = try Processor.here()
        let kernel = try describing("kernel release") { () throws(SysError) in try ProcFiles.kernelRelease() }
        var manifest = Manifest(
            created: Timestamp.now(), criu: criu, kernel: kernel, architecture: Processor.architecture,
            processor: processor)
        manifest.version = format
        let names = try files(of: directory).filter { $0.name != name }
        let durability = Durability(directory: directory)
        for file in names {
            let isMemory = File.isMemory(file.name)
            let opened = try describing("checkpoint file \(file.name.escaped)") { () throws(SysError) in
                SharedFD(try directory.fd.open(file.name, [isMemory ? .readWrite : .readOnly, .noFollow]))
            }
            // The disk is at work while it is summed up.
            if !isMemory { opened.fd.startWriting() }
            let sum = try Manifest.naming(file.name) { () throws(CtrError) in
                try isMemory ? MemoryImage.seal(opened) : CRC32C.hex(of: opened)
            }
            try describing("checkpoint file \(file.name.escaped)") { () throws(SysError) in
                try durability.add(opened, file.size)
            }
            manifest.files.append(File(name: file.name, size: file.size, crc32c: sum))
        }
        manifest.files.sort { $0.name < $1.name }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes: [UInt8]
        do { bytes = Array(try encoder.encode(manifest)) + [10] } catch {
            throw CtrError(.failed, "write JSON: \(error)")
        }
        try describing("manifest of the checkpoint") { () throws(SysError) in
            try directory.fd.replaceFile(name, bytes, durable: false)
            try durability.finish(names.map(\.name) + [name])
        }
        return manifest
    }

    /// Reads a manifest and nothing else; nil where there is none.
    /// - Throws: `config` for one that is damaged.
    public static func read(_ directory: SharedFD, _ name: String = name) throws(CtrError) -> Manifest? {
        let bytes: [UInt8]
        do throws(SysError) { bytes = try directory.fd.readFile(name, limit: limit) } catch {
            if error.errno == Errno.noEntry { return nil }
            throw CtrError(.io, "manifest of the checkpoint", cause: error)
        }
        do {
            let format = try JSONDecoder().decode(Format.self, from: Data(bytes)).version
            guard (1...3).contains(format) else {
                throw CtrError(
                    .config,
                    "checkpoint: its format \(format) is not known to this ctr (resume it with the one that wrote it)")
            }
            let manifest = try JSONDecoder().decode(Manifest.self, from: Data(bytes))
            guard
                manifest.files.allSatisfy({ ($0.crc32c != nil) == (format > 1) && ($0.sha256 != nil) == (format == 1) }
                )
            else { throw CtrError(.config, "manifest of the checkpoint: damaged") }
            return manifest
        } catch let error as CtrError { throw error } catch {
            throw CtrError(.config, "manifest of the checkpoint: damaged")
        }
    }

    /// Holds every file against the manifest: none is missing, none is there beside them, none has changed.
    /// - Parameter isRead: of which files not only the size is looked at.
    /// - Throws: `config`, naming the first that is not as it was.
    public func check(_ directory: SharedFD, contentsOf isRead: (File) -> Bool = { _ in true }) throws(CtrError) {
        let found = Dictionary(try Manifest.files(of: directory).map { ($0.name, $0.size) }) { first, _ in first }
        // All sizes first: they cost nothing.
        for file in files {
            guard let there = found[file.name] else { throw Manifest.damaged(file.name, "missing") }
            if there != file.size {
                throw Manifest.damaged(file.name, "\(there) bytes long, written with \(file.size)")
            }
        }
        let known = Set(files.map(\.name))
        if let extra = found.keys.filter({ $0 != Manifest.name && !known.contains($0) }).min() {
            throw Manifest.damaged(extra, "not one that was written")
        }
        for file in files where isRead(file) {
            let opened = try describing("checkpoint file \(file.name.escaped)") { () throws(SysError) in
                SharedFD(try directory.fd.open(file.name, [.readOnly, .noFollow, .nonBlocking]))
            }
            guard try Manifest.naming(file.name, { () throws(CtrError) in try file.matches(opened) }) else {
                throw Manifest.damaged(file.name, "changed (its checksum is another)")
            }
        }
    }

    /// The name of the file that can't be read.
    private static func naming<Value>(_ name: String, _ body: () throws(CtrError) -> Value) throws(CtrError) -> Value {
        do throws(CtrError) { return try body() } catch {
            throw CtrError(error.code, "checkpoint file \(name.escaped): \(error.message)", errno: error.errno)
        }
    }

    private static func damaged(_ name: String, _ how: String) -> CtrError {
        CtrError(.config, "checkpoint: damaged: \(name.escaped) is \(how)")
    }

    /// Regular files of a directory and of those in it.
    private static func files(of directory: SharedFD) throws(CtrError) -> [(name: String, size: Int64)] {
        try describing("files of the checkpoint") { () throws(SysError) in
            var all: [(name: String, size: Int64)] = []
            for entry in try directory.fd.openHere().entries() {
                let name = entry.name.description
                if entry.type == .directory {
                    let below = try directory.fd.open(entry.name, [.directory, .noFollow])
                    for file in try below.entries() where file.type == .regular {
                        all.append(("\(name)/\(file.name)", try below.status(of: file.name).size))
                    }
                } else if entry.type == .regular {
                    all.append((name, try directory.fd.status(of: entry.name).size))
                }
            }
            return all
        }
    }
}
