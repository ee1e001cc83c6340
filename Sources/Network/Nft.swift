internal import Kernel
internal import Model

/// The program nft(8), which makes tables; what changes with every VPS goes to the kernel directly: see ``FilterChange``.
enum Nft {
    static let program = "nft"

    /// Carries out a script, all of it or nothing.
    /// - Throws: `unavailable` where the host has no nft, or its kernel not what the script needs.
    static func run(_ script: String) throws(CtrError) {
        if ToolProcess.find(program) == nil {
            throw CtrError(
                .unavailable,
                "packet filter: no nft on this host (install the package nftables, or do without a network: --net none)",
                step: "network")
        }
        let status: ToolProcess.Status
        let words: [UInt8]
        do throws(SysError) {
            let input = SharedFD(try MemoryFile.make())
            try input.fd.writeAll(Array(script.utf8))
            try MemoryFile.rewind(input.fd)
            let output = SharedFD(try MemoryFile.make())
            let process = try ToolProcess(
                program, ["-f", "-"], stdin: .file(input), stdout: .null, stderr: .file(output))
            status = try process.wait()
            words = try MemoryFile.contents(of: output.fd, limit: 1 << 16)
        } catch { throw CtrError(.failed, "packet filter: nft", step: "network", cause: error) }
        if status.succeeded { return }
        let first = String(decoding: words.prefix { $0 != 10 }.prefix(300), as: UTF8.self)
        throw CtrError(
            .unavailable, "packet filter: nft failed (\(status.text)): \(first.escaped) (see ctr host check)",
            step: "network")
    }
}
