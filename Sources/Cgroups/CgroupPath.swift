internal import Model

/// Where a cgroup is below the root of each hierarchy: names that are good in every one of them.
struct CgroupPath: Equatable {
    let components: [String]
    var name: String { components[components.count - 1] }

    /// Throws `usage` for a path that would lead elsewhere or that the kernel does not take.
    init(parent: String, path: String) throws(CtrError) {
        let parts =
            (parent.isEmpty || parent == "/" ? [] : parent.split(separator: "/", omittingEmptySubsequences: true))
        components = (parts + path.split(separator: "/", omittingEmptySubsequences: false)).map(String.init)
        for name in components {
            let bytes = name.utf8
            if bytes.isEmpty || bytes.count > 255 || name == "." || name == ".." || bytes.contains(where: { $0 < 32 }) {
                throw CtrError(.usage, "cgroup path '\(path.escaped)' below '\(parent.escaped)': not a relative path")
            }
        }
    }

    /// The directory itself, absolute.
    func path(_ mount: String) -> String { "\(above(mount))/\(name)" }

    /// The directory above, absolute.
    func above(_ mount: String) -> String { ([mount] + components.dropLast()).joined(separator: "/") }
}
