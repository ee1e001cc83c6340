internal import Kernel
public import Model

/// One thing that ctr may need of a host, and whether this host has it.
public struct HostFeature: Codable, Sendable, Equatable {
    public enum Status: String, Codable, Sendable {
        case yes, no, partly
    }

    /// What it belongs to: `namespaces`, `cgroups`, `tools`.
    public var area: String
    public var name: String
    public var status: Status
    /// Why it is not there or not whole; where it is there, a detail such as a version or a size.
    public var why: String?
    /// One line: what the operator loses without it and what to do. Nil where nothing is lost.
    public var cost: String?
    /// Without it `ctr run` can't work at all, whatever its options.
    public var required: Bool

    public init(
        area: String, name: String, status: Status, why: String? = nil, cost: String? = nil, required: Bool = false
    ) {
        self.area = area
        self.name = name
        self.status = status
        self.why = why
        self.cost = cost
        self.required = required
    }
}

/// What a host offers, feature by feature.
public struct HostReport: Codable, Sendable, Equatable {
    /// The kernel's own name, release and machine: `Linux 6.12.43+deb12-cloud-amd64 x86_64`.
    public var kernel: String
    /// Whether every required feature is there, if only partly. False: `ctr host check` ends with status 69.
    public var canRun: Bool
    /// By area, in a fixed order; the same names on every host.
    public var features: [HostFeature]

    public init(kernel: String, features: [HostFeature]) {
        self.kernel = kernel
        self.features = features
        canRun = features.allSatisfy { !$0.required || $0.status != .no }
    }

    /// The required features that are missing: why `ctr run` can't work.
    public var blockers: [HostFeature] { features.filter { $0.required && $0.status == .no } }
}

/// `ctr host check`: tries each feature that ctr may need. Nothing is concluded from a kernel's version.
public enum HostCheck {
    /// Tries everything; takes well under a second on an idle host, and at most some ten seconds for a try that hangs.
    ///
    /// Tries are made in child processes, mounts in private mount namespaces, files in a directory of their own where
    /// `$CTR_ROOT` and `$CTR_STATE` lie or would lie, cgroups in one of their own: nothing stays, also if this process
    /// is killed. The caller must have one thread. What fails is part of the report; without root all that needs it is
    /// `no`.
    /// - Throws: `failed` in a process with threads, `io` where the kernel doesn't answer the simplest questions.
    public static func report(on host: Host) throws(CtrError) -> HostReport {
        let threads = try describing("host check") { () throws(SysError) in try CurrentProcess.threadCount() }
        if threads != 1 {
            throw CtrError(.failed, "host check: this process has \(threads) threads (it must have one)")
        }
        let bench = Workbench(host)
        var features: [HostFeature] = []
        features += system().features
        features += processes(bench).features
        features += namespaces(bench).features
        features += userIDs(bench).features
        features += mounts().features
        features += fileSystems(bench).features
        features += overlay(bench).features
        features += privileges().features
        features += seccomp().features
        features += cgroups().features
        features += storage(bench).features
        features += settings().features
        features += network().features
        features += views().features
        features += tools().features
        features += suspending().features
        return HostReport(kernel: "Linux \(KernelRelease.text) \(KernelRelease.machine)", features: features)
    }

    private static func system() -> CheckSection {
        var section = CheckSection("system")
        let user = CurrentProcess.effectiveUser
        section.add(
            "root", required: true, user == 0 ? .yes() : .no("this is user \(user)"),
            cost: "ctr run can't work: namespaces, mounts and cgroups of a VPS are root's to make (run ctr as root)")
        section.add(
            "user namespace of the host", ownUsers(),
            cost:
                "ctr is in a container itself: device nodes can't be made there, device rules and ids are "
                + "the outer host's to give (run ctr on the host)"
        )
        let machine = KernelRelease.machine
        let known = ["x86_64", "aarch64"].contains(machine)
        section.add(
            "processor", known ? .yes(machine) : .partly("\(machine) is untested"),
            cost: "the seccomp profile and system call numbers were tried on x86_64 and aarch64 only; report what fails"
        )
        return section
    }

    /// The host's own user namespace maps every id to itself.
    private static func ownUsers() -> Finding {
        do throws(SysError) {
            let map = try HostFile.text("/proc/self/uid_map").split(whereSeparator: \.isWhitespace)
            return map == ["0", "0", "4294967295"] ? .yes() : .partly("its map is \(map.joined(separator: " "))")
        } catch { return .partly("\(error)") }
    }
}

/// The features of one area as they are found.
struct CheckSection {
    let area: String
    private(set) var features: [HostFeature] = []

    init(_ area: String) { self.area = area }

    /// - Parameter cost: what is lost where the finding is not `yes`.
    mutating func add(_ name: String, required: Bool = false, _ finding: Finding, cost: String) {
        let (status, why): (HostFeature.Status, String?) =
            switch finding {
            case .yes(let detail): (.yes, detail)
            case .partly(let reason): (.partly, reason)
            case .no(let reason): (.no, reason)
            }
        // A path or an option of the host's is part of a reason.
        features.append(
            HostFeature(
                area: area, name: name, status: status, why: why?.escaped, cost: status == .yes ? nil : cost,
                required: required))
    }
}
