public import Kernel
public import Model

extension TemplateStore {
    /// Makes a template of a server's root.
    /// - Parameters:
    ///   - root: all its files as it sees them, with owners by its own numbers; nobody writes there meanwhile.
    ///   - base: the template that it was made from: how it starts is taken over.
    ///   - config: the server's, for ``Model/Template/vps``.
    /// - Throws: `cannotCreate` where the name is taken, `io` for the disk.
    public func seal(
        _ root: SharedFD, as name: String, like base: Template, config: VPSConfig, without personal: Personal,
        progress: @escaping TemplateProgress
    ) throws(CtrError) -> Template {
        try requireFree(name)
        sweep()
        return try make(name, ImportLimits(), progress) { (work) throws(CtrError) in
            progress(.step("copy"))
            let reader = TreeReader(root: root, limits: work.limits, notes: work.notes, rules: .overlay)
            reader.standsAlone = personal.standsAlone
            try TreeCopier(reader: reader, writer: work.writer, progress: progress).copy { (entry) throws(CtrError) in
                personal.apply(to: entry)
            }
            work.manifest.defaults = base.defaults
            work.manifest.description = config.description ?? base.description
            work.manifest.source = TemplateStore.sourceOfSealed(config.name)
            // The hash is where it was, in a file that the guest's root alone reads.
            var config = config
            config.identity?.passwordHash = nil
            work.manifest.vps = config
        }
    }

    /// What ``Model/Template/source`` says of one that was a server.
    public static func sourceOfSealed(_ vps: String) -> String { "vps \(vps)" }
}
