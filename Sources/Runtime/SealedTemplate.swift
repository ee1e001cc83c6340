internal import Kernel
internal import Model
internal import Storage

/// A template in use: while this lives, it can't be removed.
final class SealedTemplate {
    let manifest: Template
    /// Absolute paths, lowest first.
    let layers: [String]
    let held: OpenTemplate

    init(_ name: String, on host: Host) throws(CtrError) {
        let store = TemplateStore(root: host.root)
        held = try store.open(name)
        manifest = held.manifest
        // A layer is a directory of the template itself, whatever its manifest or a link says (CVE-2026-48749).
        for index in manifest.layers.indices { _ = try held.openLayer(index) }
        layers = held.manifest.layers.map { "\(store.path)/\(name)/\($0)" }
    }

    /// The root of its first layer.
    func openLayer() throws(CtrError) -> SharedFD { SharedFD(try held.openLayer()) }
}
