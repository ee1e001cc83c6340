internal import Kernel
internal import Model
internal import Namespaces

extension HostCheck {
    /// What this root may do: hosts that are containers themselves often have a root without some capability.
    static func privileges() -> CheckSection {
        var section = CheckSection("privileges")
        let held = (try? Credentials.capabilities().effective) ?? 0
        for capability in KnownCapability.all {
            let has = held & (1 << UInt64(capability.number)) != 0
            section.add(
                capability.name, required: capability.required, has ? .yes() : .no("ctr does not have it"),
                cost: capability.cost)
        }
        section.add(
            "other capabilities", others(held),
            cost: "--cap-add of these with --userns host is refused; with --userns auto nothing is lost")
        section.add(
            "resource limits above ctr's own", limits(),
            cost:
                "--ulimit can't go above the hard limits that ctr was started with (raise them where ctr "
                + "is started, or give it CAP_SYS_RESOURCE)"
        )
        return section
    }

    /// Capabilities without a line of their own.
    private static func others(_ held: UInt64) -> Finding {
        var missing: [String] = []
        for number in 0..<64 where !KnownCapability.all.contains(where: { $0.number == number }) {
            guard let bounded = try? Credentials.boundingSetHas(number) else { continue }
            if !bounded || held & (1 << UInt64(number)) == 0 { missing.append(CapabilityName.name(of: number)) }
        }
        return missing.isEmpty ? .yes() : .partly("without \(missing.joined(separator: ", "))")
    }

    /// Tries to raise each hard limit that is not unlimited by one, in a child.
    private static func limits() -> Finding {
        Probe().run { () throws(SysError) in
            let openFilesCeiling = UInt64(HostFile.number("/proc/sys/fs/nr_open") ?? 1 << 20)
            var stuck: [String] = []
            for resource in 0..<ResourceLimits.count {
                let (soft, hard) = try ResourceLimits.current(resource)
                let name = Ulimit.name(of: resource)
                // Nobody can go above fs.nr_open.
                if hard == .max || (name == "nofile" && hard >= openFilesCeiling) { continue }
                do throws(SysError) {
                    try setResourceLimit(of: 0, resource, soft: soft, hard: hard + 1)
                } catch {
                    if error.errno != Errno.perm { throw error }
                    stuck.append("\(name) \(hard)")
                }
            }
            return stuck.isEmpty ? .yes() : .partly("hard limits: \(stuck.joined(separator: ", "))")
        }
    }
}

/// A capability that ctr itself uses.
private struct KnownCapability {
    let number: Int
    let name: String
    let required: Bool
    let cost: String

    private init(_ number: Int, _ name: String, required: Bool = false, _ cost: String) {
        self.number = number
        self.name = name
        self.required = required
        self.cost = cost
    }

    private static let runCannot = "ctr run can't work: it"

    static let all = [
        KnownCapability(21, "CAP_SYS_ADMIN", required: true, "\(runCannot) takes this to make namespaces and mounts"),
        KnownCapability(
            18, "CAP_SYS_CHROOT", required: true, "\(runCannot) takes this to change between mount namespaces"),
        KnownCapability(
            27, "CAP_MKNOD", required: true,
            "\(runCannot) takes this to make /dev/null and the other devices of a VPS"),
        KnownCapability(
            8, "CAP_SETPCAP", required: true,
            "\(runCannot) takes this to act for the guest's root and to drop capabilities"),
        KnownCapability(6, "CAP_SETGID", required: true, "\(runCannot) takes this to change groups and to map them"),
        KnownCapability(
            1, "CAP_DAC_OVERRIDE", required: true, "\(runCannot) takes this to mount a VPS's overlay"),
        KnownCapability(
            7, "CAP_SETUID", "--userns auto, the default, can't work: it takes this to map users (--userns host can)"),
        KnownCapability(
            0, "CAP_CHOWN",
            "--userns auto, the default, can't work: the guest's root can't be given its cgroup; nor can "
                + "templates be built or imported, whose files have owners"),
        KnownCapability(
            3, "CAP_FOWNER", "templates with files of other users than root can't be built or imported"),
        KnownCapability(4, "CAP_FSETID", "set-group-id bits of a template's files are lost at import"),
        KnownCapability(
            31, "CAP_SETFCAP",
            "templates with programs that have file capabilities (ping, for example) can't be built or imported"),
        KnownCapability(12, "CAP_NET_ADMIN", "--net none is refused with --userns host (use --net host)"),
        KnownCapability(5, "CAP_KILL", "stop and kill fail where a --userns host VPS runs as another user than root"),
        KnownCapability(
            19, "CAP_SYS_PTRACE", "exec fails where a --userns host VPS runs as another user than root"),
        KnownCapability(
            24, "CAP_SYS_RESOURCE",
            "--ulimit above the hard limits of ctr is refused, and so are out-of-memory scores below "
                + "ctr's own; start ctr with higher limits"),
    ]
}

extension HostCheck {
    static func seccomp() -> CheckSection {
        var section = CheckSection("seccomp")
        section.add(
            "filters", filters(),
            cost:
                "the default profile can't be loaded: VPSs start with --seccomp unconfined only, and every "
                + "system call of the kernel is open to them (CONFIG_SECCOMP_FILTER)"
        )
        section.add(
            "libseccomp and the default profile", profile(),
            cost:
                "system calls that this libseccomp does not know by name are refused to guests with "
                + "ENOSYS; build ctr with a newer libseccomp"
        )
        return section
    }

    private static func filters() -> Finding {
        if !Seccomp.isAvailable() { return .no("the kernel has no filters that refuse with an errno") }
        return Probe().run { () throws(SysError) in
            // One instruction: return SECCOMP_RET_ALLOW. See struct sock_filter in seccomp(2).
            var program = [UInt8](repeating: 0, count: Seccomp.instructionSize)
            let returns: UInt16 = 0x06
            let allow: UInt32 = 0x7fff_0000
            program.withUnsafeMutableBytes {
                $0.storeBytes(of: returns, toByteOffset: 0, as: UInt16.self)
                $0.storeBytes(of: allow, toByteOffset: 4, as: UInt32.self)
            }
            try Seccomp.load(program)
            return .yes()
        }
    }

    /// Compiles the profile that a VPS gets if nothing else is asked for.
    private static func profile() -> Finding {
        let what = "libseccomp \(SeccompLibrary.version), \(SeccompProfile.Architecture.native.rawValue)"
        do throws(CtrError) {
            let filter = try SeccompFilter.compile(
                .default(capabilities: CapabilitySet.system.bounding, nesting: false, userns: .own))
            if filter.unknownNames.isEmpty { return .yes(what) }
            return .partly("\(what), does not know \(filter.unknownNames.joined(separator: ", "))")
        } catch { return .no("\(what): \(error)") }
    }
}
