public import Kernel

/// Paths inside a root: walked by the kernel with the root's descriptor as `/` (openat2 RESOLVE_IN_ROOT), never joined
/// and opened as host paths. What a hostile template made a link of leads nowhere but inside.
public enum RootPath {
    /// Opens what is at `path` without using it (O_PATH). Magic links of /proc are refused.
    public static func locate(
        _ path: String, in root: borrowing FD, directory: Bool = false
    ) throws(SysError) -> FD {
        try root.open(
            relative(path), directory ? [.path, .directory] : [.path], resolve: [.inRoot, .noMagicLinks])
    }

    /// Opens one of the fixed directories of a root (`dev`, `proc`); a link in its place is refused (ELOOP).
    public static func locateFixed(_ name: String, in root: borrowing FD) throws(SysError) -> FD {
        try root.open(name, [.path, .directory], resolve: [.inRoot, .noMagicLinks, .noSymlinks])
    }

    /// As ``locateFixed(_:in:)``, making the directory if it is missing.
    public static func ensureFixed(_ name: String, in root: borrowing FD, mode: UInt32) throws(SysError) -> FD {
        do throws(SysError) { return try locateFixed(name, in: root) } catch  where error.errno == Errno.noEntry {
            try root.makeDirectory(name, mode: mode)
            return try locateFixed(name, in: root)
        }
    }

    /// Opens a mount target, making what is missing of its path: directories, and for a file an empty one.
    public static func ensure(
        _ path: String, in root: borrowing FD, directory: Bool
    ) throws(SysError) -> FD {
        do throws(SysError) { return try locate(path, in: root, directory: directory) } catch
            where error.errno == Errno.noEntry
        {}
        let components = path.split(separator: "/").map(String.init)
        var prefix = ""
        for (index, component) in components.enumerated() {
            let parent = try locate(prefix, in: root, directory: true)
            prefix += "/" + component
            do throws(SysError) {
                if index == components.count - 1, !directory {
                    _ = try parent.open(component, [.create, .exclusive, .writeOnly, .noFollow], mode: 0o644)
                } else {
                    try parent.makeDirectory(component, mode: 0o755)
                }
            } catch  where error.errno == Errno.exists {}
        }
        return try locate(path, in: root, directory: directory)
    }

    /// Reads a regular file of the root, at most `limit` bytes: a device, FIFO or socket in its place is refused
    /// (EINVAL) and never waited for.
    public static func read(_ path: String, in root: borrowing FD, limit: Int) throws(SysError) -> [UInt8] {
        let file = try root.open(
            relative(path), [.readOnly, .nonBlocking, .noControllingTerminal], resolve: [.inRoot, .noMagicLinks])
        guard try file.status().type == .regular else { throw SysError("open", Errno.invalid, path) }
        return try file.readAll(limit: limit)
    }

    private static func relative(_ path: String) -> String {
        let rest = path.drop { $0 == "/" }
        return rest.isEmpty ? "." : String(rest)
    }
}
