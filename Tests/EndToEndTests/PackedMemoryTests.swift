import Glibc
import Kernel
import Testing

/// `suspend --compress zstd`, and what may come between.
@Suite(
    .serialized, .enabled(if: Suspending.lack == nil, Comment(rawValue: Suspending.lack ?? "")),
    .enabled(if: access("/usr/bin/zstd", X_OK) == 0, "no zstd"))
struct PackedMemoryTests {
    private func names(_ f: Fixture, _ n: String) throws -> [String] {
        try f.sh("ls root/vps/\(n)").lines.filter {
            $0.hasPrefix("checkpoint") && $0 != "checkpoint.disk"
        }
    }

    /// The zstd that reads this test's memory, as `$z`, when it has stopped.
    private let stopped = """
        z=; until [ -n "$z" ]; do for p in $(pgrep -x zstd); do case $(readlink /proc/$p/fd/0) in $PWD/*)
        grep -q '^State:.T' /proc/$p/status && z=$p;; esac; done; sleep 0.01; done
        """

    /// A process in whose memory is what can't be packed to less, and so takes its time. It sums it up when it has begun, and
    /// for each `/go`.
    private let holder = #"""
        setsid sh -c 'x=$(tr -d "\000" </dev/urandom | head -c 150000000); echo "$x" | md5sum >/first; touch /filled
        until [ -e /go ]; do sleep 0.1; done; echo "$x" | md5sum >/second; touch /done; sleep 1000; :' </dev/null >/dev/null 2>&1 &
        until [ -e /filled ]; do sleep 0.1; done
        """#

    /// What runs a ctr whose zstd stops as it begins, until it gets SIGCONT.
    private func slowly(_ f: Fixture) throws -> [String] {
        try f.write("zstd", "#!/bin/sh\nkill -STOP $$\nexec \(f.path)/real \"$@\"\n", mode: 0o755)
        try f.sh("cp /usr/bin/zstd real").succeeds()
        return [
            "/usr/bin/unshare", "--mount", "--propagation", "slave", "/bin/sh", "-c",
            "mount --bind \(f.path)/zstd /usr/bin/zstd && exec \"$@\"", "slowly", f.program,
        ]
    }

    private func slowly(_ f: Fixture, _ words: [String]) throws -> RunningProgram {
        let all = try slowly(f) + words
        return try f.start(all[0], Array(all.dropFirst()))
    }

    private func fill(_ f: Fixture, _ n: String) throws {
        try f.ctr("exec", n, "--", "sh", "-c", holder, timeout: 90).succeeds()
    }

    /// Who packs or unpacks ends zstd with it, which would fill the disk with nobody looking, and the next verb removes what
    /// it has written.
    @Test(arguments: ["suspend --compress zstd", "resume"]) func killedHalfway(verb: String) throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try fill(f, n)
            if verb == "resume" { try f.ctr("suspend", "--compress", "zstd", n).succeeds() }
            let run = try slowly(f, verb.split(separator: " ").map(String.init) + [n])
            let zstd = try f.sh("\(stopped); kill -9 $(cut -d' ' -f4 /proc/$z/stat); echo $z", timeout: 30).succeeds()
                .line
            _ = try run.wait()
            #expect(
                until(20) {
                    !f.exists("/proc/\(zstd)") || (try? f.text("/proc/\(zstd)/stat").contains(") Z")) == true
                })
            if f.exists("/proc/\(zstd)") { kill(try #require(Int32(zstd)), SIGKILL) }
            #expect(try until(20) { try f.state(n) == "suspended" && names(f, n) == ["checkpoint"] })
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
            #expect(try until(20) { try names(f, n) == [] })
        }
    }

    /// The reason is not always that it is damaged.
    @Test func whatCannotBeUnpacked() throws {
        try Fixture.withServers { (f) throws in
            let n = try f.counter("--disk", "none")
            try fill(f, n)
            try f.ctr("suspend", "--compress", "zstd", n).succeeds()
            let run = try slowly(f, ["resume", n])
            try f.sh("\(stopped); kill -9 $z", timeout: 30)
                .succeeds()
            let killed = try run.wait()
            killed.fails(1, words: "resume \(n)", "zstd: signal 9")
            #expect(!killed.err.contains("damaged"), "\(killed.err)")
            let images = "root/vps/\(n)/checkpoint/images"
            let page = try #require(try f.sh("ls -S \(images) | grep zst").lines.first)
            try f.sh("mv \(images)/\(page) saved").succeeds()
            try f.ctr("resume", n).fails(78, words: "damaged", "\(page) is missing")
            try f.sh("head -c 100 saved > \(images)/\(page)").succeeds()
            try f.ctr("resume", n).fails(78, words: "damaged", "100 bytes long")
            try f.sh("mv saved \(images)/\(page)").succeeds()
            try f.ctr("resume", n).succeeds()
            try f.goesOn(n)
            try f.ctr("suspend", n).succeeds()
            #expect(try f.state(n) == "suspended" && names(f, n) == ["checkpoint"])
        }
    }

    /// Without a reserve zstd itself meets the last block.
    @Test func onAFullDisk() throws {
        try Fixture.with { (f) throws in
            let ctr = "export CTR_ROOT=$PWD/pool/root CTR_CONFIG=$PWD/none.json; "
            try f.write("none.json", "{\"idRegistry\": \"\(f.path)/ids\", \"spaceReserve\": \"0\"}")
            try f.sh(
                """
                truncate -s 1300M pool.img && mkfs.ext4 -q -m 0 pool.img && mkdir pool && mount -o loop pool.img pool
                mkdir -m 700 pool/root && cp -a root/templates pool/root/
                """
            ).succeeds()
            f.atEnd { _ = try? f.sh("umount -l pool") }
            try f.write("holder", holder)
            try f.sh(
                ctr + """
                    $CTR create $N-a --template minimal --disk none --net none && $CTR start $N-a &&
                    $CTR exec $N-a -- sh -c "$(cat holder)"
                    """, timeout: 60
            ).succeeds()
            try f.write(
                "slowly", "#!/bin/sh\nexec \(slowly(f).map { "'\($0)'" }.joined(separator: " ")) \"$@\"\n", mode: 0o755)
            let fill =
                "dd if=/dev/zero of=pool/full bs=1M 2>/dev/null; dd if=/dev/zero of=pool/rest bs=4k 2>/dev/null"
            let packed = try f.sh(
                ctr + """
                    ./slowly suspend --compress zstd $N-a & verb=$!
                    \(stopped); \(fill); kill -CONT $z; wait $verb
                    """, timeout: 60
            ).succeeds()
            #expect(
                packed.err.contains("is not packed") && packed.err.contains("No space left"),
                "\(packed.both)")
            #expect(
                try f.sh("rm pool/full pool/rest; ls pool/root/vps/$N-a | grep checkpoint.new").out.isEmpty)
            try f.sh(ctr + "$CTR resume $N-a && $CTR suspend --compress zstd $N-a", timeout: 60)
                .succeeds()
            let unpacked = try f.sh(
                ctr + """
                    ./slowly resume $N-a & verb=$!
                    \(stopped); \(fill); kill -CONT $z; wait $verb
                    """, timeout: 60)
            unpacked.fails(73, words: "resume", "pages-", "No space left")
            #expect(
                try f.sh("rm pool/full pool/rest; ls pool/root/vps/$N-a | grep checkpoint.unpacked").out
                    .isEmpty)
            try f.sh(
                ctr + """
                    $CTR resume $N-a && $CTR exec $N-a -- sh -c 'touch /go; until [ -e /done ]; do sleep 0.1; done; cmp /first /second' &&
                    $CTR destroy --force $N-a
                    """, timeout: 60
            ).succeeds()
            #expect(until(15) { (try? f.sh("umount pool").status) == 0 })
        }
    }
}
