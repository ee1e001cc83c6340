internal import Kernel
internal import Model

/// Host keys of sshd(8), made on the host by ssh-keygen(1): nothing of the guest is executed.
enum SSHHostKeys {
    /// - Returns: files by name; nil where the host lacks ssh-keygen.
    static func make(comment: String) throws(CtrError) -> [(name: String, text: String)]? {
        if ToolProcess.find("ssh-keygen") == nil { return nil }
        // Secrets: below a directory of root's alone.
        let suffix = Staging.uniqueSuffix()
        let path = "/run/.ctr-keys-\(suffix)"
        let parent = try describing("/run") { () throws(SysError) in SharedFD(try Kernel.open("/run", .directory)) }
        sweep(parent)
        let directory = try describing("make \(path)") { () throws(SysError) in
            try parent.fd.makeDirectory(".ctr-keys-\(suffix)", mode: 0o700)
            let directory = SharedFD(try parent.fd.open(".ctr-keys-\(suffix)", [.directory, .noFollow]))
            try directory.fd.lock(.exclusive, wait: false)
            return directory
        }
        defer { try? parent.fd.removeTree(".ctr-keys-\(suffix)") }
        var all: [(name: String, text: String)] = []
        for (type, bits) in [("ed25519", [String]()), ("ecdsa", []), ("rsa", ["-b", "3072"])] {
            let name = "ssh_host_\(type)_key"
            try Tool(
                "ssh-keygen", package: "openssh-client",
                ["-q", "-t", type] + bits + ["-N", "", "-C", comment, "-f", "\(path)/\(name)"], scratch: directory
            ).finish(.failed)
            for file in [name, "\(name).pub"] {
                let bytes = try describing("\(path)/\(file)") { () throws(SysError) in
                    try directory.fd.readFile(file, limit: 1 << 16)
                }
                all.append((file, String(decoding: bytes, as: UTF8.self)))
            }
        }
        return all
    }

    /// What others left that were killed: nobody has it locked. One that is new may be about to be.
    private static func sweep(_ parent: SharedFD) {
        for entry in (try? parent.fd.entries()) ?? [] where entry.name.description.hasPrefix(".ctr-keys-") {
            guard let directory = try? parent.fd.open(entry.name, [.directory, .noFollow]),
                let status = try? directory.status(), status.uid == 0,
                FileTime.now.seconds - status.modified.seconds > 60,
                (try? directory.lock(.exclusive, wait: false)) != nil
            else { continue }
            try? parent.fd.removeTree(entry.name.description)
        }
    }
}
