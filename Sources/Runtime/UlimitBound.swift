internal import Kernel
internal import Model

extension VPSConfig {
    /// Open files are bounded by the host: the kernel takes no limit above fs.nr_open, `unlimited` neither.
    /// - Parameter code: of the error, `usage` where an operator has just asked for it.
    func checkUlimits(code: CtrError.Code) throws(CtrError) {
        guard let limit = ulimits.first(where: { $0.name == "nofile" }) else { return }
        let path = "/proc/sys/fs/nr_open"
        let bytes = try describing("bound of --ulimit nofile") { () throws(SysError) in
            try open(path, .readOnly).read(upTo: 64)
        }
        guard let bound = UInt64(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)), limit.hard > bound else {
            return
        }
        let wanted = limit.hard == Ulimit.unlimited ? "unlimited" : "\(limit.hard)"
        throw CtrError(
            code, "--ulimit nofile=\(wanted): above what this host allows, \(bound) (raise the sysctl fs.nr_open)")
    }
}
