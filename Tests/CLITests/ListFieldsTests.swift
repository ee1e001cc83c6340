import FoundationEssentials
import Model
import Testing

@testable import Runtime
@testable import ctr

/// `ctr list -o` and `--sort`.
@Suite struct ListFieldsTests {
    private func vps(_ name: String, memory: Int64? = nil, _ change: (inout VPSConfig) -> Void = { _ in }) -> VPSSummary
    {
        var config = VPSConfig(name: name, template: "t", created: "2026-01-01T00:00:00Z", args: ["sleep", "1"])
        config.resources.memory = memory
        change(&config)
        return VPSSummary(config)
    }

    private func cells(_ names: String, _ vps: VPSSummary) throws -> [String] {
        try ListField.parse(names, option: "-o").map { $0.text(vps) }
    }

    @Test func everyFieldSaysSomething() throws {
        var summary = vps("web", memory: 3 << 29) {
            $0.labels = ["tier": "front", "a.b": "c=d"]
            $0.description = "what it is for"
            $0.resources.cpus = 1.5
            $0.resources.pids = 100
            $0.restart = .onFailure
            $0.bootPriority = -3
            $0.onboot = true
        }
        (summary.status, summary.pid, summary.started, summary.uptime) = (.running, 12, "2026-01-02T00:00:00Z", 93_784)
        let all = ListField.names.split(separator: ", ").dropLast().map(String.init)
        #expect(
            try cells(all.joined(separator: ","), summary) == [
                "web", "running", "t", "12", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "1d 2h", "sleep 1",
                "what it is for", "a.b=c=d tier=front", "web", "1.5G", "1.5", "100", "no", "yes", "-3", "no",
                "on-failure",
            ])
        #expect(try cells("label.tier,label.a.b,label.none,name,name", summary) == ["front", "c=d", "", "web", "web"])
        #expect(try ListField.parse("label.Tier,name", option: "-o").map(\.title) == ["LABEL.Tier", "NAME"])
        #expect(try cells("pid,started,uptime,memory,cpus,description", vps("x")) == ["", "", "", "", "", ""])
    }

    @Test(arguments: ["", "bogus", "name,", ",name", "label.", "label", "Name", "-name", "name,\u{1b}[2J"])
    func unknownFields(_ text: String) {
        let error = #expect(throws: CtrError.self) { try ListField.parse(text, option: "-o") }
        #expect(error?.code == .usage && error?.message.contains("known are name, state") == true)
        #expect(error?.message.contains("\u{1b}") == false)
        #expect(throws: CtrError.self) { try ListField.parseOrder("name,-bogus") }
        #expect(throws: CtrError.self) { try ListField.parseOrder("--name") }
    }

    @Test func order() throws {
        let list = [
            vps("a", memory: 1 << 20), vps("b"), vps("c", memory: 900 << 10),
            vps("d", memory: 1 << 20) {
                $0.onboot = true
                $0.labels = ["tier": "x"]
            },
        ]
        func sorted(_ text: String) throws -> String {
            ListField.sort(list, by: try ListField.parseOrder(text)).map(\.name).joined()
        }
        #expect(ListField.sort(list.reversed(), by: []).map(\.name).joined() == "abcd")
        #expect(try sorted("-name") == "dcba")
        // By number, not as text; those without one are last either way.
        #expect(try sorted("memory") == "cadb")
        #expect(try sorted("-memory") == "adcb")
        #expect(try sorted("-memory,-name") == "dacb")
        #expect(try sorted("-onboot,name") == "dabc")
        #expect(try sorted("label.tier") == "dabc")
    }

    @Test func asAScriptSeesIt() throws {
        try Program.with { (p) throws in
            let setup = try p.sh(
                """
                set -e
                "$CTR" list -q
                for n in web db; do
                    mkdir "$CTR_ROOT/vps/$n"
                    cat > "$CTR_ROOT/vps/$n/config.json" <<EOF
                \(String(decoding: try JSONEncoder().encode(config("NAME")), as: UTF8.self))
                EOF
                    sed -i "s/NAME/$n/g" "$CTR_ROOT/vps/$n/config.json"
                done
                """)
            #expect(setup.status == 0, "\(setup.err)")
            #expect(
                try p.ctr("list", "-o", "name,memory,label.tier", "--sort", "-name").out == """
                    NAME  MEMORY  LABEL.tier
                    web     512M  x
                    db      512M  x

                    """)
            #expect(
                try p.ctr("list", "--json", "-o", "name,memory,pid,command,onboot").out == """
                    [
                      {
                        "command" : [
                          "/sbin/init"
                        ],
                        "memory" : 536870912,
                        "name" : "db",
                        "onboot" : false,
                        "pid" : null
                      },
                      {
                        "command" : [
                          "/sbin/init"
                        ],
                        "memory" : 536870912,
                        "name" : "web",
                        "onboot" : false,
                        "pid" : null
                      }
                    ]

                    """)
            #expect(try p.ctr("list", "-q", "--sort", "-name").out == "web\ndb\n")
            #expect(try p.ctr("list", "--json", "-q", "-o", "memory").out.contains("\"db\""))
            #expect(try p.ctr("list", "--json", "--sort=-name").out.contains("\"bootPriority\""))
        }
    }

    private func config(_ name: String) -> VPSConfig {
        var config = VPSConfig(name: name, template: "t", created: "2026-01-01T00:00:00Z", args: ["/sbin/init"])
        config.resources.memory = 512 << 20
        config.labels = ["tier": "x"]
        return config
    }
}
