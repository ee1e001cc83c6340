import Glibc
import Kernel
import Testing

/// Resumes whose supervisor is killed at a step of criu's that is sure, and what is left of them. See docs/suspend.md.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: CRIUPrefix.isThere, "no criu of make setup-criu"))
struct ResumeCutOffTests {
    /// A resume whose supervisor is killed when criu is at this step: before ctr's own part in it, or after.
    /// - Parameter withVerb: the verb is killed before it.
    /// - Returns: how the verb ended.
    @discardableResult
    private func cutOff(
        _ f: Fixture, _ n: String, at step: String, afterOurs: Bool = false, withVerb: Bool = false
    ) throws -> Outcome {
        let (config, prefix) = (try f.text("config.json"), CRIUPrefix.path)
        // The supervisor is criu's parent, and criu this script's.
        let parent = "cut -d' ' -f4"
        let cut =
            "[ \"$CRTOOLS_SCRIPT_ACTION\" = \(step) ] && { s=$(\(parent) /proc/$PPID/stat); "
            + (withVerb ? "kill -9 $(\(parent) /proc/$s/stat); " : "") + "kill -9 $s; }"
        try f.write(
            "step",
            "#!/bin/bash\n"
                + (afterOurs
                    ? "$(cat \(f.path)/real) || exit 1\n\(cut)\nexit 0\n" : "\(cut)\nexec $(cat \(f.path)/real)\n"),
            mode: 0o755)
        try f.write(
            "criu",
            """
            #!/bin/bash
            words=()
            while [ $# -gt 0 ]; do
                if [ "$1" = --action-script ]; then echo "$2" > \(f.path)/real; words+=("$1" \(f.path)/step); shift 2
                else words+=("$1"); shift; fi
            done
            exec \(prefix)/usr/lib64/ld-linux-x86-64.so.2 --library-path \(prefix)/usr/lib/x86_64-linux-gnu \\
                \(prefix)/usr/sbin/criu "${words[@]}"

            """, mode: 0o755)
        try f.write("config.json", String(config.dropLast()) + ", \"criu\": \"\(f.path)/criu\"}")
        let outcome = try f.ctr("resume", n)
        try f.write("config.json", config)
        return outcome
    }

    /// What it leaves in the VPS's directory and in that of its state.
    private func left(_ f: Fixture, _ n: String) throws -> [String] {
        try f.sh("ls root/vps/\(n) state/\(n) 2>/dev/null").lines.filter {
            $0.hasPrefix("checkpoint") || $0.hasPrefix("hibernated") || $0 == "criu-step" || $0 == "memory-check"
        }
    }

