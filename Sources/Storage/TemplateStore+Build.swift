internal import Kernel
public import Model

extension TemplateStore {
    /// Executes a command inside a root that is being built, isolated from the host, and gives its exit status.
    ///
    /// The arguments: the host's path of the root, to be used read-write; the command; its environment.
    public typealias RunInside = (String, [String], [String]) throws(CtrError) -> Int32

    /// Builds a template from a recipe: base, packages, the files laid over, the commands inside, in this order.
    /// Throws `badInput` naming the recipe's line, `unavailable` where the host lacks a tool, `failed` where a tool or
    /// a command fails, and what an import throws.
    /// - Parameter directory: the recipe's, on the host.
    /// - Parameter name: of the template; nil takes the recipe's.
    @discardableResult
    public func build(
        recipe directory: String, name: String? = nil, limits: ImportLimits = ImportLimits(),
        progress: @escaping TemplateProgress = { _ in }, runInside: RunInside
    ) throws(CtrError) -> Template {
        let recipe = try Recipe(directory: directory)
        let name = name ?? recipe.name
        try requireFree(name)
        sweep()
        do {
            return try make(name, limits, progress) { (work) throws(CtrError) in
                try RecipeBuilder(recipe: recipe, directory: directory, work: work).build(runInside)
            }
        } catch {
            if error.code == .cannotCreate { throw error }
            throw error.inside("build \(name)")
        }
    }
}

/// The steps of one build.
private struct RecipeBuilder {
    let recipe: Recipe
    let directory: String
    let work: TemplateWork

