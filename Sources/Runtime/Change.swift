public import Model

/// `ctr set`: changes the options of a VPS.
public struct Change: Sendable {
    public var name: String
    public var options: VPSOptions
    /// `OPTION` or `OPTION=KEY`, without dashes: what goes back to its default.
    public var unset: [String]

    public init(name: String, options: VPSOptions, unset: [String]) {
        self.name = name
        self.options = options
        self.unset = unset
    }

    /// - Returns: the options that a running VPS does not see before it is started again: `--hostname`.
    public func run(on host: Host) throws(CtrError) -> [String] {
        throw CtrError(.failed, "set: not there yet")
    }
}
