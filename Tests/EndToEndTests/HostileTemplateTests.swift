import Kernel
import Testing

/// Templates that try to reach the host. Each is planted in the store, past what an import would refuse, and one that is
/// imported as a user would. Starting may be refused or be harmless; nothing of the host is read or changed.
@Suite struct HostileTemplateTests {
    private struct Attempt {
        let change: String
        var options = ""
        var command = "echo started"
    }

    /// Runs planted templates, with a user namespace and without, and holds the host against what it was before.
    private func tryOut(_ attempts: [Attempt], at location: SourceLocation = #_sourceLocation) throws {
        try Fixture.with { (f) throws in
            let victim = "\(f.path)/victim"
            try f.sh("mkdir -m 700 victim; echo untouched > victim/file").succeeds()
            let before = try hostFiles(f)
            for (number, attempt) in attempts.enumerated() {
                let name = "evil\(number)"
                try f.plantTemplate(name, attempt.change.replacing("VICTIM", with: victim))
                for userns in ["auto", "host"] {
                    let run = try f.sh(
                        "exec $CTR run --userns \(userns) \(attempt.options) \(name) \(attempt.command)", timeout: 20,
                        at: location)
                    #expect(
                        run.line == "started" || (run.status == 125 && run.err.hasPrefix("ctr: ")),
                        "\(attempt), \(userns): status \(run.status ?? -1) \(run.both)", sourceLocation: location)
                    let after = try hostFiles(f)
                    #expect(after == before, "\(attempt), \(userns)", sourceLocation: location)
                }
            }
        }
    }

    /// What the attempts aim at: names, types and contents.
    private func hostFiles(_ f: Fixture) throws -> [String] {
        var found = [try f.text("/proc/sys/kernel/core_pattern"), try f.text("victim/file")]
        for directory in ["\(f.path)/victim", "/etc", "/dev", "/dev/shm", "/"] {
            let entries = try Kernel.open(directory, [.directory]).entries()
            found += entries.map { "\(directory)/\($0.name) \($0.type)" }.sorted()
        }
        return found
    }

    // A directory of the root that is a link (CVE-2019-19921, CVE-2023-27561, CVE-2026-41579, CVE-2026-47766).
    @Test(arguments: ["dev", "proc", "sys", "run", "tmp"])
    func linkInPlaceOfADirectory(_ name: String) throws {
        let targets = ["VICTIM", "/etc", "/", "../../../../../../../../..VICTIM", "bin", "none-such", "."]
        try tryOut(targets.map { Attempt(change: "rm -rf ./\(name); ln -s \($0) \(name)") })
    }

    @Test func noOrOtherInPlaceOfADirectory() throws {
        try tryOut(
            ["dev", "proc", "sys", "run", "tmp"].flatMap { name in
                ["", "; echo a file > \(name)", "; mkfifo \(name)"].map { Attempt(change: "rm -rf ./\(name)\($0)") }
            })
    }

    // CVE-2025-31133, CVE-2025-52565: what is masked with, and what a console is shown on.
    @Test func linksInDevProcAndSys() throws {
        try tryOut([
            Attempt(
                change:
                    "rm -rf ./dev; mkdir dev; ln -s ../proc/sys/kernel/core_pattern dev/null; ln -s VICTIM/file dev/console; ln -s VICTIM dev/pts; ln -s VICTIM dev/shm; ln -s VICTIM dev/mqueue; ln -s VICTIM/file dev/ptmx"
            ),
            Attempt(
                change:
                    "mkdir -p proc sys/fs; ln -s VICTIM/file proc/kcore; ln -s VICTIM proc/sys; ln -s VICTIM sys/firmware; ln -s VICTIM sys/fs/cgroup"
            ),
        ])
    }

    // CVE-2024-9676: the files that ctr reads to find a user.
    @Test(arguments: ["passwd", "group"])
    func filesOfUsers(_ file: String) throws {
        let changes = [
            "mkfifo etc/FILE", "mknod etc/FILE c 1 5", "ln -s /proc/kmsg etc/FILE", "ln -s VICTIM/file etc/FILE",
            "truncate -s 4G etc/FILE", "ln -s /proc/self/fd/0 etc/FILE", "mkdir etc/FILE", "ln -s FILE etc/FILE",
            "head -c 1M /dev/urandom > etc/FILE", "ln -s /dev/zero etc/FILE",
        ]
        try tryOut(
            changes.flatMap { change in
                ["daemon", "12:34"].map {
                    Attempt(
                        change: "rm -f etc/\(file); \(change.replacing("FILE", with: file))", options: "--user \($0)")
                }
            })
    }

    @Test func workingDirectoriesAndCommands() throws {
        try tryOut([
            Attempt(change: "ln -s VICTIM w", options: "--workdir /w", command: "sh -c 'cat file; echo started'"),
            Attempt(
                change: "ln -s /proc/self/fd/7 w", options: "--workdir /w", command: "sh -c 'cat file; echo started'"),
            Attempt(
                change: "ln -s ../../../../../../../..VICTIM w", options: "--workdir /w",
                command: "sh -c 'cat file; echo started'"),
            Attempt(change: "ln -s VICTIM/file bin/x", command: "sh -c 'x 2>/dev/null; echo started'"),
            Attempt(change: "printf '#!/proc/1/root/bin/sh\\necho started\\n' > bin/x; chmod 755 bin/x", command: "x"),
        ])
    }

    @Test func mountsThatLeadOut() throws {
        try tryOut([
            Attempt(
                change: "ln -s VICTIM m", options: "--mount /usr/share:/m",
                command: "sh -c 'ls /m/doc >/dev/null; echo started'"),
            Attempt(
                change: "ln -s VICTIM/file m", options: "--mount /etc/passwd:/m",
                command: "sh -c 'cat /m >/dev/null; echo started'"),
            Attempt(change: "mkdir -p a; ln -s VICTIM a/b", options: "--mount /usr/share:/a/b/new/place"),
            Attempt(change: "rm -rf ./dev; ln -s VICTIM dev", options: "--device /dev/fuse"),
        ])
    }

    // CVE-2026-48749: the root itself.
    @Test(arguments: ["/", "VICTIM", "../minimal/rootfs", "/proc/1/root"])
    func rootThatIsALink(_ target: String) throws {
        try Fixture.with { (f) throws in
            try f.sh("mkdir victim; echo untouched > victim/file").succeeds()
            try f.plantTemplate("evil")
            try f.sh(
                "cd root/templates/evil; mv rootfs ../../gone; ln -s \(target.replacing("VICTIM", with: f.path + "/victim")) rootfs"
            ).succeeds()
            let run = try f.ctr("run", "evil", "sh", "-c", "ls -a / > /dev/null; echo started")
            #expect(run.status == 125 || run.status == 127, "\(run.both)")
            #expect(run.out == "")
            #expect(try f.sh("ls -A victim").lines == ["file"])
        }
    }

    @Test(arguments: [
        "", "{", "[]", "null", #"{"version": 1}"#, #"{"version": 99, "name": "evil"}"#,
        #"{"version":1,"name":"evil","created":"x","architecture":"amd64","size":1,"layers":["../minimal/rootfs"],"env":[]}"#,
        #"{"version":1,"name":"evil","created":"x","architecture":"amd64","size":1,"layers":["/"],"env":[]}"#,
        #"{"version":1,"name":"evil","created":"x","architecture":"amd64","size":1,"layers":[],"env":[]}"#,
        #"{"version":1,"name":"evil","created":"x","architecture":"amd64","size":1,"layers":["none"],"env":[]}"#,
        #"{"version":1,"name":"evil","created":"x","architecture":"amd64","size":1,"layers":["rootfs"],"env":[],"workdir":"relative"}"#,
        #"{"version":1,"name":"evil","created":"x","architecture":"amd64","size":1,"layers":["rootfs"],"env":[],"user":"+1"}"#,
    ])
    func brokenManifest(_ json: String) throws {
        try Fixture.with { (f) throws in
            try f.plantTemplate("evil", json: json)
            try f.ctr("run", "evil", "echo", "started").fails(125)
            // One that can't be read does not hide the others.
            #expect(try f.ctr("template", "list").out.contains("minimal"))
        }
    }

    /// The same by the way that a user has.
    @Test func importedOnes() throws {
        try Fixture.with { (f) throws in
            try f.sh("mkdir victim; echo untouched > victim/file").succeeds()
            for (name, change) in [
                ("a", "rm -rf dev; ln -s \(f.path)/victim dev"), ("b", "rm -rf proc; ln -s /etc proc"),
                ("c", "rm -rf sys; ln -s / sys"), ("d", "rm etc/passwd; mkfifo etc/passwd"),
                ("e", "rm etc/passwd; ln -s /proc/kmsg etc/passwd"),
                ("f", "mkdir -p dev; rm -f dev/null; ln -s ../proc/sys/kernel/core_pattern dev/null"),
                ("g", "printf '#!/proc/self/exe\\n' > bin/x; chmod 755 bin/x"),
            ] {
                let made = try f.template("evil-\(name)", change)
                if made.status != 0 {
                    #expect(made.err.contains("ctr: "), "\(made.both)")
                    continue
                }
                let run = try f.ctr("run", "--user", "daemon", "evil-\(name)", "echo", "started", timeout: 10)
                #expect(run.line == "started" || run.status == 125, "\(name): \(run.both)")
            }
            #expect(try f.sh("ls -A victim; cat victim/file").lines == ["file", "untouched"])
            #expect(
                try f.sh(
                    "ls root/templates | grep -v -x -e minimal -e 'evil-.'; ls -A root/templates | grep '^\\.' | grep -v -x .lock"
                ).out == "")
        }
    }
}
