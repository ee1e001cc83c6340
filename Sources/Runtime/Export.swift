internal import Kernel
public import Model
public import Storage

/// `ctr export`: a VPS, or one of its snapshots, as one archive that holds all of it.
public struct Export: Sendable {
    public var source: String
    /// nil: the VPS as it is.
    public var snapshot: String?
    /// Packed as its ending says; `-`: standard output.
    public var file: String
    /// Its snapshots too; of a VPS as it is only.
    public var snapshots = false

    public init(source: String, snapshot: String?, file: String) {
        self.source = source
        self.snapshot = snapshot
        self.file = file
    }

    /// One that runs goes on meanwhile, but for one whose disk is a directory.
    /// - Throws: `notFound`; `cannotCreate` where the file exists; `io`.
    public func run(on host: Host, progress: @escaping TemplateProgress) throws(CtrError) {
        let hold = try DiskHold.take(source, on: host)
        let origin = try snapshot.map { (snapshot) throws(CtrError) in try hold.snapshot(snapshot) }
        var config = (origin?.config ?? hold.config).portable
        config.disk = hold.config.portable.disk
        // One that has never been started has it still to come.
        config.identityDue = (origin?.config ?? hold.config).identityDue
        let template = try SealedTemplate(config.template, on: host)
        let archive = try template.archive(of: config, snapshot: snapshot, snapshots ? try hold.tree() : nil)
        try hold.withSnapshot(origin?.id) { (id) throws(CtrError) in
            try archive.write(template: template.openLayer(), data: hold.data, as: id, to: file, progress: progress)
        }
        EventLog(host).append(.exported, vps: source, detail: snapshot.map { ["snapshot": .text($0)] } ?? [:])
    }
}

/// `ctr import`: makes a VPS of an archive that `ctr export` wrote.
public struct Import: Sendable {
    /// `-`: standard input.
    public var file: String
    /// nil: as it was called.
    public var name: String?
    /// Takes over what opens parts of the host to it: mounts, devices, capabilities and the like.
    public var trusted: Bool

    public init(file: String, name: String?, trusted: Bool) {
        self.file = file
        self.name = name
        self.trusted = trusted
    }

    public struct Made: Codable, Sendable {
        public var name: String
        public var template: String
        /// The template came out of the archive.
        public var templateIsNew: Bool
        /// Options that were not taken over.
        public var leftOut: [String]
        /// Names of the snapshots that came along.
        public var snapshots: [String]
    }

    /// - Throws: `badInput` for an archive that is damaged or hostile, of which nothing stays; `cannotCreate` if there is a
    ///   VPS of that name.
    public func run(on host: Host, progress: @escaping TemplateProgress) throws(CtrError) -> Made {
        let reader = try VPSArchiveReader(file, progress: progress)
        let archive = try reader.manifest()
        var (config, leftOut) = try settled(archive.config, of: archive)
        // What a killed import of this name has left.
        try Recovery(host: host).sweep(config.name)
        if try VPSFiles(config.name, host: host).config() != nil {
            throw CtrError(.cannotCreate, "VPS \(config.name): exists already (--name gives it another name)")
        }
        try check(config, host)
        var tree = try snapshots(of: archive, config, &leftOut, host)
        let template = try IncomingTemplate(archive, in: TemplateStore(root: host.root), progress: progress)
        try template.read(reader)
        config.template = template.name
        for index in tree.snapshots.indices { tree.snapshots[index].config.template = template.name }
        try VPSPlace.create(config, on: host) { (place) throws(CtrError) in
            try place.makeDisk(config) { (data) throws(CtrError) in
                try reader.disk(
                    into: data, snapshots: tree, host: config.disk == nil ? nil : place.directory,
                    reserve: SpaceReserve.read(host).reserve)
                try reader.finish()
            }
            if !tree.snapshots.isEmpty {
                try VPSFiles.write(
                    tree, VPSFiles.snapshotsFile, in: place.directory, of: config.name, durable: true)
            }
            try template.publish()
        }
        EventLog(host).append(.imported, vps: config.name)
        return Made(
            name: config.name, template: template.name, templateIsNew: template.isNew, leftOut: leftOut,
            snapshots: tree.snapshots.map(\.name))
    }

