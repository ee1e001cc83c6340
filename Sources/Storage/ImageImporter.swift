internal import Kernel
internal import Model

/// Flattens an OCI image layout, or what `docker save` wrote, into one root file system. Every blob's digest is checked
/// before anything of it is used.
struct ImageImporter {
    /// The directory of the image.
    let image: SharedFD
    let unpacker: Unpacker

    /// What the import learned beside the files.
    struct Result {
        var defaults: Template.Defaults
        /// `sha256:HEX` of the manifest, or of the configuration where `docker save` has no manifest.
        var digest: String
        var kind: String
    }

    /// Whether a directory holds an image layout, by the mark that the specification demands.
    static func isLayout(_ directory: SharedFD) -> Bool {
        (try? directory.fd.status(of: "oci-layout").type) == .regular
            && (try? directory.fd.status(of: "index.json").type) == .regular
    }

    /// Whether an unpacked archive is what `docker save` writes, and no root file system that has such a file too.
    static func isDockerSave(_ directory: SharedFD) -> Bool {
        (try? directory.fd.status(of: "manifest.json").type) == .regular
            && ["etc", "bin", "usr", "dev"].allSatisfy { (try? directory.fd.status(of: $0)) == nil }
    }

    /// Imports the one image for this host.
    func run() throws(CtrError) -> Result {
        if ImageImporter.isLayout(image) { return try runLayout() }
        return try runDockerSave()
    }

    // MARK: OCI

    private func runLayout() throws(CtrError) -> Result {
        let mark = try JSONFile.decode(OCILayoutMark.self, try small("oci-layout"), "oci-layout")
        guard mark.imageLayoutVersion.hasPrefix("1.") else {
            throw CtrError(
                .badInput, "oci-layout: version '\(String(mark.imageLayoutVersion.prefix(20)).escaped)' is unknown")
        }
        let index = try JSONFile.decode(OCIIndex.self, try small("index.json"), "index.json")
        let chosen = try choose(index, depth: 0)
        let manifest = try document(OCIManifest.self, chosen, "manifest")
        if manifest.layers.count > 1024 { throw CtrError(.badInput, "manifest: \(manifest.layers.count) layers") }
        let config = try document(OCIConfig.self, manifest.config, "image configuration")
        let defaults = try config.defaults()
        guard config.rootfs.diffIDs.count == manifest.layers.count else {
            throw CtrError(.badInput, "the image configuration names another number of layers than the manifest")
        }
        for layer in manifest.layers { try checkLayerType(layer) }
        for (i, layer) in manifest.layers.enumerated() {
            unpacker.progress(.step("layer \(i + 1) of \(manifest.layers.count)"))
            if i > 0 { unpacker.writer.beginUpperLayer() }
            let blob = try blob(layer, "layer \(i + 1)")
            do { try unpacker.unpack(blob, .layer) } catch { throw error.inside("layer \(i + 1)") }
        }
        return Result(defaults: defaults, digest: chosen.digest, kind: "oci \(chosen.reference)")
    }

    /// The manifest for this host: the only one, or the only one of its platform. Indexes may lie in indexes.
    private func choose(_ index: OCIIndex, depth: Int) throws(CtrError) -> OCIDescriptor {
        guard index.schemaVersion == 2 else { throw CtrError(.badInput, "index: schemaVersion is not 2") }
        let fitting = index.manifests.filter {
            guard let platform = $0.platform else { return true }
            return platform.os == "linux" && platform.architecture == Host.architecture
        }
        guard let first = fitting.first else {
            let offered = index.manifests.compactMap { $0.platform.map { "\($0.os)/\($0.architecture)" } }
            if offered.isEmpty { throw CtrError(.badInput, "the index names no image") }
            throw CtrError(
                .unavailable,
                "no image for linux/\(Host.architecture) (there are: "
                    + "\(String(offered.joined(separator: ", ").prefix(300)).escaped))")
        }
        if Set(fitting.map(\.digest)).count > 1 {
            let names = fitting.map(\.reference).prefix(10).joined(separator: ", ")
            throw CtrError(.badInput, "several images: \(names) (copy the one you want with skopeo first)")
        }
        guard first.isIndex else { return first }
        if depth >= 4 { throw CtrError(.badInput, "indexes nested too deeply") }
        return try choose(try document(OCIIndex.self, first, "index"), depth: depth + 1)
    }

