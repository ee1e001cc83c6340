public import Model

/// `ctr create`: a VPS to keep, stopped.
public struct Create: Sendable {
    public var name: String
    public var template: String
    public var options: VPSOptions

    public init(name: String, template: String, options: VPSOptions) {
        self.name = name
        self.template = template
        self.options = options
    }

    public func run(on host: Host) throws(CtrError) {
        throw CtrError(.failed, "create: not there yet")
    }
}
