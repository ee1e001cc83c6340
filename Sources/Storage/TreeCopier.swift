internal import Kernel
internal import Model

/// Copies a directory tree through a ``TreeWriter``.
struct TreeCopier {
    let reader: TreeReader
    let writer: TreeWriter
    let meter: CopyMeter

    init(reader: TreeReader, writer: TreeWriter, meter: CopyMeter) {
        self.reader = reader
        self.writer = writer
        self.meter = meter
    }

    init(reader: TreeReader, writer: TreeWriter, progress: @escaping TemplateProgress) {
        self.init(reader: reader, writer: writer, meter: CopyMeter(total: 0, progress))
    }

    /// - Parameters:
    ///   - start: where the reader's root goes, below the writer's.
    ///   - change: what becomes of each entry; nil leaves it out.
    func copy(
        to start: EntryPath = .root,
        _ change: (TreeEntry) throws(CtrError) -> TreeEntry? = { (entry) throws(CtrError) in entry }
    ) throws(CtrError) {
        try reader.walk(from: start) { (original, file) throws(CtrError) in
            guard let entry = try change(original) else { return }
            try writer.add(entry) { (target) throws(CtrError) in
                if let file { try copyData(entry, file.fd, target.fd) }
            }
        }
    }

    private func copyData(
        _ entry: TreeEntry, _ source: borrowing FD, _ target: borrowing FD
    ) throws(CtrError) {
        for extent in entry.extents ?? [Extent(offset: 0, length: entry.size)] {
            do {
                try source.seek(.start, extent.offset)
                try target.seek(.start, extent.offset)
            } catch { throw writer.failure(entry, error) }
            var left = extent.length
            while left > 0 {
                let part = min(left, 8 << 20)
                let copied: Int
                do { copied = try copyPart(source, target, Int(part)) } catch { throw writer.failure(entry, error) }
                try writer.count(Int64(copied), of: entry)
                if copied == 0 { return writer.noteShorter(entry) }
                left -= Int64(copied)
                meter.add(Int64(copied))
            }
        }
    }

    /// Shares or copies in the kernel; between file systems that cannot, through memory.
    private func copyPart(_ source: borrowing FD, _ target: borrowing FD, _ count: Int) throws(SysError) -> Int {
        do { return try source.copyRange(to: target, count: count) } catch {
            guard
                [Errno.crossDevice, Errno.notSupported, Errno.notImplemented, Errno.invalid].contains(error.errno)
            else { throw error }
        }
        let data = try source.read(upTo: min(count, 1 << 20))
        try target.writeAll(data)
        return data.count
    }
}

/// Counts what has been copied and tells of it now and then.
final class CopyMeter {
    private let total: Int64
    private let progress: TemplateProgress
    private var done: Int64 = 0
    private var told: Int64 = 0

    /// - Parameter total: bytes; 0: nobody knows.
    init(total: Int64, _ progress: @escaping TemplateProgress) {
        self.total = total
        self.progress = progress
    }

    func add(_ bytes: Int64) {
        done += bytes
        if done - told < 16 << 20 { return }
        told = done
        progress(.progress(done: done, total: total))
    }
}
