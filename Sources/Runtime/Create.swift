internal import Kernel
public import Model
internal import Namespaces

/// `ctr create`: a VPS to keep, stopped. It is there when its config.json is, and not before.
public struct Create: Sendable {
    public var name: String
    public var template: String
    public var options: VPSOptions

    public init(name: String, template: String, options: VPSOptions) {
        self.name = name
        self.template = template
        self.options = options
    }

    /// - Throws: `cannotCreate` if a VPS of that name exists.
    public func run(on host: Host) throws(CtrError) {
        let sealed = try SealedTemplate(template, on: host)
        var options = options
        if options.disk == nil { options.disk = try Settings.load().disk ?? .image(10 << 30) }
        let builder = try ConfigBuilder(options: options, template: sealed.manifest, name: name)
        var config = try builder.buildServer()
        config.addDue(VPSIdentity.Part.allCases)
        try config.check(sealed, host)
        try config.checkIdentity(sealed)
        try VPSPlace.create(config, on: host) { (place) throws(CtrError) in try place.makeDisk(config) }
        EventLog(host).append(.created, vps: name, detail: ["template": .text(template)])
    }
}

extension VPSConfig {
    /// What a start would refuse is refused now, before anything is made.
    func check(_ sealed: SealedTemplate, _ host: Host) throws(CtrError) { try check(layers: sealed.layers, host) }

    func check(layers: [String], _ host: Host) throws(CtrError) {
        let spec = try spec(layers: layers, disk: "/", mountPoint: "/")
        _ = try Isolation.entry(self, process: spec.process, host: host)
        _ = try deviceRules()
        try checkUlimits(code: .usage)
    }
}
