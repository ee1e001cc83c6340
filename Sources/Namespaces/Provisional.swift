internal import Kernel
public struct CapabilityPlan: Sendable { public init() {} }
