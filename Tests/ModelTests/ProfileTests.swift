import Kernel
import Testing

@testable import Model

@Suite struct ProfileTests {
    @Test func everyKindOfLine() throws {
        let profile = try Profile(
            """
            # a comment

            memory = 1G
              cpus=1.5\t
            label = a=1
            label = b=
            nesting = yes
            onboot = no
            protect = yes
            env = A = b
            ulimit = nofile=10:20
            cap-drop = MKNOD,NET_RAW
            seccomp = /etc/p.json\r
            init = /sbin/init --log
            """, name: "p", file: "/x/p.profile")
        let options = profile.options
        #expect(options.resources.memory == 1 << 30 && options.resources.cpus == 1.5)
        #expect(options.labels == ["a=1", "b="] && options.env == ["A = b"])
        #expect(options.nesting == true && options.onboot == false && options.protected == true)
        #expect(options.capDrop == ["MKNOD", "NET_RAW"] && options.seccomp == .file("/etc/p.json"))
        #expect(options.initCommand == ["/sbin/init", "--log"])
        #expect(profile.lines.count == 12)
        #expect(profile.lines[1] == Profile.Entry(option: "cpus", value: "1.5"))
        #expect(try Profile("", name: "p", file: "p").options == VPSOptions())
    }

    @Test(arguments: [
        ("memroy = 1G", "p:1: unknown option 'memroy'"), ("\nmemory = lots", "p:2: --memory 'lots'"),
        ("memory = 1G\nmemory = 2G", "p:2: 'memory' was given in line 1"), ("memory", "p:1: neither"),
        ("memory =", "p:1: 'memory' has no value"), ("nesting = maybe", "p:1: nesting 'maybe'"),
        ("no-nesting = yes", "p:1: unknown option"), ("name = x", "p:1: unknown option"),
        ("detach = yes", "p:1: unknown option"), ("profile = other", "p:1: unknown option"),
        ("--memory = 1G", "p:1: unknown option"), ("seccomp = p.json", "p:1: seccomp 'p.json'"),
        ("env = A", "p:1: --env 'A'"), ("restart = maybe", "p:1: --restart 'maybe'"),
        ("label = \u{1b}=a", "p:1: a control"),
        ("\u{9b}x = 1", "p:1: unknown option '\\u{9b}x'"), ("cpus = 0", "p:1: --cpus"),
        ("= 5", "p:1: unknown option ''"),
    ])
    func errorsNameFileAndLine(_ text: String, _ message: String) {
        let error = #expect(throws: CtrError.self) { try Profile(text, name: "p", file: "p") }
        #expect(error?.code == .config)
        #expect(error?.message.hasPrefix(message) == true, "\(error?.message ?? "")")
        #expect(error?.message.escaped == error?.message)
    }

    @Test("The profiles that we ship can be read", arguments: ["small", "medium", "large"])
    func shipped(_ name: String) throws {
        let root = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
        let file = "\(root)/share/profiles/\(name).profile"
        let profile = try Profile(
            String(decoding: Kernel.open(file, [.readOnly]).readAll(), as: UTF8.self), name: name, file: file)
        try profile.options.resources.validate()
        #expect(profile.options.resources.memory != nil && profile.options.resources.pids != nil)
    }
}
