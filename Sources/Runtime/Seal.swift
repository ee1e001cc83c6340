internal import Kernel
public import Model
internal import Namespaces
public import Storage

/// `ctr template create --from`: a VPS becomes a template, without what is personal; it can't be started any more.
public struct Seal: Sendable {
    public var vps: String
    public var template: String

    public init(vps: String, template: String) {
        self.vps = vps
        self.template = template
    }

    /// - Throws: `failed` for one that runs or is sealed, `cannotCreate` where there is a template of that name.
    public func run(on host: Host, progress: @escaping TemplateProgress) throws(CtrError) -> Template {
        try Name.validate(template, kind: "template")
        let hold = try DiskHold.take(vps, on: host)
        if hold.running != nil {
            throw CtrError(.failed, "VPS \(vps): running (ctr stop \(vps) first: its files must stand still)")
        }
        try hold.config.refuseSealed()
        let store = TemplateStore(root: host.root)
        try store.requireFree(template)
        let personal = try Personal(more: Settings.load().personal ?? [])
        let base = try SealedTemplate(hold.config.template, on: host)
        try hold.write { $0.diskWork = DiskWork(.seal, template) }
        let made: Template
        do throws(CtrError) {
            let config = hold.config
            made = try hold.reading(nil, of: config, source: "ctr-seal:\(vps)") { (root) throws(CtrError) in
                try store.seal(
                    root, as: template, like: base.manifest, config: config.portable, without: personal,
                    progress: progress)
            }
        } catch {
            try hold.write { $0.diskWork = nil }
            throw error
        }
        try hold.finishSeal(template)
        EventLog(host).append(.sealed, vps: vps, detail: ["template": .text(template)])
        return made
    }
}

/// `ctr template unseal`: a template is a VPS again, to be updated. The template stays as it is, with all that use it.
public struct Unseal: Sendable {
    public var template: String
    public var vps: String

    public init(template: String, vps: String) {
        self.template = template
        self.vps = vps
    }

    /// - Returns: whether the VPS that was sealed has gone on; otherwise a new one was made.
    /// - Throws: `notFound`; `cannotCreate` where a VPS of that name is not the one that was sealed.
    public func run(on host: Host) throws(CtrError) -> Bool {
        let files = try VPSFiles(vps, host: host)
        // Without its template too, which may have been removed.
        if try files.config()?.sealedAs == template { return try openAgain(host) }
        let sealed = try SealedTemplate(template, on: host)
        if try files.config() != nil { return try openAgain(host) }
        guard var config = sealed.manifest.vps else {
            throw CtrError(
                .failed,
                "template \(template): was never a VPS (ctr create \(vps) --template \(template) makes one of it)")
        }
        config.name = vps
        config.hostname = vps
        config.template = template
        config.created = Timestamp.now()
        config.addDue([.machine, .names])
        config.leaveNetworkIdentity()
        try config.check(sealed, host)
        try VPSPlace.create(config, on: host) { (place) throws(CtrError) in try place.makeDisk(config) }
        EventLog(host).append(.unsealed, vps: vps, detail: ["template": .text(template)])
        return false
    }

    private func openAgain(_ host: Host) throws(CtrError) -> Bool {
        let hold = try DiskHold.take(vps, on: host)
        guard hold.config.sealedAs == template else {
            throw CtrError(
                .cannotCreate,
                "VPS \(vps): exists already, and is not sealed as template \(template) (choose another name)")
        }
        try hold.write { $0.sealedAs = nil }
        EventLog(host).append(.unsealed, vps: vps, detail: ["template": .text(template)])
        return true
    }
}

extension VPSConfig {
    /// - Throws: `failed` for one that has become a template.
    func refuseSealed() throws(CtrError) {
        guard let sealedAs else { return }
        throw CtrError(
            .failed,
            "VPS \(name): sealed as template \(sealedAs) (ctr template unseal \(sealedAs) --to \(name) makes it a VPS again)"
        )
    }

    /// Without what another VPS of this configuration must not have.
    var portable: VPSConfig {
        var config = self
        config.idRange = nil
        config.diskWork = nil
        config.disk?.resizingTo = nil
        config.sealedAs = nil
        config.identityDue = nil
        config.protected = false
        config.onboot = false
        return config
    }
}

extension DiskHold {
    /// The whole root as the VPS sees it, read only, at a moment that stands still.
    /// - Parameters:
    ///   - snapshot: the id of one; nil: as it is now.
    ///   - config: of that moment.
    ///   - source: what mountinfo would show.
    func reading<T>(
        _ snapshot: String?, of config: VPSConfig, source: String, _ body: (SharedFD) throws(CtrError) -> T
    ) throws(CtrError) -> T {
        let template = try SealedTemplate(config.template, on: files.host)
        let read = { (disk: SharedFD) throws(CtrError) -> SharedFD in
            try OfflineRoot.mountReadOnly(
                layers: template.layers, disk: disk, mountPoint: self.files.path, source: source)
        }
        // It stands still anyway; and `diskWork` may be in use already.
        if snapshot == nil, running == nil { return try body(read(mount(nil))) }
        return try withSnapshot(snapshot) { (id) throws(CtrError) in try body(read(mount(id))) }
    }

    /// After the template is there, or is not.
    func finishSeal(_ template: String) throws(CtrError) {
        let store = TemplateStore(root: files.host.root)
        let isThere = (try? store.show(template))?.source == TemplateStore.sourceOfSealed(files.name)
        try write { config in
            config.sealedAs = isThere ? template : nil
            config.diskWork = nil
        }
    }
}
