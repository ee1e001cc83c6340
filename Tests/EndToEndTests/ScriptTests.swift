import Glibc
import Kernel
import Testing

/// Action scripts that fail, hang or start others: what they leave behind.
@Suite struct ScriptTests {
    @Test func whatAScriptStartedEndsWithItsFailure() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.script("pre-start", n, "sleep 1000 & setsid sleep 1000 & (sleep 1000 &) ; echo no luck; exit 3")
            try f.ctr("start", n).fails(1, words: "pre-start", "status 3", "no luck")
            #expect(f.processes(named: "sleep") == [])
            // The supervisor ends when it has said why.
            #expect(until(10) { f.processes().isEmpty }, "\(f.processes().map { f.commandLine($0) })")
            #expect(try f.state(n) == "stopped")
        }
    }

    /// A server that a VPS needs, say.
    @Test func oneThatSucceedsMayLeaveOthers() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.script("pre-start", n, "sleep 1000 & echo $! > \(f.path)/pid")
            try f.ctr("start", n).succeeds()
            let pid = try #require(Int32(try f.text("pid").dropLast()))
            #expect(f.commandLine(pid).hasPrefix("sleep"))
            kill(pid, SIGKILL)
            #expect(until(10) { !f.exists("/proc/\(pid)/ns/pid") })
        }
    }

    @Test func whatKeepsOneFromBeingExecutedIsSaid() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.script("pre-start", n, "true")
            try f.sh("chmod -x root/vps/\(n)/scripts/pre-start").succeeds()
            try f.ctr("start", n).fails(1, words: "pre-start", "Permission denied")
            try f.sh("cd root/vps/\(n)/scripts; printf '#!/none/such\\n' > pre-start; chmod +x pre-start").succeeds()
            try f.ctr("start", n).fails(1, words: "pre-start", "No such file")
        }
    }

    /// However `ctr stop` ends, the script that it runs inside does too, and the VPS runs on.
    @Test(arguments: [SIGINT, SIGTERM, SIGKILL])
    func aStopScriptEndsWithItsVerb(_ signal: Int32) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            try f.script("stop", n, "sleep 98765 & sleep 98765")
            let stop = try f.start("stop", n)
            #expect(until(10) { f.processes(named: "sleep 98765").count == 2 })
            try stop.signal(signal)
            try stop.wait()
            let left = { () -> [String] in
                (f.processes(named: "98765") + f.processes(named: "exec -u")).map { f.commandLine($0) }
            }
            let gone = until(20) { left().isEmpty }
            #expect(gone, "\(left())")
            #expect(try f.state(n) == "running")
        }
    }

    @Test func aPreStartScriptEndsWithItsSupervisor() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.script("pre-start", n, ": > \(f.path)/began; (sleep 98765; true) & sleep 98765")
            let start = try f.start("start", n)
            #expect(until(10) { f.processes(named: "98765").count >= 2 })
            try ProcessHandle(pid: f.supervisorPid(n)).signal(Signal.kill)
            try start.wait().fails(1, words: "supervisor")
            #expect(until(10) { f.processes(named: "98765").isEmpty })
            #expect(try f.state(n) == "stopped")
            try f.sh("rm root/vps/\(n)/scripts/pre-start").succeeds()
            try f.ctr("start", n).succeeds()
        }
    }

    /// What does not end by itself ends by an operator's word, in a moment and not when its five minutes are over; with
    /// the `start` killed or not.
    @Test(
        arguments: [["stop"], ["kill"], ["restart"], ["destroy", "--force"]], [("pre-start", false), ("start", true)])
    func aStartThatHangsIsEnded(_ verb: [String], _ script: (action: String, killed: Bool)) throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.script(script.action, n, "sleep 98765")
            let start = try f.start("start", n)
            #expect(until(20) { !f.processes(named: "98765").isEmpty })
            #expect(try f.state(n) == "starting")
            if script.killed { try start.signal(Signal.kill) }
            if verb == ["restart"] {
                // The first is ended; the second is as bad.
                try f.sh("rm root/vps/\(n)/scripts/*").succeeds()
            }
            try f.start(f.program, verb + [n]).wait(25).succeeds()
            let outcome = try start.wait()
            if !script.killed { outcome.fails(1, words: "stopped by an operator") }
            #expect(until(10) { f.processes(named: "98765").isEmpty })
            switch verb[0] {
            case "destroy": #expect(!f.exists("root/vps/\(n)"))
            case "restart": #expect(try f.state(n) == "running")
            default:
                #expect(try f.state(n) == "stopped")
                try f.sh("rm root/vps/\(n)/scripts/*; $CTR start \(n)").succeeds()
            }
        }
    }

    /// As if it waited in the kernel.
    @Test func aSupervisorThatHangsInAStartIsKilled() throws {
        try Fixture.withServers { (f) throws in
            let names = [f.name("a"), f.name("b")]
            var starts: [RunningProgram] = []
            for n in names {
                try f.ctr("create", n, "--template", "minimal").succeeds()
                try f.script("pre-start", n, "sleep 98765")
                starts.append(try f.start("start", n))
                #expect(until(20) { (try? f.state(n)) == "starting" })
            }
            #expect(until(20) { f.processes(named: "98765").count == 2 })
            for n in names { try ProcessHandle(pid: f.supervisorPid(n)).signal(Signal.stop) }
            let stop = try f.start("stop", names[0])
            let destroy = try f.start("destroy", "--force", names[1])
            try stop.wait().fails(75, words: "supervisor", "hangs", "ctr kill \(names[0])")
            try destroy.wait().succeeds()
            try f.ctr("kill", names[0]).succeeds()
            for start in starts { try start.wait().fails(1) }
            #expect(until(10) { f.processes().isEmpty }, "\(f.processes().map { f.commandLine($0) })")
            #expect(try f.state(names[0]) == "stopped")
        }
    }

    /// A script finds what any program expects: no signal is blocked or ignored, it leads no terminal, it has no more than
    /// its three descriptors.
    @Test func aScriptHasNothingOfItsGuard() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.script(
                "pre-start", n,
                "exec 2>&1; grep -E '^Sig(Blk|Ign)' /proc/self/status > \(f.path)/said; ls /proc/$$/fd >> \(f.path)/said"
            )
            try f.ctr("start", n).succeeds()
            let said = try f.text("said").split(separator: "\n")
            #expect(said.filter { $0.hasPrefix("Sig") }.allSatisfy { $0.hasSuffix("0000000000000000") }, "\(said)")
            // And dash's own, of the script.
            #expect(
                said.filter { !$0.hasPrefix("Sig") }.allSatisfy { ["0", "1", "2", "10", "11"].contains($0) }, "\(said)")
        }
    }
}

extension Fixture {
    /// An action script of a VPS's own: shell commands.
    func script(_ action: String, _ name: String, _ commands: String) throws {
        try sh("mkdir -p root/vps/\(name)/scripts").succeeds()
        try write("root/vps/\(name)/scripts/\(action)", "#!/bin/sh\n\(commands)\n", mode: 0o755)
    }
}
