import Glibc
import Kernel
import Testing

/// Verbs at the same time: of different VPSs they do not disturb each other, on one VPS they come one after the other.
@Suite(.serialized) struct LockTests {
    @Test(.timeLimit(.minutes(5)))
    func fortyVPSsAtOnce() throws {
        try Fixture.with { (f) throws in
            let run = try f.sh(
                """
                life() {
                    for round in 1 2 3; do
                        for words in "create $1 --template minimal" "start $1" "exec $1 true" "stop $1 --timeout 0" \\
                            "start $1" "destroy --force $1"; do
                            said=$("$CTR" $words 2>&1) || echo "$words, round $round: status $?: $said"
                        done
                    done
                }
                for i in $(seq 40); do life $N-$i & done
                wait
                """, timeout: 240)
            #expect(run.status == 0 && run.both.isEmpty, "\(run.both)")
        }
    }

    /// Two at a time would meet in the scripts.
    @Test(.timeLimit(.minutes(5)))
    func verbsOnOneVPSDoNotInterleave() throws {
        try Fixture.with { (f) throws in
            let n = try f.server()
            try f.sh(
                """
                d=root/vps/\(n)/scripts; mkdir $d
                cat > $d/pre-start <<'END'
                #!/bin/sh
                mkdir \(f.path)/busy || echo $CTR_ACTION >> \(f.path)/met
                echo $CTR_ACTION >> \(f.path)/calls
                sleep 0.03
                rmdir \(f.path)/busy
                END
                cp $d/pre-start $d/post-stop; chmod +x $d/*
                """
            ).succeeds()
            let run = try f.sh(
                """
                for i in 1 2 3 4 5 6; do
                    for words in "restart \(n) --timeout 0" "stop \(n) --timeout 0" "start \(n)" "set \(n) --pids 10$i"; do
                        { said=$("$CTR" $words 2>&1) || echo "$words: status $?: $said"; } &
                    done
                done
                wait
                """, timeout: 120)
            #expect(run.both.isEmpty, "\(run.both)")
            #expect(!f.exists("met"), "\((try? f.text("met")) ?? "")")
            // Every start but the first, and every stop, and they took turns.
            let calls = try f.text("calls").split(separator: "\n")
            #expect(calls.count >= 12, "\(calls)")
            for (one, next) in zip(calls, calls.dropFirst()) { #expect(one != next, "\(calls)") }
            try f.ctr("start", n).succeeds()
            try f.ctr("exec", n, "true").succeeds()
            try f.ctr("destroy", "--force", n).succeeds()
        }
    }

    @Test func theSecondSaysWhoHoldsIt() throws {
        try Fixture.with { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.write(
                "config.json", "{\"lockSeconds\": 1, " + f.text("config.json").dropFirst())
            try f.sh(
                """
                d=root/vps/\(n)/scripts; mkdir $d
                printf '#!/bin/sh\\n: > \(f.path)/began\\nwhile [ ! -e \(f.path)/go ]; do sleep 0.02; done\\n' > $d/pre-start
                chmod +x $d/pre-start
                """
            ).succeeds()
            let first = try f.start("start", n)
            #expect(until(10) { f.exists("began") })
            for words in [["set", n, "--pids", "9"], ["destroy", n], ["rename", n, f.name("b")]] {
                let second = try f.start(f.program, words).wait()
                second.fails(75, words: "start \(n)", "process", "try again")
            }
            // Those that change nothing do not wait.
            #expect(try f.state(n) == "starting")
            try f.write("go", "")
            try first.wait().succeeds()
            #expect(try f.state(n) == "running")
            try f.sh("rm -r root/vps/\(n)/scripts").succeeds()
            try f.ctr("destroy", "--force", n).succeeds()
        }
    }

    /// The supervisor goes on with the start, and nobody comes between; after it the lock is free.
    @Test func theLockOutlivesAKilledStart() throws {
        try Fixture.withServers { (f) throws in
            let n = f.name()
            try f.ctr("create", n, "--template", "minimal").succeeds()
            try f.write("config.json", "{\"lockSeconds\": 1, " + f.text("config.json").dropFirst())
            try f.script("pre-start", n, ": > \(f.path)/began; while [ ! -e \(f.path)/go ]; do sleep 0.02; done")
            let start = try f.start("start", n)
            #expect(until(10) { f.exists("began") })
            try start.signal(Signal.kill)
            try start.wait()
            try f.ctr("set", n, "--pids", "9").fails(75, words: "supervisor", "starting", "try again")
            try f.ctr("start", n).fails(75, words: "supervisor")
            try f.write("go", "")
            #expect(until(20) { (try? f.state(n)) == "running" })
            #expect(until(10) { (try? f.sh("flock -n root/vps/\(n) true").status) == 0 })
            try f.ctr("set", n, "--pids", "99").succeeds()
        }
    }

    /// Nobody who has read the answer finds it taken.
    @Test func theLockIsFreeAfterAStart() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.server()
            for _ in 0..<5 { try f.sh("$CTR restart \(n) --timeout 0 && flock -n root/vps/\(n) true").succeeds() }
            try f.script("pre-start", n, "exit 1")
            try f.sh("$CTR stop \(n) --timeout 0; $CTR start \(n); flock -n root/vps/\(n) true").succeeds()
        }
    }
}
