internal import Kernel

extension HostCheck {
    /// Programs of the host that work on templates. A VPS runs without any of them.
    static func tools() -> CheckSection {
        var section = CheckSection("tools for templates")
        let all: [(name: String, package: String, cost: String)] = [
            (
                "mmdebstrap", "mmdebstrap",
                "template build can't make Debian systems (recipes with base = mmdebstrap ...)"
            ),
            ("apt-get", "apt", "template build can't fetch packages"),
            ("dpkg-deb", "dpkg", "template build can't unpack packages (recipes with base = empty and packages)"),
            (
                "tar", "tar",
                "template build can't make Debian systems: mmdebstrap takes it to pack them (ctr's own "
                    + "import and export do without)"
            ),
            ("gzip", "gzip", "archives and image layers in .gz form can't be imported or exported"),
            ("xz", "xz-utils", "archives in .xz form can't be imported or exported"),
            ("zstd", "zstd", "archives and image layers in .zst form can't be imported or exported"),
        ]
        for tool in all {
            let path = ToolProcess.find(tool.name)
            section.add(
                tool.name, path.map { .yes($0) } ?? .no("not in \(ToolProcess.searchPath.joined(separator: ":"))"),
                cost: "\(tool.cost): install the package \(tool.package)")
        }
        return section
    }
}
