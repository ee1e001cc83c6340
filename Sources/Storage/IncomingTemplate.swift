internal import Kernel
public import Model

/// The template of a ``VPSArchive`` that is being imported: one that this host has already, or a new one that nobody sees
/// before ``publish()``.
public final class IncomingTemplate {
    /// As this host calls it: its own name, or that with a part of its listing where another template has the name.
    public let name: String
    private let archive: VPSArchive
    private var staging: Staging?
    private var work: TemplateWork?
    /// Keeps the one that is there.
    private let held: OpenTemplate?

    public var isNew: Bool { held == nil }

    public init(_ archive: VPSArchive, in store: TemplateStore, progress: @escaping TemplateProgress) throws(CtrError) {
        self.archive = archive
        do throws(CtrError) { try Name.validate(archive.template.name, kind: "template") } catch {
            throw CtrError(.badInput, "\(VPSArchive.manifestName): \(error.message)")
        }
        guard archive.listing.utf8.count == 64, archive.listing.allSatisfy({ $0.isHexDigit && $0.isASCII }) else {
            throw CtrError(.badInput, "\(VPSArchive.manifestName): its listing is malformed")
        }
        let names = [
            archive.template.name, "\(archive.template.name.prefix(54))-\(archive.listing.prefix(8).lowercased())",
        ]
        for name in names {
            let present: OpenTemplate
            do throws(CtrError) { present = try store.open(name) } catch {
                guard error.code == .notFound else { throw error }
                store.sweep()
                let staging = try Staging(store)
                do throws(CtrError) { work = try TemplateWork(name, staging, ImportLimits(), progress) } catch {
                    staging.discard()
                    throw error
                }
                self.staging = consume staging
                self.name = name
                held = nil
                return
            }
            if try present.listing() == archive.listing {
                self.name = name
                held = consume present
                return
            }
        }
        throw CtrError(
            .cannotCreate, "template \(names[1]): exists already, and is another one (rename or remove it first)")
    }

    deinit { discard() }

    /// Reads its part of the archive.
    public func read(_ reader: VPSArchiveReader) throws(CtrError) {
        let listing = try reader.template(into: work?.writer)
        if listing != archive.listing {
            throw CtrError(.badInput, "the template's files are not those that \(VPSArchive.manifestName) says")
        }
    }

    /// Makes it visible.
    public func publish() throws(CtrError) {
        guard let work, let staging = staging.take() else { return }
        self.work = nil
        let manifest: Template
        do throws(CtrError) {
            work.manifest.defaults = archive.template.defaults
            work.manifest.source = archive.template.source.map { String($0.prefix(4096)).escaped }
            manifest = try work.finish()
        } catch {
            staging.discard()
            throw error
        }
        try staging.publish(manifest)
    }

    private func discard() {
        work = nil
        if let staging = staging.take() { staging.discard() }
    }
}
