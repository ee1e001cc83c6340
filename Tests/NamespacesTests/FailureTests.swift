import Kernel
import Model
import NamespaceProbeRequest
import Testing

/// Starts that fail: the error says what and where, and nothing stays. As root.
@Suite(.requiresRoot) struct FailureTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var code: CtrError.Code
        var step: String?
        var errno: Int32?
        /// Part of the message.
        var says: String
        /// Shell commands in the fixture's directory before it.
        var host = ""
        var change: @Sendable (inout ProbeRequest) -> Void = { _ in }
        var testDescription: String { name }
    }

    static let roots = [
        Case(name: "no such layer", code: .io, step: "mount root", errno: Errno.noEntry, says: "open_tree /nowhere") {
            $0.layers = ["/nowhere"]
        },
        Case(name: "no such layer among two", code: .io, step: "mount root", errno: Errno.noEntry, says: "open_tree /nowhere") {
            $0.layers.append("/nowhere")
        },
        Case(name: "a layer that can't map ids", code: .io, step: "mount root", errno: Errno.invalid, says: "mount_setattr") {
            $0.layers = ["/proc"]
        },
        Case(name: "no mount point", code: .io, step: "mount root", errno: Errno.noEntry, says: "mount point of the root: open") {
            $0.mountPoint += "/missing"
        },
        Case(name: "a mount point that is a file", code: .io, step: "mount root", errno: Errno.notDirectory, says: "mount point") {
            $0.mountPoint += "/../outside/canary"
        },
        Case(name: "a root that is a file", code: .io, step: "mount root", errno: Errno.notDirectory, says: "move_mount") {
            $0.disk = nil
            $0.layers = ["\($0.layers[0])/bin/busybox"]
        },
        Case(name: "a layer that is a file", code: .io, step: "mount root", errno: nil, says: "overlay over") {
            $0.layers = ["\($0.layers[0])/bin/busybox"]
        },
        Case(name: "no upper", code: .io, step: "mount root", errno: Errno.noEntry, says: "open upper", host: "rmdir disk/upper"),
        Case(
            name: "upper is a link", code: .io, step: "mount root", errno: Errno.notDirectory, says: "upper",
            host: "rmdir disk/upper; ln -s ../outside disk/upper"),
        Case(name: "no work", code: .io, step: "mount root", errno: Errno.noEntry, says: "work", host: "rmdir disk/work"),
        Case(name: "two layers and no disk", code: .config, step: "mount root", errno: nil, says: "2 layers without a disk") {
            $0.layers.append($0.layers[0])
            $0.disk = nil
        },
        Case(name: "no layer and no disk", code: .config, step: "mount root", errno: nil, says: "0 layers without a disk") {
            $0.layers = []
            $0.disk = nil
        },
        Case(name: "no layer", code: .io, step: "mount root", errno: Errno.invalid, says: "overlay over") { $0.layers = [] },
    ] + ["proc", "sys", "run", "tmp"].map { name in
        Case(
            name: "/\(name) is a link", code: .failed, step: "prepare root", errno: Errno.loop, says: name,
            host: "ln -s ../outside template/\(name)")
    } + [
        Case(
            name: "/dev is a link", code: .failed, step: "build /dev", errno: Errno.loop, says: "dev",
            host: "ln -s ../outside template/dev"),
        Case(
            name: "/proc is a file", code: .failed, step: "prepare root", errno: Errno.notDirectory, says: "proc",
            host: "touch template/proc"),
    ]

    static let settings = [
        Case(name: "id maps overlap", code: .failed, step: "map ids", errno: Errno.invalid, says: "uid_map") {
            $0.maps = [IDMap(container: 0, host: 1_900_000_000, size: 10), IDMap(container: 5, host: 1_900_000_100, size: 10)]
        },
        Case(name: "an empty id map", code: .failed, step: "map ids", errno: Errno.invalid, says: "uid_map") {
            $0.maps = [IDMap(container: 0, host: 1_900_000_000, size: 0)]
        },
        Case(name: "id 0 not mapped", code: .failed, step: nil, errno: Errno.invalid, says: "setres") {
            $0.maps = [IDMap(container: 1, host: 1_900_000_000, size: 65535)]
        },
        Case(name: "a host name of 65 bytes", code: .failed, step: "host name", errno: Errno.invalid, says: "sethostname hh") {
            $0.hostname = String(repeating: "h", count: 65)
        },
        // As many characters as are allowed, but more bytes.
        Case(name: "a host name of 66 bytes", code: .failed, step: "host name", errno: Errno.invalid, says: "sethostname") {
            $0.hostname = String(repeating: "ü", count: 33)
        },
        Case(name: "a domain name of 65 bytes", code: .failed, step: "host name", errno: Errno.invalid, says: "setdomainname") {
            $0.domainname = String(repeating: "d", count: 65)
        },
        Case(name: "a flag that clone3 does not know", code: .failed, step: "clone", errno: Errno.invalid, says: "clone3") {
            $0.namespaces |= 1 << 40
        },
        Case(name: "clocks out of range", code: .failed, step: "set clocks", errno: Errno.range, says: "time namespace") {
            $0.timeOffsets = TimeOffsets(monotonic: .max, boottime: 0)
        },
        Case(name: "clocks before boot", code: .failed, step: "set clocks", errno: Errno.range, says: "time namespace") {
            $0.timeOffsets = TimeOffsets(monotonic: 0, boottime: .min / 2)
        },
        Case(name: "oom score out of range", code: .failed, step: "oom score", errno: Errno.invalid, says: "out-of-memory score") {
            $0.oomScoreAdj = 1001
        },
        // More files than fs.nr_open are for nobody.
        Case(name: "a limit above all", code: .unavailable, step: "ulimit", errno: Errno.perm, says: "hard limit") {
            $0.rlimits = [RLimit(resource: 7, soft: 1 << 40, hard: 1 << 40)]
        },
        Case(name: "a soft limit above the hard one", code: .failed, step: "ulimit", errno: Errno.invalid, says: "--ulimit") {
            $0.rlimits = [RLimit(resource: 4, soft: 2, hard: 1)]
        },
        Case(name: "a mask of what can't be looked at", code: .failed, step: "mask paths", errno: Errno.loop, says: "openat2") {
            $0.maskedPaths = ["/proc/self/root/etc"]
        },
    ]

    static let mounts = [
        Case(name: "no such source", code: .usage, step: "mount", errno: Errno.noEntry, says: "mount /nowhere at /mnt") {
            $0.mounts = [MountSpec(source: "/nowhere", destination: "/mnt", readOnly: false)]
        },
        Case(name: "a source that can't map ids", code: .unavailable, step: "mount", errno: Errno.invalid, says: "can't map ids") {
            $0.mounts = [MountSpec(source: "/proc", destination: "/mnt", readOnly: false)]
        },
        Case(name: "a directory on a file", code: .failed, step: "mount", errno: Errno.notDirectory, says: "mount /etc at /bin/busybox") {
            $0.mounts = [MountSpec(source: "/etc", destination: "/bin/busybox", readOnly: false)]
        },
        Case(name: "a file on a directory", code: .failed, step: "mount", errno: Errno.notDirectory, says: "move_mount") {
            $0.mounts = [MountSpec(source: "/etc/passwd", destination: "/bin", readOnly: false)]
        },
        Case(name: "through a dangling link", code: .failed, step: "mount", errno: Errno.noEntry, says: "/link/x", host: "ln -s nowhere template/link") {
            $0.mounts = [MountSpec(source: "/etc", destination: "/link/x", readOnly: false)]
        },
        Case(name: "a device outside /dev", code: .failed, step: "build /dev", errno: Errno.invalid, says: "mknodat") {
            $0.devices = [DeviceSpec(path: "/dev/../../outside/node", block: false, major: 1, minor: 3, mode: 0o666)]
        },
        Case(name: "a device that is there", code: .failed, step: "build /dev", errno: Errno.exists, says: "mknodat null") {
            $0.devices = [DeviceSpec(path: "/dev/null", block: false, major: 1, minor: 5, mode: 0o666)]
        },
    ]

    static let programs = [
        Case(name: "no such command", code: .commandNotFound, step: "execute", errno: Errno.noEntry, says: "nothing: no such command") {
            $0.args = ["nothing"]
        },
        Case(name: "no such file", code: .commandNotFound, step: "execute", errno: Errno.noEntry, says: "/bin/nothing") {
            $0.args = ["/bin/nothing"]
        },
        Case(name: "below a file", code: .commandNotFound, step: "execute", errno: Errno.notDirectory, says: "no such command") {
            $0.args = ["/bin/busybox/x"]
        },
        Case(name: "no name", code: .commandNotFound, step: "execute", errno: Errno.noEntry, says: "no such command") { $0.args = [""] },
        Case(name: "a directory", code: .notExecutable, step: "execute", errno: Errno.access, says: "/bin: can't be executed") {
            $0.args = ["/bin"]
        },
        Case(name: "no format", code: .notExecutable, step: "execute", errno: Errno.noExec, says: "Exec format", host: "printf x > template/x; chmod 755 template/x") {
            $0.args = ["/x"]
        },
        Case(name: "not executable", code: .notExecutable, step: "execute", errno: Errno.access, says: "Permission denied", host: "echo x > template/x; chmod 644 template/x") {
            $0.args = ["/x"]
        },
        Case(name: "not executable, found along PATH", code: .notExecutable, step: "execute", errno: Errno.access, says: "/bin/x", host: "echo x > template/bin/x") {
            $0.args = ["x"]
            $0.env = ["PATH=/etc::/bin:/nowhere"]
        },
        Case(name: "no interpreter", code: .commandNotFound, step: "execute", errno: Errno.noEntry, says: "/x", host: "echo '#!/nowhere' > template/x; chmod 755 template/x") {
            $0.args = ["/x"]
        },
        Case(name: "links in a circle", code: .notExecutable, step: "execute", errno: Errno.loop, says: "/x", host: "ln -s x template/x") {
            $0.args = ["/x"]
        },
        // The kernel would end the word there and the program see another one.
        Case(name: "NUL in an argument", code: .notExecutable, step: "execute", errno: Errno.invalid, says: "can't be executed") {
            $0.args = ["/bin/echo", "a\0b"]
        },
        Case(name: "NUL in a variable", code: .notExecutable, step: "execute", errno: Errno.invalid, says: "can't be executed") {
            $0.env.append("A=\0")
        },
        Case(name: "no such directory", code: .failed, step: "working directory", errno: Errno.noEntry, says: "chdir /nowhere") {
            $0.cwd = "/nowhere"
        },
        Case(name: "NUL in the directory", code: .failed, step: "working directory", errno: Errno.invalid, says: "path") {
            $0.cwd = "/etc\0/../.."
        },
        Case(name: "an unknown user", code: .config, step: nil, errno: nil, says: "nobody-here") { $0.userName = "nobody-here" },
        Case(name: "an id that is not mapped", code: .failed, step: "drop privileges", errno: Errno.invalid, says: "setres") {
            $0.uid = 70_000
        },
    ]

    @Test(arguments: roots + settings + mounts + programs)
    func failure(_ test: Case) throws {
        try Fixture.with { (fixture) throws in
            if !test.host.isEmpty { try fixture.sh(test.host) }
            var request = fixture.request("true")
            test.change(&request)
            let reply = try fixture.launch(request)
            let failure = try #require(reply.failure, "it succeeded: \(String(describing: reply.ending))")
            #expect(failure.code == test.code, "\(failure)")
            if let step = test.step { #expect(failure.step == step, "\(failure)") }
            if let errno = test.errno { #expect(failure.errno == errno, "\(failure)") }
            #expect(failure.message.contains(test.says), "\(failure)")
            fixture.expectUnchanged(reply)
            if reply.pid != 0 { #expect(throws: SysError.self) { _ = try ProcessHandle(pid: reply.pid) } }
            #expect(try fixture.sh("ls disk/upper 2>&1 || true").contains("node") == false)
        }
    }

    /// A host directory that ctr has open must not become the working directory (CVE-2024-21626).
    @Test(arguments: 3...9) func aLeakedDirectory(number: Int) throws {
        try Fixture.with { (fixture) throws in
            // The guest's own link says it too.
            try fixture.sh("ln -s /proc/self/fd/\(number) template/link")
            for cwd in ["/proc/self/fd/\(number)", "/link"] {
                var request = fixture.request("ls")
                request.cwd = cwd
                let reply = try fixture.launch(request)
                #expect(reply.failure?.step == "working directory", "\(String(describing: reply.ending))")
                fixture.expectUnchanged(reply)
            }
        }
    }
}
