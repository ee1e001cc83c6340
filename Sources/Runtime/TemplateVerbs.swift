internal import Cgroups
internal import Kernel
public import Model
internal import Namespaces
public import Storage

/// `ctr template`: the store of sealed templates, with what it needs of the rest of ctr.
public struct TemplateVerbs: Sendable {
    private let host: Host
    private let store: TemplateStore

    public init(host: Host) throws(CtrError) {
        self.host = host
        store = TemplateStore(root: host.root)
    }

    /// Builds a template from a recipe's directory.
    public func build(
        directory: String, name: String?, progress: @escaping TemplateProgress
    ) throws(CtrError) -> Template {
        let host = host
        return try store.build(recipe: directory, name: name, progress: progress) {
            (root, command, env) throws(CtrError) -> Int32 in
            try BuildStep(root: root, command: command, env: env).run(on: host)
        }
    }

    public func importing(
        from source: String, name: String, progress: @escaping TemplateProgress
    ) throws(CtrError) -> Template {
        try store.importTemplate(from: source, name: name, progress: progress)
    }

    /// All templates by name; one that can't be read is warned of.
    public func list() throws(CtrError) -> [Template] {
        try store.list { name, error in Message.warn(error.message) }
    }

    public func show(_ name: String) throws(CtrError) -> Template { try store.show(name) }

    public func export(_ name: String, to file: String, progress: @escaping TemplateProgress) throws(CtrError) {
        try store.exportTemplate(name, to: file, progress: progress)
    }

    /// - Throws: `busy` naming the VPSs that use it.
    public func remove(_ name: String) throws(CtrError) {
        let host = host
        try store.remove(name) { () throws(CtrError) in
            try VPSList.all(on: host).filter { $0.template == name }.map(\.name)
        }
    }
}

/// A command of a recipe, executed inside the root that is being built: isolated as a VPS is, on the root itself
/// instead of an overlay, with the host's network for what it installs.
private struct BuildStep {
    let root: String
    let command: [String]
    let env: [String]

    func run(on host: Host) throws(CtrError) -> Int32 {
        let place = try VPSPlace.make(nil, on: host)
        do throws(CtrError) {
            let status = try runCommand(place)
            try Recovery(host: host).removeAll(place.files)
            return status
        } catch {
            place.removeAfterFailure()
            throw error
        }
    }

    private func runCommand(_ place: VPSPlace) throws(CtrError) -> Int32 {
        var config = VPSConfig(name: place.files.name, template: "", created: Timestamp.now(), args: command)
        config.ephemeral = true
        config.env = env
        let vps = try Starting(place: place, writable: root, config: config).started(streams: Streams())
        return try Supervisor(vps.process, signals: Supervisor.queue(), relay: nil, isInit: true).run().status.code
    }
}