    /// What criu has begun to make holds the lock, and does not end by itself.
    @Test(arguments: ["resume", "start", "resume --discard", "destroy --force", "set --memory 1G"])
    func noVerbWaitsForWhatIsLeft(verb: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try f.ctr("suspend", n).succeeds()
            #expect(try cutOff(f, n, at: "setup-namespaces", withVerb: true).status == 128 + SIGKILL)
            let begin = Timestamp.monotonic()
            let run = try f.sh("$CTR \(verb) \(n)")
            if verb.hasPrefix("set") { run.fails(1, words: "suspended") } else { try run.succeeds() }
            let seconds = Double(Timestamp.monotonic() - begin) / 1e9
            // Not the 30 of a lock that is taken.
            #expect(seconds < 25, "\(seconds) s")
            switch verb {
            case "resume", "start": try f.goesOn(n)
            case "resume --discard": #expect(try f.state(n) == "stopped")
            case "destroy --force": #expect(!f.exists("root/vps/\(n)"))
            default: #expect(try f.state(n) == "suspended")
            }
        }
    }

    /// The next verb looks at the disk as the one that was killed did.
    @Test(arguments: ["none", "256M", "hibernated"]) func itsDiskIsMarkedAgain(disk: String) throws {
        if disk != "none", let lack = Disks.lack { try Test.cancel(Comment(rawValue: lack)) }
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", disk == "hibernated" ? "256M" : disk)
            try f.ctr(disk == "hibernated" ? "hibernate" : "suspend", n).succeeds()
            try cutOff(f, n, at: "post-restore")
            #expect(try f.state(n) == (disk == "hibernated" ? disk : "suspended"))
            #expect(f.exists("root/vps/\(n)/checkpoint.disk"))
            let file = disk == "none" ? "root/vps/\(n)/disk/upper/changed" : "root/vps/\(n)/disk.img"
            try f.sh("touch -r \(file) \(f.path)/time 2>/dev/null; touch \(file)").succeeds()
            try f.ctr("resume", n).fails(1, words: "its disk was changed")
            try f.sh(disk == "none" ? "rm \(file)" : "touch -r \(f.path)/time \(file)").succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
        }
    }

    /// Its processes go on, and so the verb has done what it was to do. Nothing stays of what they were made of.
    @Test(arguments: ["suspend", "suspend --compress zstd", "hibernate"], ["pre-resume", "post-resume"])
    func killedAfterTheCommit(verb: String, step: String) throws {
        if verb == "hibernate", let lack = Disks.lack { try Test.cancel(Comment(rawValue: lack)) }
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", verb == "hibernate" ? "256M" : "none")
            try f.sh("$CTR \(verb) \(n)").succeeds()
            let run = try cutOff(f, n, at: step, afterOurs: true).succeeds()
            #expect(run.line == n && run.err.contains("its supervisor was killed"), "\(run.both)")
            #expect(try f.ctr("events", n).succeeds().out.contains("resumed"))
            try f.goesOn(n)
            #expect(try f.state(n) == "running")
            var rest: [String] = []
            #expect(
                try until(20) {
                    rest = try left(f, n)
                    return rest == []
                }, "\(rest)")
            guard verb == "hibernate" else { return }
            try f.ctr("stop", n).succeeds()
            let names = try f.sh("mkdir m && mount -o loop,ro root/vps/\(n)/disk.img m && ls m && umount m")
            #expect(try names.succeeds().lines == ["root", "snapshots"], "\(names.both)")
        }
    }

    /// The verb was killed with it, so that one that comes when they and criu have ended finds it.
    @Test(arguments: ["suspend", "hibernate"]) func anotherVerbSweeps(verb: String) throws {
        if verb == "hibernate", let lack = Disks.lack { try Test.cancel(Comment(rawValue: lack)) }
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", verb == "hibernate" ? "256M" : "none")
            try f.ctr(verb, n).succeeds()
            try cutOff(f, n, at: "post-resume", afterOurs: true, withVerb: true)
            #expect(try !left(f, n).isEmpty)
            var rest: [String] = []
            #expect(
                try until(20) {
                    try f.ctr("list").succeeds()
                    rest = try left(f, n)
                    return rest == []
                }, "\(rest)")
            try f.goesOn(n)
        }
    }

    /// What a resume has used, when its supervisor was killed over the removal.
    @Test(arguments: ["running", "adopted", "stopped", "suspended", "resumed"]) func whatWasPutAsideIsRemoved(
        then: String
    ) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            let aside = "root/vps/\(n)/checkpoint.removed"
            if then == "stopped" { try f.ctr("stop", n).succeeds() }
            if then == "resumed" { try f.ctr("suspend", n).succeeds() }
            try f.sh("mkdir -p \(aside)/images && head -c 20M /dev/zero > \(aside)/images/pages-1.img").succeeds()
            switch then {
            case "adopted": kill(try f.number("supervisor", n), SIGKILL)
            case "suspended": try f.ctr("suspend", n).succeeds()
            case "resumed": try f.ctr("resume", n).succeeds()
            default: break
            }
            #expect(
                try until(20) {
                    try f.ctr("list").succeeds()
                    return !f.exists(aside)
                })
            if then != "stopped" {
                try f.ctr("resume", n).succeeds()
                try f.goesOn(n)
            }
        }
    }
}

/// A host whose disk can't be read.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: access("/sbin/mkfs.btrfs", X_OK) == 0, "no mkfs.btrfs"))
struct ResumeReadErrorTests {
    /// An error of the disk is not taken for damage, and the file that can't be read is named.
    @Test func memoryThatCannotBeRead() throws {
        try Fixture.with { (f) throws in
            let ctr = "export CTR_ROOT=$PWD/pool/root; "
            try f.sh(
                """
                truncate -s 500M pool.img && mkfs.btrfs -q -m single pool.img && mkdir pool && mount -o loop pool.img pool
                mkdir -m 700 pool/root && cp -a root/templates pool/root/
                """
            ).succeeds()
            f.atEnd { _ = try? f.sh("umount -l pool") }
            try f.sh(
                ctr + """
                    $CTR create $N-a --template minimal --disk none && $CTR start $N-a &&
                    $CTR exec $N-a -- sh -c "setsid sh -c 'x=\\$(head -c 8000000 /dev/zero | tr \\"\\\\0\\" x); : > /filled; sleep 1000; :' \
                        </dev/null >/dev/null 2>&1 & until [ -e /filled ]; do sleep 0.1; done" &&
                    $CTR suspend $N-a && sync -f pool && umount pool
                    """, timeout: 60
            ).succeeds()
            // The file system's own checksums turn a changed byte into EIO.
            try f.write(
                "spoil.py",
                """
                import mmap
                with open('pool.img', 'r+b') as f:
                    m = mmap.mmap(f.fileno(), 0)
                    # Every place: what an attempt before has left is among them.
                    at, places = m.find(b'x' * 1000000), 0
                    while at >= 0:
                        m[at + 500000], places = ord('y'), places + 1
                        at = m.find(b'x' * 1000000, at + 500001)
                    assert places
                    m.flush()
                """)
            try f.sh("python3 spoil.py && mount -o loop pool.img pool").succeeds()
            let failed = try f.sh(ctr + "$CTR resume $N-a")
            failed.fails(74, words: "resume", "images/pages-", "Input/output error", "stays as it is")
            try f.sh(
                ctr + "[ $($CTR list -q --state suspended) = $N-a ] && $CTR resume --discard $N-a && $CTR destroy $N-a"
            )
            .succeeds()
            #expect(until(15) { (try? f.sh("umount pool").status) == 0 })
        }
    }
}