    private static let environment = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
        "DEBIAN_FRONTEND=noninteractive",
    ]

    func build(_ runInside: TemplateStore.RunInside) throws(CtrError) {
        switch recipe.base {
        case .empty:
            try makeMountPoints()
            try unpackPackages()
        case .mmdebstrap(let suite): try bootstrap(suite)
        }
        try layFilesOver()
        try work.writer.finish()
        for words in recipe.run { try run(words, runInside) }
        work.manifest.defaults = recipe.defaults
        work.manifest.source = "recipe \(recipe.name)"
        if !recipe.run.isEmpty { work.sizeOfRun = try measure() }
    }

    // MARK: base

    /// What every VPS mounts on, and root's home.
    private func makeMountPoints() throws(CtrError) {
        let all: [(String, UInt32)] = [
            ("dev", 0o755), ("proc", 0o555), ("sys", 0o555), ("run", 0o755), ("tmp", 0o1777), ("root", 0o700),
        ]
        for (name, mode) in all {
            let path = try EntryPath(archive: Array(name.utf8), limits: work.limits)
            try work.writer.add(
                TreeEntry(path: path, kind: .directory, permissions: mode, uid: 0, gid: 0, modified: .now))
        }
    }

    /// Fetches packages from the host's own Debian mirror and unpacks their files.
    private func unpackPackages() throws(CtrError) {
        if recipe.packages.isEmpty { return }
        let downloads = "packages"
        try Tool.require("dpkg-deb", package: "dpkg")
        try describing("make a directory for packages") { () throws(SysError) in
            try work.directory.fd.makeDirectory(downloads, mode: 0o700)
        }
        let place = SharedFD(
            try describing("packages") { () throws(SysError) in
                try work.directory.fd.open(downloads, [.directory, .noFollow])
            })
        work.progress(.step("fetch \(recipe.packages.joined(separator: " "))"))
        let fetch = try Tool(
            "env", package: "coreutils",
            ["-C", work.directoryPath + "/" + downloads, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"]
                + recipe.packages,
            environment: ToolProcess.cleanEnvironment + ToolProcess.proxyEnvironment, scratch: work.directory)
        do { try fetch.finish(.failed) } catch { throw error.inside("fetch packages (apt-get update may help)") }
        let files = try describing("packages") { () throws(SysError) in try place.fd.entries() }
        let names = files.map { $0.name.description }.sorted()
        for name in names { try unpackPackage(name, place) }
        if names.count < Set(recipe.packages).count { throw CtrError(.failed, "apt-get did not fetch every package") }
        try describing("delete the packages") { () throws(SysError) in try work.directory.fd.removeTree(downloads) }
    }

    private func unpackPackage(_ name: String, _ place: SharedFD) throws(CtrError) {
        work.progress(.step("unpack \(name.escaped)"))
        let file = SharedFD(
            try describing(name) { () throws(SysError) in try place.fd.open(name, [.readOnly, .noFollow]) })
        // dpkg-deb wants a path: its stdin is the file.
        try unpackOutput("dpkg-deb", "dpkg", ["--fsys-tarfile", "/proc/self/fd/0"], stdin: .file(file))
    }

    private func bootstrap(_ suite: String) throws(CtrError) {
        work.progress(.step("mmdebstrap \(suite)"))
        var arguments = ["--quiet", "--variant=minbase", "--format=tar"]
        if !recipe.packages.isEmpty { arguments.append("--include=\(recipe.packages.joined(separator: ","))") }
        try unpackOutput("mmdebstrap", "mmdebstrap", arguments + ["--", suite, "-"], stdin: .null)
    }

    /// Unpacks the tar archive that a tool writes.
    private func unpackOutput(
        _ name: String, _ package: String, _ arguments: [String], stdin: ToolProcess.Stream
    ) throws(CtrError) {
        var output: SharedFD?
        let tool = try Tool.reading(
            name, package: package, arguments,
            environment: ToolProcess.cleanEnvironment + ToolProcess.proxyEnvironment, stdin: stdin,
            scratch: work.directory, output: &output)
        var stream: ArchiveStream? = ArchiveStream(output!)
        output = nil
        do { _ = try work.unpacker.unpack(stream!, .tree) } catch {
            let ended = stream!.ended
            stream = nil
            if ended { try tool.finish(.failed) } else { tool.stop() }
            throw error.inside(name)
        }
        try tool.finish(.failed)
    }

    // MARK: overlay and commands

    /// Lays `files/` over the root. Owners are root; modes are 0755 for directories and what its owner may execute, else
    /// 0644, as git keeps them. Directories that exist stay as they are.
    private func layFilesOver() throws(CtrError) {
        let overlay: SharedFD
        do {
            overlay = SharedFD(try Kernel.open("\(directory)/\(Recipe.overlayName)", [.directory, .noFollow]))
        } catch {
            if error.errno == Errno.noEntry { return }
            throw CtrError(.badInput, "files to lay over", cause: error)
        }
        work.progress(.step("lay files over"))
        let reader = TreeReader(root: overlay, limits: work.limits, notes: work.notes)
        let copier = TreeCopier(reader: reader, writer: work.writer, progress: work.progress)
        try copier.copy { (entry) throws(CtrError) in
            if entry.kind == .directory, try work.writer.existingDirectory(entry.path, for: entry) != nil { return nil }
            var laid = entry
            laid.uid = 0
            laid.gid = 0
            laid.attributes = []
            laid.permissions = entry.kind == .directory || entry.permissions & 0o100 != 0 ? 0o755 : 0o644
            return laid
        }
    }

    private func run(_ words: [String], _ runInside: TemplateStore.RunInside) throws(CtrError) {
        let text = words.joined(separator: " ").escaped
        work.progress(.step("run \(text)"))
        let root = work.directoryPath + "/" + TemplateStore.rootName
        let status = try runInside(root, words, RecipeBuilder.environment + (recipe.defaults.env ?? []))
        if status != 0 { throw CtrError(.failed, "run '\(text)' failed with status \(status)") }
    }

    /// Bytes of file data after commands have changed them.
    private func measure() throws(CtrError) -> Int64 {
        var sum: Int64 = 0
        try TreeReader(root: work.rootfs, limits: work.limits, notes: Notes()).walk { (entry, _) throws(CtrError) in
            sum += entry.extents.map { $0.reduce(0) { $0 + $1.length } } ?? entry.size
        }
        return sum
    }
}
