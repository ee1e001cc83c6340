internal import Kernel
public import Model

extension IDPool {
    /// How much of a pool is in use.
    public struct Summary: Equatable, Sendable {
        /// Ranges that the pool holds, those that overlap what others own left out.
        public var ranges: Int
        /// Ranges that VPSs of this host have, from whatever pool.
        public var inUse: Int
        /// A range of the pool, in use or not; nil where it holds none.
        public var example: IDRange?
    }

    /// Counts ranges. Nothing is made or changed: where there is no registry yet, nothing is in use.
    public func summary() throws(CtrError) -> Summary {
        var grid = settings.intervals[0].first % IDPoolSettings.width
        var inUse = 0
        if let registry = try openRegistry() {
            grid = try registry.recordedGrid() ?? grid
            inUse = try registry.claims().count
        }
        let slots = IDSlots(settings, offset: grid)
        var summary = Summary(ranges: 0, inUse: inUse, example: nil)
        for index in 0..<slots.count {
            guard let base = slots.base(index) else { continue }
            summary.ranges += 1
            if summary.example == nil {
                summary.example = IDRange(base: UInt32(base), count: UInt32(IDPoolSettings.width))
            }
        }
        return summary
    }

    private func openRegistry() throws(CtrError) -> IDRegistry? {
        do throws(SysError) { return IDRegistry(fd: try open(directory, [.directory, .noFollow])) } catch {
            if error.errno == Errno.noEntry { return nil }
            throw CtrError(.io, "id range registry '\(directory.escaped)'", cause: error)
        }
    }
}

extension IDRegistry {
    /// What all first ids are modulo 65,536, if that is recorded.
    borrowing func recordedGrid() throws(CtrError) -> UInt64? {
        do throws(SysError) { return UInt64(try fd.readLink("grid").description) } catch {
            if error.errno == Errno.noEntry || error.errno == Errno.invalid { return nil }
            throw CtrError(.io, "id range registry", cause: error)
        }
    }
}
