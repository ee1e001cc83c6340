internal import Kernel
internal import Model

/// Device nodes that a VPS may have in its /dev: what a start makes.
struct DeviceNodes {
    private let allowed: Set<DeviceNumber>

    init(allowed config: VPSConfig) throws(CtrError) {
        // null, zero, full, random, urandom, tty.
        var numbers = Set([3, 5, 7, 8, 9].map { DeviceNumber(major: 1, minor: $0) })
        numbers.insert(DeviceNumber(major: 5, minor: 0))
        for path in config.devices {
            let device = try VPSConfig.device(path)
            numbers.insert(DeviceNumber(major: device.major, minor: device.minor))
        }
        allowed = numbers
    }

    /// - Throws: `config` for another one anywhere below this directory, which nobody changes meanwhile.
    func check(_ directory: String) throws(CtrError) {
        var rest = [directory]
        while let path = rest.popLast() {
            let found = try describing("/dev of the VPS") { () throws(SysError) -> (below: [String], bad: String?) in
                let here = try open(path, [.directory, .noFollow])
                var below: [String] = []
                for entry in try here.entries() {
                    switch entry.type {
                    case .directory: below.append("\(path)/\(entry.name)")
                    case .character, .block:
                        if !allowed.contains(try here.status(of: entry.name).node) {
                            return ([], entry.name.description)
                        }
                    default: break
                    }
                }
                return (below, nil)
            }
            if let bad = found.bad {
                throw CtrError(.config, "checkpoint: damaged: a device \(bad.escaped) that the VPS can't have")
            }
            rest += found.below
        }
    }
}