    /// A configuration from the archive, as the VPS has it here.
    /// - Returns: also the options that were not taken over.
    private func settled(_ foreign: VPSConfig, of archive: VPSArchive) throws(CtrError) -> (VPSConfig, [String]) {
        var config = foreign.portable
        config.identityDue = foreign.identityDue
        config.name = name ?? archive.config.name
        do throws(CtrError) { try Name.validate(config.name, kind: "VPS") } catch {
            throw CtrError(name == nil ? .badInput : .usage, error.message)
        }
        if config.hostname == foreign.name { config.hostname = config.name }
        // Under another name it is another one beside that which was exported, and not that one come back.
        if config.name != archive.config.name {
            config.addDue([.machine, .names])
            config.leaveNetworkIdentity()
        }
        config.created = Timestamp.now()
        config.ephemeral = false
        let leftOut = trusted ? [] : config.closeToHost()
        try config.validateForeign()
        return (config, leftOut)
    }

    private func check(_ config: VPSConfig, _ host: Host) throws(CtrError) {
        do throws(CtrError) { try config.check(layers: ["/"], host) } catch {
            // The archive's fault, not the caller's.
            throw error.code == .usage
                ? CtrError(.badInput, "the configuration in the archive: \(error.message)") : error
        }
    }

    /// More than anyone wants.
    private static let mostSnapshots = 10_000

    /// The snapshots of an archive, with ids of their own.
    private func snapshots(
        of archive: VPSArchive, _ config: VPSConfig, _ leftOut: inout [String], _ host: Host
    ) throws(CtrError) -> SnapshotTree {
        var tree = SnapshotTree()
        guard let foreign = archive.snapshots else { return tree }
        let names = foreign.snapshots.map(\.name)
        guard names.count <= Import.mostSnapshots, Set(names).count == names.count else {
            throw CtrError(.badInput, "its list of snapshots is malformed")
        }
        var ids: [String: String] = [:]
        for old in foreign.snapshots {
            do throws(CtrError) { try Name.validate(old.name, kind: "snapshot") } catch {
                throw CtrError(.badInput, error.message)
            }
            guard TimeText.milliseconds(rfc3339: old.created) != nil, ids[old.id] == nil else {
                throw CtrError(.badInput, "snapshot \(old.name): its entry is malformed")
            }
            var (settings, closed) = try settled(old.config, of: archive)
            settings.disk = config.disk
            settings.idRange = nil
            try check(settings, host)
            let id = try DiskHold.randomID()
            // One that comes later can't be what it is based on.
            var new = Snapshot(
                name: old.name, id: id, parent: old.parent.flatMap { ids[$0] }, created: old.created, config: settings)
            new.description = old.description
            new.automatic = old.automatic
            ids[old.id] = id
            tree.snapshots.append(new)
            leftOut += closed.filter { !leftOut.contains($0) }
        }
        tree.current = foreign.current.flatMap { ids[$0] }
        return tree
    }
}

extension SealedTemplate {
    func archive(of config: VPSConfig, snapshot: String?, _ tree: SnapshotTree?) throws(CtrError) -> VPSArchive {
        var tree = tree
        for index in tree?.snapshots.indices ?? 0..<0 {
            let config = tree!.snapshots[index].config
            tree!.snapshots[index].config = config.portable
            tree!.snapshots[index].config.identityDue = config.identityDue
        }
        return try VPSArchive(
            config: config, snapshot: snapshot, snapshots: tree, created: Timestamp.now(), template: held)
    }
}

extension VPSPlace {
    /// As ``makeDisk(_:)``, with files in it, and snapshots.
    func makeDisk(_ config: VPSConfig, filling body: (SnapshotData) throws(CtrError) -> Void) throws(CtrError) {
        if let disk = config.disk, let image = files.image(config, in: directory) {
            try promise(config)
            return try image.make(disk, filling: body)
        }
        try makeDisk(config)
        let directory = directory
        // Under a name of a leftover's until it is whole: a VPS without config.json whose `disk` has data is left alone.
        let top = try describing("disk of VPS \(files.name)") { () throws(SysError) in
            try directory.fd.makeDirectory(".disk.new", mode: 0o700)
            let top = SharedFD(try directory.fd.open(".disk.new", [.directory, .noFollow]))
            try directory.fd.rename("disk", to: top.fd, "disk", replace: false)
            return top
        }
        try body(SnapshotData(top: top, isImage: false, of: files.name))
        try describing("disk of VPS \(files.name)", code: .io) { () throws(SysError) in
            try top.fd.syncFileSystem()
            do throws(SysError) { try top.fd.rename("snapshots", to: directory.fd, "snapshots", replace: false) } catch
                where error.errno == Errno.noEntry
            {}
            try top.fd.rename("disk", to: directory.fd, "disk", replace: false)
            try directory.fd.unlink(".disk.new", directory: true)
        }
    }
}