    private func checkLayerType(_ layer: OCIDescriptor) throws(CtrError) {
        // How it is packed is told by its first bytes; encrypted and foreign kinds are not for us.
        let known = [
            "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ]
        let type = layer.mediaType ?? known[0]
        let packed = ["", "+gzip", "+zstd", ".gzip", ".zstd"]
        guard known.contains(where: { base in packed.contains { type == base + $0 } }) else {
            throw CtrError(.badInput, "layer of the unknown type '\(String(type.prefix(100)).escaped)'")
        }
    }

    private func document<T: Decodable>(
        _ type: T.Type, _ descriptor: OCIDescriptor, _ what: String
    ) throws(CtrError) -> T {
        if descriptor.size > Int64(JSONFile.limit) { throw CtrError(.badInput, "\(what): larger than 4 MiB") }
        let file = try blob(descriptor, what)
        let bytes = try describing(what) { () throws(SysError) in try file.fd.readAll(limit: JSONFile.limit) }
        return try JSONFile.decode(type, bytes, what)
    }

    /// Opens a blob of the size and the digest that its descriptor says.
    private func blob(_ descriptor: OCIDescriptor, _ what: String) throws(CtrError) -> SharedFD {
        let hex = try descriptor.hex()
        let file = try open("blobs/sha256/\(hex)", what, [.beneath, .noSymlinks, .noMagicLinks])
        let size = try describing(what) { () throws(SysError) in try file.fd.status().size }
        guard size == descriptor.size else {
            throw CtrError(.badInput, "\(what): blob \(hex) has \(size) bytes, not \(descriptor.size)")
        }
        try verify(file, hex, what)
        return file
    }

    private func verify(_ file: SharedFD, _ hex: String, _ what: String) throws(CtrError) {
        let found = try SHA256.hex(of: file)
        guard found == hex else {
            throw CtrError(.badInput, "\(what): wrong digest (its content is sha256:\(found), not sha256:\(hex))")
        }
    }

    // MARK: docker save

    private func runDockerSave() throws(CtrError) -> Result {
        let all = try JSONFile.decode([DockerManifest].self, try small("manifest.json"), "manifest.json")
        guard let manifest = all.first, all.count == 1 else {
            throw CtrError(.badInput, "manifest.json names \(all.count) images (save one alone)")
        }
        // Links between layers are of docker's own making; they stay beneath the image.
        let within: Resolve = [.beneath, .noMagicLinks]
        let hex = try OCIDescriptor.hex(
            String(manifest.config.split(separator: "/").last ?? "").replacingSuffix(".json", with: ""))
        let configFile = try open(manifest.config, "image configuration", within)
        try verify(configFile, hex, "image configuration")
        let bytes = try describing("image configuration") { () throws(SysError) in
            try configFile.fd.readAll(limit: JSONFile.limit)
        }
        let config = try JSONFile.decode(OCIConfig.self, bytes, "image configuration")
        let defaults = try config.defaults()
        guard config.rootfs.diffIDs.count == manifest.layers.count, manifest.layers.count <= 1024 else {
            throw CtrError(.badInput, "the image configuration names another number of layers than manifest.json")
        }
        for (i, (name, id)) in zip(manifest.layers, config.rootfs.diffIDs).enumerated() {
            unpacker.progress(.step("layer \(i + 1) of \(manifest.layers.count)"))
            if i > 0 { unpacker.writer.beginUpperLayer() }
            let file = try open(name, "layer \(i + 1)", within)
            guard id.hasPrefix("sha256:") else { throw CtrError(.badInput, "layer \(i + 1): its id is not sha256") }
            try verify(file, try OCIDescriptor.hex(String(id.dropFirst(7))), "layer \(i + 1)")
            do { try unpacker.unpack(file, .layer) } catch { throw error.inside("layer \(i + 1)") }
        }
        return Result(defaults: defaults, digest: "sha256:\(hex)", kind: "docker archive")
    }

    // MARK: files

    private func open(_ name: String, _ what: String, _ resolve: Resolve) throws(CtrError) -> SharedFD {
        let file: SharedFD
        do {
            file = SharedFD(
                try image.fd.open(name, [.readOnly, .nonBlocking, .noControllingTerminal], resolve: resolve))
            guard try file.fd.status().type == .regular else {
                throw CtrError(.badInput, "\(what): '\(name.escaped)' is no regular file")
            }
        } catch let error as SysError {
            throw CtrError(
                .badInput, "\(what): '\(name.escaped)': \(SysError.text(error.errno))", errno: error.errno)
        } catch let error as CtrError { throw error } catch { throw CtrError(.failed, "\(what): \(error)") }
        return file
    }

    private func small(_ name: String) throws(CtrError) -> [UInt8] {
        do { return try image.fd.readFile(name, limit: JSONFile.limit) } catch {
            throw CtrError(.badInput, "\(name): \(SysError.text(error.errno))", errno: error.errno)
        }
    }
}

extension CtrError {
    /// The same error with where it happened in front.
    func inside(_ place: String) -> CtrError {
        var copy = self
        copy.message = "\(place): \(message)"
        return copy
    }
}

extension String {
    fileprivate func replacingSuffix(_ suffix: String, with other: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) + other : self
    }
}
